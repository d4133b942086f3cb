"""Files with credentials: docker's config.json and Podman's auth.json, in one format (containers-auth.json(5))."""
import base64
import binascii
import os
from pathlib import Path
from typing import Any

from occystrap_core import InvalidImage, UsageError
from occystrap_core.oci import parse_json
from occystrap_registry.credentials.logins import Login, keys_for, plain_key

_LARGEST = 16 << 20


def docker_directory() -> Path:
    """Return docker's configuration directory."""
    return Path(os.environ.get('DOCKER_CONFIG') or os.path.expanduser('~/.docker'))


def containers_directory() -> Path:
    """Return the configuration directory of Podman and skopeo."""
    return Path(os.environ.get('XDG_CONFIG_HOME') or os.path.expanduser('~/.config'), 'containers')


def places_to_read() -> list[Path]:
    """Return the files that may have credentials, in the order of the search.

    REGISTRY_AUTH_FILE replaces all others, as with Podman.
    """
    if named := os.environ.get('REGISTRY_AUTH_FILE'):
        return [Path(named)]
    runtime = os.environ.get('XDG_RUNTIME_DIR')
    return [
        docker_directory() / 'config.json',
        Path(runtime, 'containers/auth.json') if runtime else Path(f'/run/containers/{os.getuid()}/auth.json'),
        containers_directory() / 'auth.json',
    ]


def place_to_write(named: str | None = None) -> Path:
    """Return the file for a new login: the one `named`, else REGISTRY_AUTH_FILE, else docker's config.json."""
    return Path(named or os.environ.get('REGISTRY_AUTH_FILE') or docker_directory() / 'config.json')


def read_document(path: Path, to_change: bool = False) -> dict[str, Any]:
    """Return the JSON object in a file, empty without a file; raises UsageError for one that cannot be read.

    Other JSON than an object counts as empty; `to_change` refuses it, as it would be lost.
    """
    try:
        with open(path, 'rb') as file:
            document: Any = parse_json(file.read(_LARGEST) or b'{}', 'it', _LARGEST)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, InvalidImage) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f'{path} cannot be read: {reason}') from None
    if to_change and not isinstance(document, dict):
        raise UsageError(f'{path} exists and is not a file for logins: name another file')
    return document if isinstance(document, dict) else {}


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
        found = (_read(self._auths.get(key)) for key in keys_for(host, repository))
        return next((login for login in found if login), None)

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
    """Return the login in an entry of `auths`; None for an empty or malformed one, as docker does."""
    if not isinstance(entry, dict):
        return None
    user, password = _decode(entry['auth']) if 'auth' in entry else (entry.get('username'), entry.get('password'))
    user, token = user if isinstance(user, str) else '', entry.get('identitytoken')
    if isinstance(token, str) and token:
        return Login(user, token, is_identity=True)
    return Login(user, password) if user and isinstance(password, str) else None


def _decode(text: object) -> tuple[str, str | None]:
    """Return user and password from the base64 of `user:password`."""
    try:
        decoded = base64.b64decode(text, validate=True).decode() if isinstance(text, str) else ''
    except (binascii.Error, ValueError):
        return '', None
    user, colon, password = decoded.rstrip('\0').partition(':')
    return user, password if colon else None
