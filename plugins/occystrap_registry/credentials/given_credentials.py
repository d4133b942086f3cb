"""Credentials of this run: in a URI, its options, or the environment."""
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from occystrap_core import UsageError

if TYPE_CHECKING:
    from occystrap_registry.credentials.logins import Credentials


def given_credentials(host: str, userinfo: str, options: Mapping[str, Any]) -> 'Credentials | None':
    """Return the credentials of a URI: `user:password` before its @, overridden by options; None without either.

    The other half may come from OCCYSTRAP_USERNAME or OCCYSTRAP_PASSWORD; raises UsageError if it is missing.
    """
    user, _, password = userinfo.partition(':')
    user, password = str(options.get('username') or user), str(options.get('password') or password)
    if not user and not password:
        return None
    user = user or os.environ.get('OCCYSTRAP_USERNAME', '')
    password = password or os.environ.get('OCCYSTRAP_PASSWORD', '')
    if not user or not password:
        raise UsageError(f'{host}: a user name and a password must be given together: set OCCYSTRAP_USERNAME and '
                         'OCCYSTRAP_PASSWORD')
    return user, password


def environment_credentials() -> 'Credentials | None':
    """Return OCCYSTRAP_USERNAME and OCCYSTRAP_PASSWORD if both are set."""
    user, password = os.environ.get('OCCYSTRAP_USERNAME'), os.environ.get('OCCYSTRAP_PASSWORD')
    return (user, password) if user and password else None
