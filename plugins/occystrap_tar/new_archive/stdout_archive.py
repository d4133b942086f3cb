"""An archive for stdout: written to a private directory first, since its first bytes are known last, then sent."""
import fcntl
import hashlib
import os
import secrets
from contextlib import suppress

from occystrap_core import OutputError, Settings, UsageError
from occystrap_core.files import CHUNK, output_errors

_WHAT = 'stdout'


class StdoutArchive:
    """The archive for stdout of a run; its writers write to `path`."""

    def __init__(self, settings: Settings) -> None:
        """Raises UsageError if stdout is taken, closed, or a terminal."""
        if settings.stdout_taken:
            raise UsageError('tar://-: stdout is for the report in JSON: leave out -O json, or give a file')
        if os.isatty(1):
            raise UsageError('tar://- would write an archive to the terminal: redirect stdout to a file or a program')
        if fcntl.fcntl(1, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise UsageError('tar://-: stdout is closed: redirect it to a file or a program')
        self._directory = os.path.join(settings.temporary, f'occystrap-stdout-{secrets.token_hex(8)}')
        self.path = os.path.join(self._directory, 'archive.tar')
        self.note = ''
        """After `send`: the number of bytes sent, and their digest, for the user to compare."""

    @classmethod
    def of(cls, settings: Settings) -> 'StdoutArchive':
        """Return the one of this run."""
        return settings.shared.get(StdoutArchive, lambda: StdoutArchive(settings))

    def begin(self) -> None:
        """Create the directory; raises OutputError."""
        with output_errors(self._directory):
            os.makedirs(self._directory, 0o700, exist_ok=True)

    def send(self) -> None:
        """Send the archive to stdout, and remove the file; raises OutputError."""
        digest, size = hashlib.sha256(), 0
        try:
            with output_errors(_WHAT), open(self.path, 'rb', buffering=0) as archive:
                while chunk := archive.read(CHUNK):
                    digest.update(chunk)
                    size += len(chunk)
                    _write_all(chunk)
        finally:
            self.discard()
        self.note = f'{_WHAT}: {size} bytes, sha256:{digest.hexdigest()}'

    def discard(self) -> None:
        """Remove what is left."""
        with suppress(OSError):
            os.unlink(self.path)
        with suppress(OSError):
            os.rmdir(self._directory)

    def close(self) -> None:
        """Remove what is left; called at the end of the run."""
        self.discard()


def _write_all(chunk: bytes) -> None:
    rest = memoryview(chunk)
    try:
        while rest:
            rest = rest[os.write(1, rest):]
    except BrokenPipeError:
        raise OutputError('stdout was closed by its reader before all of the archive was sent') from None
