"""Storing and removing logins, in the files of docker and Podman or with the helpers that they name."""
import fcntl
import glob
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from occystrap_core import UsageError
from occystrap_core.files import output_errors, sync_directory
from occystrap_registry.credentials.auth_files import AuthFile, read_document
from occystrap_registry.credentials.credential_helpers import erase_with_helper, store_with_helper
from occystrap_registry.credentials.logins import Login, plain_key, server_names

_ENDING = '.partial'


def keep_login(path: Path, host: str, login: Login, seconds: float) -> str:
    """Store a login in the file at `path`, or with the helper that it names; return the name of file or helper.

    Raises UsageError, OutputError.
    """
    key, helper = server_names(host)[0], AuthFile(path).helper(host)
    if helper:
        store_with_helper(helper, key, login, seconds)
    entry = {} if helper else {'auth': login.basic.partition(' ')[2]}

    def change(auths: dict[str, Any]) -> bool:
        _drop(auths, host)
        auths[key] = entry
        return True
    _change(path, change)
    return f'docker-credential-{helper}' if helper else str(path)


def forget_login(path: Path, host: str, seconds: float) -> bool:
    """Remove the login for exactly this host; return False if there was none. Raises as `keep_login`."""
    file = AuthFile(path)
    helper = file.helper(host)
    for server in server_names(host) if helper else ():
        erase_with_helper(helper or '', server, seconds)

    return (path.exists() and _change(path, lambda auths: _drop(auths, host))) or bool(helper)


def _drop(auths: dict[str, Any], host: str) -> bool:
    """Remove all entries for exactly this host, and return whether there was one."""
    keys = [key for key in auths if plain_key(key) == plain_key(host)]
    return bool([auths.pop(key) for key in keys])


def _change(path: Path, change: Callable[[dict[str, Any]], bool]) -> bool:
    """Apply `change` to the `auths` of a file and return its result; the rest of the file is preserved."""
    path = Path(os.path.realpath(path))
    with output_errors(str(path)), _alone_in(path.parent):
        document = read_document(path, to_change=True)
        auths = document['auths'] = document.get('auths') or {}
        if not isinstance(auths, dict):
            raise UsageError(f'{path} is malformed: auths is not an object; correct it or move it away')
        changed = change(auths)
        if changed:
            _replace(path, json.dumps(document, indent='\t').encode() + b'\n')
        return changed


@contextmanager
def _alone_in(directory: Path) -> Iterator[None]:
    """Lock a directory, created if missing, against other processes of occystrap."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _replace(path: Path, data: bytes) -> None:
    """Replace a file by one of mode 0600 with the same owner; the caller holds the lock of the directory."""
    for leftover in path.parent.glob(f'.{glob.escape(path.name)}-????????{_ENDING}'):
        leftover.unlink()  # left by a killed process; it contains passwords
    descriptor, temporary = tempfile.mkstemp(_ENDING, f'.{path.name}-', path.parent)  # of mode 0600
    try:
        with open(descriptor, 'wb') as file:
            file.write(data)
            with suppress(FileNotFoundError, PermissionError):
                before = path.stat()
                os.fchown(file.fileno(), before.st_uid, before.st_gid)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):  # the next login removes it
            os.unlink(temporary)
        raise
    sync_directory(str(path.parent))
