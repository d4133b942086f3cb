"""Credential helpers: programs docker-credential-NAME, which speak JSON (docker/docker-credential-helpers)."""
import json
import re
import shutil
import subprocess
from typing import Any

from occystrap_core import InvalidImage, UsageError
from occystrap_core.oci import parse_json
from occystrap_registry.credentials.logins import Login

_NAME = re.compile(r'[A-Za-z0-9_][A-Za-z0-9_.+-]*')
_UNKNOWN = 'credentials not found'
_IDENTITY = '<token>'
"""The user name by which a helper says that its secret is an identity token."""


def ask_helper(name: str, server: str, seconds: float) -> Login | None:
    """Return what a helper has for a server, None for nothing.

    Raises UsageError for a helper that is not there, takes longer than `seconds`, fails, or answers nonsense.
    """
    done = _run(name, 'get', server, seconds)
    if done.returncode:
        if _UNKNOWN in (done.stdout + done.stderr).decode(errors='replace').lower():
            return None
        raise _failed(name, 'get', server, done.returncode)
    try:
        answer: Any = parse_json(done.stdout, 'the answer')
        user, secret = answer['Username'], answer['Secret']
    except (InvalidImage, TypeError, KeyError):
        user = secret = None
    if not isinstance(user, str) or not isinstance(secret, str):
        raise UsageError(f'docker-credential-{name} answers about {server} with something that is no login')
    return Login(user, secret, user == _IDENTITY) if secret else None


def store_with_helper(name: str, server: str, login: Login, seconds: float) -> None:
    """Hand a login to a helper for keeping; raises UsageError as `ask_helper` does."""
    entry = {'ServerURL': server, 'Username': login.user, 'Secret': login.secret}
    done = _run(name, 'store', json.dumps(entry), seconds)
    if done.returncode:
        raise _failed(name, 'store', server, done.returncode)


def erase_with_helper(name: str, server: str, seconds: float) -> None:
    """Let a helper forget a server, known to it or not; raises UsageError as `ask_helper` does."""
    done = _run(name, 'erase', server, seconds)
    if done.returncode and _UNKNOWN not in (done.stdout + done.stderr).decode(errors='replace').lower():
        raise _failed(name, 'erase', server, done.returncode)


def _run(name: str, action: str, text: str, seconds: float) -> subprocess.CompletedProcess[bytes]:
    if not _NAME.fullmatch(name) or '..' in name:
        raise UsageError(f'{name!r} is no name of a credential helper: a word such as pass or ecr-login is expected')
    program = shutil.which(f'docker-credential-{name}')
    if program is None:
        raise UsageError(f'docker-credential-{name}, which keeps the logins, is not in PATH: install it, or take '
                         f'{name} out of credsStore and credHelpers')
    try:
        return subprocess.run([program, action], input=text.encode(), capture_output=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        raise UsageError(f'docker-credential-{name} {action} did not end within {seconds:g} seconds (--timeout)'
                         ) from None
    except OSError as error:
        raise UsageError(f'docker-credential-{name} cannot be run: {error.strerror}') from None


def _failed(name: str, action: str, server: str, code: int) -> UsageError:
    """What the helper said is not repeated: it may hold the secret."""
    return UsageError(f'docker-credential-{name} {action} ended with code {code} for {server}: '
                      'run it by hand to see why')
