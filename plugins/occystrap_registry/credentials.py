"""Credentials for a host: given for this run, from the environment, from docker's config.json; in that order."""
import base64
import binascii
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from occystrap_core import UsageError

Credentials = tuple[str, str]
_HUB = 'registry-1.docker.io'
_HUB_KEYS = ('index.docker.io', 'docker.io')


def given_credentials(host: str, userinfo: str, options: Mapping[str, Any]) -> Credentials | None:
    """Return what the URI says: `user:password` before its @, options over it; raises UsageError for a half of it.

    A half may come from OCCYSTRAP_USERNAME or OCCYSTRAP_PASSWORD.
    """
    user, _, password = userinfo.partition(':')
    user, password = str(options.get('username') or user), str(options.get('password') or password)
    if not user and not password:
        return None
    user = user or os.environ.get('OCCYSTRAP_USERNAME', '')
    password = password or os.environ.get('OCCYSTRAP_PASSWORD', '')
    if not user or not password:
        raise UsageError(f'{host}: a user name and a password are wanted together; the password is best given as '
                         'OCCYSTRAP_PASSWORD in the environment')
    return user, password


def stored_credentials(host: str) -> Credentials | None:
    """Return what environment or docker's config.json have for exactly `host[:port]`, or None.

    Raises UsageError for a config.json that cannot be read.
    """
    user, password = os.environ.get('OCCYSTRAP_USERNAME'), os.environ.get('OCCYSTRAP_PASSWORD')
    return (user, password) if user and password else _from_docker_config(host)


def _from_docker_config(host: str) -> Credentials | None:
    folder = os.environ.get('DOCKER_CONFIG') or str(Path.home() / '.docker')
    path = Path(folder, 'config.json')
    try:
        document: Any = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UsageError(f'{path} cannot be read: {getattr(error, "strerror", None) or "it is not JSON"}') from None
    auths = document.get('auths') if isinstance(document, dict) else None
    if not isinstance(auths, dict):
        return None
    by_host = {_host_of(key): entry for key, entry in reversed(auths.items())} | auths
    for name in (host, *(_HUB_KEYS if host == _HUB else ())):
        if isinstance(entry := by_host.get(name), dict) and (found := _decode(entry.get('auth'))):
            return found
    return None


def _host_of(key: str) -> str:
    """Return the host of a key that is a URL, as older dockers wrote it; other keys are hosts already."""
    scheme, separator, rest = key.partition('://')
    return rest.partition('/')[0] if separator and scheme in ('http', 'https') else key


def _decode(text: object) -> Credentials | None:
    """Return what the base64 of `user:password` holds; None for what is none, as docker reads it."""
    if not isinstance(text, str):
        return None
    try:
        user, colon, password = base64.b64decode(text, validate=True).decode().rstrip('\0').partition(':')
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (user, password) if colon and user else None
