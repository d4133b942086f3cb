"""Credential helpers: programs docker-credential-NAME with a JSON protocol (docker/docker-credential-helpers)."""
import json
import re
import shutil
from typing import TYPE_CHECKING, Any

from occystrap_core import InvalidImage, UsageError
from occystrap_core.oci import parse_json
from occystrap_registry.credentials.logins import Login

if TYPE_CHECKING:
    import subprocess

_NAME = r'[A-Za-z0-9_][A-Za-z0-9_.+-]*'
_UNKNOWN = 'credentials not found'
_IDENTITY = '<token>'
"""The user name that marks the secret of a helper as an identity token."""


def ask_helper(name: str, server: str, seconds: float) -> Login | None:
    """Return a helper's login for a server, None without one.

    Raises UsageError for a helper that is not installed, takes longer than `seconds`, fails, or answers malformed JSON.
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
        raise UsageError(f'docker-credential-{name} gives a malformed login for {server}: run it by hand to see it')
    return Login(user, secret, user == _IDENTITY) if secret else None


def store_with_helper(name: str, server: str, login: Login, seconds: float) -> None:
    """Store a login with a helper; raises UsageError as `ask_helper` does."""
    entry = {'ServerURL': server, 'Username': login.user, 'Secret': login.secret}
    done = _run(name, 'store', json.dumps(entry), seconds)
    if done.returncode:
        raise _failed(name, 'store', server, done.returncode)


def erase_with_helper(name: str, server: str, seconds: float) -> None:
    """Erase a server's login from a helper, if it has one; raises UsageError as `ask_helper` does."""
    done = _run(name, 'erase', server, seconds)
    if done.returncode and _UNKNOWN not in (done.stdout + done.stderr).decode(errors='replace').lower():
        raise _failed(name, 'erase', server, done.returncode)


def _run(name: str, action: str, text: str, seconds: float) -> 'subprocess.CompletedProcess[bytes]':
    if not re.fullmatch(_NAME, name) or '..' in name:
        raise UsageError('what credsStore or credHelpers names is not the name of a credential helper: give one such '
                         'as pass or ecr-login')
    import subprocess  # late, as few runs ask a helper
    program = shutil.which(f'docker-credential-{name}')
    if program is None:
        raise UsageError(f'docker-credential-{name}, the credential helper, is not in PATH: install it, or remove '
                         f'{name} from credsStore and credHelpers')
    try:
        return subprocess.run([program, action], input=text.encode(), capture_output=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        raise UsageError(f'docker-credential-{name} {action} did not end within {seconds:g} seconds (--timeout)'
                         ) from None
    except OSError as error:
        raise UsageError(f'docker-credential-{name} cannot be run: {error.strerror}') from None


def _failed(name: str, action: str, server: str, code: int) -> UsageError:
    """Return the error without the helper's output, which may contain the secret."""
    return UsageError(f'docker-credential-{name} {action} ended with code {code} for {server}: '
                      'run it by hand to see why')
