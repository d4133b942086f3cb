"""Logins, and the keys under which files and helpers store them."""
import base64
from typing import NamedTuple
from urllib.parse import quote

Credentials = tuple[str, str]
"""User name and password."""

HUB = 'docker.io'
HUB_KEY = 'https://index.docker.io/v1/'
"""The key under which docker stores the login to Docker Hub."""
_HUB_HOSTS = (HUB, 'index.docker.io', 'registry-1.docker.io')


class Login(NamedTuple):
    """A user with a password, or with an identity token, which token servers exchange for other tokens."""

    user: str
    secret: str
    is_identity: bool = False
    is_registry_token: bool = False
    """Whether the secret is a token that the registry itself takes: `registrytoken` in docker's config.json."""

    def __repr__(self) -> str:
        """Return the login without its secret."""
        return f'Login(user={self.user!r})'

    @property
    def basic(self) -> str:
        """The Authorization header of RFC 7617."""
        text = f'{self.user}:{self.secret}'.encode(errors='surrogateescape')  # in a URI they may be any bytes
        return f'Basic {base64.b64encode(text).decode()}'

    @property
    def secrets(self) -> list[str]:
        """The secret, in each encoding that must not be shown."""
        return [self.basic.partition(' ')[2], quote(self.secret, errors='surrogateescape'), self.secret]


def plain_key(key: str) -> str:
    """Return the `host[:port][/namespace…]` that a key in a file stands for.

    For a URL, as older versions of docker wrote, or for a host with the path of its API, that is the host. All names of
    Docker Hub give the same key.
    """
    scheme, separator, rest = key.partition('://')
    is_url = separator and scheme.lower() in ('http', 'https')
    host, slash, path = (rest if is_url else key).rstrip('/').partition('/')
    host = HUB if host.lower() in _HUB_HOSTS else host.lower()
    return host if is_url or not slash or path in ('v1', 'v2') else f'{host}/{path}'


def keys_for(host: str, repository: str) -> list[str]:
    """Return the keys that apply to a repository, the longest first (containers-auth.json(5))."""
    parts = [plain_key(host), *(part for part in repository.split('/') if part)]
    return ['/'.join(parts[:count]) for count in range(len(parts), 0, -1)]


def server_names(host: str) -> list[str]:
    """Return the names of a host for helpers, docker's first."""
    return [HUB_KEY, HUB] if plain_key(host) == HUB else [host]
