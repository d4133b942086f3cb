"""The output of filters that report something: stdout, or the end of a file that contains only such reports."""
import fcntl
import os
import re
import stat
from contextlib import suppress

from occystrap_core.errors import OutputError, UsageError
from occystrap_core.files.durability import write_all
from occystrap_core.settings import Settings
from occystrap_core.terminal import write_text

STDOUT = '-'
_LINES = re.compile(rb'''
    \{"reference":[ ]".*"layers":[ ]\[.*\}          # of inspect
    | [^\s:]\S*:                                   # of search: the image, then what is in it
    | [ ]*[0-9]+[ ][0-9a-f]{12}[ ][a-z]+[ ].*
    | \S+:[0-9a-f]{64}:.*                          # of search for scripts
    ''', re.VERBOSE)
_BEGINNING = b'{"reference": "'
_LOOKED_AT = 1 << 16


def checked_target(name: str, target: str, settings: Settings) -> str:
    """Return where to write.

    Raises UsageError for stdout if that is for one JSON document or an archive, and for a file with other content.
    """
    if target == STDOUT and settings.stdout_taken:
        raise UsageError(f'filter {name}: stdout is already used by -O json or an archive: give {name}:file=FILE')
    if target != STDOUT and not os.path.isdir(os.path.dirname(target) or '.'):
        raise UsageError(f'filter {name}: there is no directory {os.path.dirname(target)} for {target}: create it '
                         'first')
    if target != STDOUT and os.path.lexists(target):
        try:
            _require_reports(target)
        except OSError as error:
            raise UsageError(f'filter {name}: {target} cannot be used: {error.strerror}') from None
    return target


def append(target: str, text: str) -> None:
    """Write whole escaped lines in one call, so that those of several images never mix; raises OutputError."""
    if target == STDOUT:
        write_text([text])
        return
    try:
        descriptor = _opened(target)
        try:
            _append(descriptor, target, text.encode())
        finally:
            os.close(descriptor)
    except UsageError as error:
        raise OutputError(str(error)) from None
    except OSError as error:
        raise OutputError(f'cannot write to {target}: {error.strerror}') from None


def _opened(target: str) -> int:
    """Return a descriptor of a new file, which no link leads to, or of the file that is there."""
    flags = os.O_APPEND | os.O_NOCTTY
    with suppress(FileExistsError):
        return os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | flags, 0o666)
    return os.open(target, flags | (os.O_RDWR if os.path.isfile(target) else os.O_WRONLY))


def _append(descriptor: int, target: str, data: bytes) -> None:
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # closing it releases the lock
        _require_lines(descriptor, target)
        size = os.fstat(descriptor).st_size
        if size and os.pread(descriptor, 1, size - 1) != b'\n':  # a process that was killed left half a line
            data = b'\n' + data
    write_all(descriptor, data)


def _require_reports(target: str) -> None:
    """Raise UsageError for a file with other content; devices and pipes accept everything."""
    if not os.path.exists(target):
        raise UsageError(f'{target} is a link that leads nowhere: choose another file')
    if os.path.isfile(target):
        descriptor = os.open(target, os.O_RDONLY)
        try:
            _require_lines(descriptor, target)
        finally:
            os.close(descriptor)


def _require_lines(descriptor: int, target: str) -> None:
    *whole, torn = os.pread(descriptor, _LOOKED_AT, 0).split(b'\n')
    if not all(map(_LINES.fullmatch, whole)) or (torn and not whole and not torn.startswith(_BEGINNING)):
        raise UsageError(f'{target} exists and holds no reports of inspect or search: choose another file')
