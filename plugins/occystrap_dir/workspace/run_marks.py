"""The marks of the runs that write to a destination: they list what the last run to leave must do.

Each line is the name of a file to remove unless an image refers to it. A line with a plus is the digest of a complete
blob, which is kept for the next run instead, unless another line has the same digest with a minus.
"""
import os
from collections.abc import Collection
from contextlib import suppress

from occystrap_core import InvalidImage
from occystrap_core.files import is_current, write_all
from occystrap_core.oci import Digest
from occystrap_dir.workspace.beneath import Beneath
from occystrap_dir.workspace.partial_files import TEMPORARY
from occystrap_dir.workspace.removal import remove_tree

_LONGEST = 4096


class Marks:
    """The mark of one run, and those of all. All methods raise OSError."""

    def __init__(self, place: Beneath, directory: str) -> None:
        self._place, self._directory = place, directory
        self.name = f'{directory}/{os.urandom(8).hex()}.run'
        """The name of this run's mark."""
        self._descriptor: int | None = None

    def begin(self) -> None:
        """Make this run's mark, unless it exists."""
        if self._descriptor is None or not is_current(self._descriptor, lambda: self._place.status(self.name)):
            self._descriptor = self._place.create(self.name)

    def note(self, lines: Collection[str]) -> None:
        """Append lines to this run's mark, if it exists."""
        if self._descriptor is not None:
            write_all(self._descriptor, b''.join(os.fsencode(f'{line}\n') for line in lines))

    def take_over(self) -> None:
        """Remove what killed runs left in the directory, after copying the lines of their marks to this run's mark."""
        lines = self.lines()
        self.begin()
        self.note(lines)
        for name in self._place.names(self._directory):
            if f'{self._directory}/{name}' != self.name:
                remove_tree(self._place, f'{self._directory}/{name}')

    def close(self) -> int | None:
        """Return the descriptor of the mark, which the caller closes, None if there is none."""
        descriptor, self._descriptor = self._descriptor, None
        return descriptor

    def lines(self) -> set[str]:
        """Return the lines of all marks."""
        lines: set[str] = set()
        for name in self._place.names(self._directory):
            if name.endswith('.run'):
                with open(self._place.open(f'{self._directory}/{name}'), errors='replace') as file:
                    while line := file.readline(_LONGEST):
                        lines.add(line.removesuffix('\n'))
        return lines

    def names(self) -> set[str]:
        """Return the names in all marks."""
        return {line for line in self.lines() if line[:1] not in ('+', '-')}

    def finished(self) -> set[Digest]:
        """Return the blobs that are to be kept, by all marks."""
        lines = self.lines()
        return {Digest(line[1:]) for line in lines
                if line[:1] == '+' and f'-{line[1:]}' not in lines and _is_digest(line[1:])}


def _is_digest(text: str) -> bool:
    try:
        return bool(Digest(text))
    except InvalidImage:
        return False


def is_idle(root: str) -> bool:
    """Return whether no run is writing to a destination, and none was killed while it did; raises OSError."""
    try:
        return not Beneath(root).names(TEMPORARY)
    except FileNotFoundError:
        return True


def was_left(root: str, name: str) -> bool:
    """Return whether a directory has entries that no running or killed run can have made; raises OSError."""
    with suppress(FileNotFoundError):  # checked before and after, as a run may begin or end meanwhile
        return is_idle(root) and bool(Beneath(root).names(name)) and is_idle(root)
    return False
