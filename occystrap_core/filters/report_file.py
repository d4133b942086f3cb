"""Where filters that tell something put it: stdout, or the end of a file."""
import os

from occystrap_core.errors import OutputError, UsageError
from occystrap_core.settings import Settings
from occystrap_core.terminal import write_text

STDOUT = '-'


def checked_target(name: str, target: str, settings: Settings) -> str:
    """Return where to write; raises UsageError when that is a stdout which holds one JSON document in the end."""
    if target == STDOUT and settings.stdout_taken:
        raise UsageError(f'filter {name}: stdout is for the report in JSON: give {name}:file=FILE')
    return target


def append(target: str, text: str) -> None:
    """Write whole lines, which are escaped, at once, so that those of several images never mix; raises OutputError."""
    if target == STDOUT:
        write_text([text])
        return
    data = text.encode()
    try:
        descriptor = os.open(target, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            while data:
                data = data[os.write(descriptor, data):]
        finally:
            os.close(descriptor)
    except OSError as error:
        raise OutputError(f'cannot write to {target}: {error.strerror}') from None
