"""What a user logs in with, and the names under which files and helpers keep it."""
import base64
from typing import NamedTuple
from urllib.parse import quote

Credentials = tuple[str, str]
"""User name and password."""

HUB = 'docker.io'
HUB_KEY = 'https://index.docker.io/v1/'
"""The key under which docker keeps the login to Docker Hub."""
_HUB_HOSTS = (HUB, 'index.docker.io', 'registry-1.docker.io')


class Login(NamedTuple):
    """A user with a password, or with an identity token, for which token servers give other tokens."""

    user: str
    secret: str
    is_identity: bool = False

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
        """What of it must be told to nobody, in each spelling."""
        return [self.basic.partition(' ')[2], quote(self.secret, errors='surrogateescape'), self.secret]


def plain_key(key: str) -> str:
    """Return the `host[:port][/namespace…]` that a key of a file means.

    Keys that are URLs, as older dockers wrote them, mean their host. All names of Docker Hub are one.
    """
    scheme, separator, rest = key.partition('://')
    is_url = separator and scheme in ('http', 'https')
    host, slash, path = (rest if is_url else key).rstrip('/').partition('/')
    host = HUB if host.lower() in _HUB_HOSTS else host.lower()
    return host if is_url or not slash else f'{host}/{path}'


def keys_for(host: str, repository: str) -> list[str]:
    """Return the keys that hold for a repository, the longest first (containers-auth.json(5))."""
    parts = [plain_key(host), *(part for part in repository.split('/') if part)]
    return ['/'.join(parts[:count]) for count in range(len(parts), 0, -1)]


def server_names(host: str) -> list[str]:
    """Return what helpers call a host, docker's name for it first."""
    return [HUB_KEY, HUB] if plain_key(host) == HUB else [host]
