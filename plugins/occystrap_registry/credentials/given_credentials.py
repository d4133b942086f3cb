"""Credentials given for this run: in a URI or its options, in the environment."""
import os
from collections.abc import Mapping
from typing import Any

from occystrap_core import UsageError
from occystrap_registry.credentials.logins import Credentials


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
        raise UsageError(f'{host}: a user name and a password must be given together; the password is best given as '
                         'OCCYSTRAP_PASSWORD in the environment')
    return user, password


def environment_credentials() -> Credentials | None:
    """Return OCCYSTRAP_USERNAME and OCCYSTRAP_PASSWORD where both are set."""
    user, password = os.environ.get('OCCYSTRAP_USERNAME'), os.environ.get('OCCYSTRAP_PASSWORD')
    return (user, password) if user and password else None
