"""Credentials for a host: given for this run, from the environment, from docker's config.json; in that order."""
import base64
import binascii
import json
import os
from pathlib import Path
from typing import Any

from occystrap_core import Settings, UsageError

Credentials = tuple[str, str]
_HUB_KEYS = ('https://index.docker.io/v1/', 'docker.io', 'index.docker.io')


def find_credentials(host: str, settings: Settings) -> Credentials | None:
    """Return user and password for exactly `host[:port]`, or None; raises UsageError for a broken config.json."""
    if host in settings.credentials:
        return settings.credentials[host]
    user, password = os.environ.get('OCCYSTRAP_USERNAME'), os.environ.get('OCCYSTRAP_PASSWORD')
    if user and password:
        return user, password
    return _from_docker_config(host)


def _from_docker_config(host: str) -> Credentials | None:
    folder = os.environ.get('DOCKER_CONFIG') or str(Path.home() / '.docker')
    path = Path(folder, 'config.json')
    try:
        document: Any = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UsageError(f'{path} cannot be read: {error}') from None
    auths = document.get('auths') if isinstance(document, dict) else None
    if not isinstance(auths, dict):
        return None
    keys: tuple[str, ...] = (host, f'https://{host}', f'https://{host}/v2/', f'http://{host}')
    if host == 'registry-1.docker.io':
        keys += _HUB_KEYS
    for key in keys:
        if isinstance(entry := auths.get(key), dict) and (found := _decode(entry.get('auth'))):
            return found
    return None


def _decode(text: object) -> Credentials | None:
    """Return what the base64 of `user:password` holds; None for what is none, as docker reads it."""
    if not isinstance(text, str):
        return None
    try:
        user, colon, password = base64.b64decode(text, validate=True).decode().rstrip('\0').partition(':')
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (user, password) if colon and user else None
