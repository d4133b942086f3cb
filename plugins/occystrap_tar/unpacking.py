"""Archives that are compressed as a whole: decompressed once into the temporary folder, since tars need seeking."""
import tempfile
from typing import IO

from occystrap_core import CHUNK, ImageNotFound, OutputError, Settings, inflate

_MAGIC = (b'\x1f\x8b', b'\x28\xb5\x2f\xfd')


class ReadableArchive:
    """A path at which an archive can be read as a tar: its own, or that of a decompressed copy without a name."""

    def __init__(self, path: str, settings: Settings) -> None:
        """Raises ImageNotFound, InvalidImage, OutputError."""
        self._copy: IO[bytes] | None = None
        self.path = path
        try:
            with open(path, 'rb') as file:
                compressed = file.read(4).startswith(_MAGIC)
        except OSError as error:
            raise ImageNotFound(f'cannot read {path}: {error.strerror}') from None
        if compressed:
            self._copy = _decompressed(path, settings)
            self.path = f'/proc/self/fd/{self._copy.fileno()}'

    def close(self) -> None:
        """Give the copy's disk space back."""
        if self._copy:
            self._copy.close()


def _decompressed(path: str, settings: Settings) -> IO[bytes]:
    source = inflate(open(path, 'rb', buffering=0), path)
    try:
        copy = tempfile.TemporaryFile(dir=settings.temporary, prefix='occystrap-')
        buffer = memoryview(bytearray(CHUNK))
        while count := source.readinto(buffer):
            settings.cancellation.check()
            copy.write(buffer[:count])
        copy.flush()
        return copy
    except OSError as error:
        raise OutputError(f'cannot decompress {path} into {settings.temporary}: {error.strerror}; name a roomier '
                          'folder with --temp-dir') from None
    finally:
        source.close()
