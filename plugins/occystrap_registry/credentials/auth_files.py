"""Files with credentials: docker's config.json and Podman's auth.json, in one format (containers-auth.json(5))."""
import base64
import codecs
import os
from pathlib import Path
from typing import Any

from occystrap_core import InvalidImage, UsageError
from occystrap_core.files import home_path, print_message
from occystrap_core.oci import parse_json
from occystrap_registry.credentials.logins import Login, keys_for, plain_key

_LARGEST = 16 << 20
_TEXTS = ('auth', 'username', 'password', 'identitytoken', 'registrytoken')


def docker_directory() -> Path | None:
    """Return docker's configuration directory, None for a user without a home directory."""
    named = os.environ.get('DOCKER_CONFIG') or home_path('.docker')
    return Path(named) if named else None


def containers_directory() -> Path | None:
    """Return the configuration directory of Podman and skopeo, None for a user without a home directory."""
    named = os.environ.get('XDG_CONFIG_HOME') or home_path('.config')
    return Path(named, 'containers') if named else None


def places_to_read() -> list[Path]:
    """Return the files that may have credentials, in the order of the search.

    REGISTRY_AUTH_FILE replaces all others, as with Podman.
    """
    if named := os.environ.get('REGISTRY_AUTH_FILE'):
        return [Path(named)]
    runtime, docker, containers = os.environ.get('XDG_RUNTIME_DIR'), docker_directory(), containers_directory()
    return [
        *([docker / 'config.json'] if docker else []),
        Path(runtime, 'containers/auth.json') if runtime else Path(f'/run/containers/{os.getuid()}/auth.json'),
        *([containers / 'auth.json'] if containers else []),
    ]


def place_to_write(named: str | None = None) -> Path:
    """Return the file for a new login: the one `named`, else REGISTRY_AUTH_FILE, else docker's config.json.

    Raises UsageError for a user without a home directory.
    """
    if file := named or os.environ.get('REGISTRY_AUTH_FILE'):
        return Path(file)
    if directory := docker_directory():
        return directory / 'config.json'
    raise UsageError('this user has no home directory for the login: set HOME, or give --authfile FILE')


def read_document(path: Path, to_change: bool = False) -> dict[str, Any]:
    """Return the JSON object in a file, empty without a file; raises UsageError for a file that cannot be read.

    Any other JSON counts as empty, but is refused with `to_change`, since it would be lost.
    """
    try:
        with open(path, 'rb') as file:
            text = file.read(_LARGEST).removeprefix(codecs.BOM_UTF8)  # some editors write a BOM
        document: Any = parse_json(text if text.strip() else b'{}', 'it', _LARGEST)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, InvalidImage) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f'{_shown(path)} cannot be read: {reason}') from None
    if to_change and not isinstance(document, dict):
        raise UsageError(f'{path} exists and is not a file for logins: choose another file')
    return document if isinstance(document, dict) else {}


def _shown(path: Path) -> str:
    """Return how messages name a file: by its path if it exists or no variable names it.

    What such a variable contains may be logins instead of a path.
    """
    named = os.environ.get('REGISTRY_AUTH_FILE') or os.environ.get('DOCKER_CONFIG')
    if not named or os.path.lexists(path):
        return str(path)
    return 'the file that REGISTRY_AUTH_FILE or DOCKER_CONFIG names'


class AuthFile:
    """The content of one such file when it was read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        document = read_document(path)
        self._auths = _by_plain_key(document.get('auths'))
        self._helpers = _by_plain_key(document.get('credHelpers'))
        self._store = document.get('credsStore')

    def login(self, host: str, repository: str) -> Login | None:
        """Return the login in the file for a repository: that of the longest key that is a prefix by components."""
        found = (self._entry(key) for key in keys_for(host, repository))
        return next((login for login in found if login), None)

    def _entry(self, key: str) -> Login | None:
        """Return the login of an entry; None if it is empty or cannot be read, the latter with one warning."""
        try:
            return _read(self._auths.get(key))
        except ValueError as error:
            self._auths.pop(key)
            print_message(f'warning: {self.path}: the entry for {key} is ignored, since {error}: log in again')
            return None

    def helper(self, host: str) -> str | None:
        """Return the name of the credential helper for a host, None without one."""
        name = self._helpers.get(plain_key(host), self._store)
        return name if isinstance(name, str) and name else None


def _by_plain_key(entries: object) -> dict[str, Any]:
    """Return the entries by their plain keys; a key that is not a URL wins over a URL, an earlier one over a later."""
    if not isinstance(entries, dict):
        return {}
    ordered = sorted(entries.items(), key=lambda item: '://' in item[0])
    return {plain_key(key): entry for key, entry in reversed(ordered)}


def _read(entry: object) -> Login | None:
    """Return the login in an entry of `auths`, as docker reads it; None for an empty one. Raises ValueError.

    A registry token takes precedence over an identity token, that over a password.
    """
    if entry is None:
        return None
    if not isinstance(entry, dict) or not all(isinstance(entry.get(name), str | None) for name in _TEXTS):
        raise ValueError('it is not a JSON object of strings')
    user, password = entry.get('username') or '', entry.get('password')
    if entry.get('auth'):
        user, password = _decode(entry['auth'])
    if token := entry.get('registrytoken'):
        return Login(user, token, is_registry_token=True)
    if token := entry.get('identitytoken'):
        return Login(user, token, is_identity=True)
    return Login(user, password) if user and password is not None else None


def _decode(text: str) -> tuple[str, str]:
    """Return user and password from the base64 of `user:password`, perhaps wrapped or unpadded; raises ValueError."""
    packed = ''.join(text.split()).rstrip('=')
    try:
        decoded = base64.b64decode(packed + '=' * (-len(packed) % 4), validate=True).decode()
    except ValueError:  # includes binascii.Error and UnicodeDecodeError
        raise ValueError('its auth is not base64') from None
    user, colon, password = decoded.rstrip('\0').partition(':')
    if not colon:
        raise ValueError('its auth is not USER:PASSWORD')
    return user, password
