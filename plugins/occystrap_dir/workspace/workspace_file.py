"""Files of a destination that are being written and appear when they are complete."""
from contextlib import suppress

from occystrap_core.files import PartialFile, output_errors
from occystrap_dir.workspace.beneath import Beneath


class WorkspaceFile(PartialFile):
    """A file that is being written under a temporary name below a destination; its errors are OutputErrors."""

    def __init__(self, place: Beneath, name: str, sync: bool, mode: int = 0o666) -> None:
        """With `sync` the bytes are on the device before the file gets its final name. Raises OutputError."""
        self.name, self._place = name, place
        with output_errors(place.path):
            super().__init__(place.create(name, mode), sync)

    def write(self, data: bytes | memoryview) -> None:
        """Append `data`; raises OutputError."""
        with output_errors(self._place.path):
            super().write(data)

    def complete(self) -> None:
        """Flush and close the file, which may then be renamed; raises OutputError."""
        with output_errors(self._place.path):
            self.flush()
            self.close()

    def discard(self) -> None:
        """Close and remove the file, if it still has its temporary name."""
        with suppress(OSError):  # it is closed in any case, and its content is not needed
            self.close()
        with suppress(OSError):  # the next run removes what cannot be removed now
            self._place.unlink(self.name)
