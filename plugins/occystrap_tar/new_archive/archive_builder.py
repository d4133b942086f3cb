"""Building an archive: layers are written in parallel to their final places, then documents; one rename makes it
visible.

Places are laid out beforehand from estimates of the layers' sizes, which may be wrong or missing. If a member is
smaller, those after it are moved up at the end; if it is larger, the rest goes to a spill file, and the archive is laid
out again. The resulting bytes are the same.
"""
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise

from occystrap_core import Cancelled, OutputError, Place, Settings
from occystrap_core.files import WRITEBACK, output_errors
from occystrap_core.tar import TAR_END, file_header, padded_size
from occystrap_tar.archive.members import MemberReader
from occystrap_tar.new_archive.archive_file import ArchiveFile, Region, remove_abandoned
from occystrap_tar.new_archive.destination_file import check_destination

_HINT_CAP = 1 << 40


class ArchiveBuilder:
    """An archive that is being written beside its final path. Methods may be called by several threads."""

    def __init__(self, path: str, settings: Settings) -> None:
        self.path = Place.absolute(path)
        self._sync, self._settings = settings.sync, settings
        self._files: list[ArchiveFile] = []
        self._places: dict[int, Region] = {}
        self._regions: list[Region] = []
        self._end = 0
        self._lock = threading.Lock()
        self._at_work, self._ended = 0, False
        self._places_known = True
        self._appeared = False
        self._moves = 0
        self.notes: list[str] = []
        """Lines for the user about problems that do not affect the archive."""

    def begin(self, places: Iterable[tuple[Sequence[int], int | None, str]]) -> None:
        """Open the temporary file and reserve places; raises OutputError if the path cannot be written.

        `places` has for each member, in the order of the archive, its keys, its estimated size in bytes, and its
        probable name, empty if unknown.
        """
        check_destination(self.path, self._settings)
        with output_errors(self.path):
            remove_abandoned(self.path)
            self._files.append(ArchiveFile(self.path, self._sync))
        for keys, hint, name in places:
            region = Region(self._end, hint if hint is not None and hint < _HINT_CAP else 0, len(file_header(name, 0)))
            self._regions.append(region)
            self._places.update(dict.fromkeys(keys, region))
            self._end = region.data + padded_size(region.reserved or 0)

    def write(self, key: int, chunks: Iterable[memoryview]) -> Region:
        """Write one member's data to the place of `key`, and return the place; the caller sets its name.

        Data for a key without a place is appended to the archive, one such member at a time. Replaces what was written
        for the key before. Raises OutputError, Cancelled.
        """
        region = self._places.get(key) or self._appended()
        self.fill(region, chunks)
        if region.reserved is None:
            self._end = region.data + padded_size(region.size)
        return region

    def reserve(self, name: str, size: int) -> Region:
        """Return a new place at the end for a member of this name and size in bytes."""
        with self._lock:
            region = Region(self._end, size if size < _HINT_CAP else 0, len(file_header(name, size)))
            self._regions.append(region)
            self._end = region.data + padded_size(region.reserved or 0)
        return region

    def fill(self, region: Region, chunks: Iterable[memoryview]) -> None:
        """Write one member's data to its place, replacing what was written there before; raises as `write` does."""
        with self._working():
            region.restart()
            for chunk in chunks:
                with output_errors(self.path), region.lock:
                    self._put(region, chunk)

    def reread(self, region: Region) -> MemberReader | None:
        """Open a member that was written; None if it can no longer be read. Raises OSError if the archive is gone."""
        with self._lock:
            if region.spill or region.dropped or (self._ended and not (self._appeared and self._places_known)):
                return None
            path = self.path if self._ended else f'/proc/self/fd/{self._files[0].fileno()}'
            return MemberReader(path, region.data, region.size, f'{region.name} of {self.path}')

    @property
    def moves(self) -> int:
        """Counts beginnings and ends of moving members; odd while members are being moved."""
        return self._moves

    def finish(self, documents: Sequence[tuple[str, bytes]], members: Sequence[Region] | None = None,
               check: Callable[[], object] = list) -> None:
        """Write headers, documents and the end, and rename the archive to its path; raises OutputError, Cancelled.

        `members` are those to keep, in this order; by default all that have a name. `check` is called before the
        rename, and raises OutputError if something would be lost.
        """
        with self._working(), output_errors(self.path):
            if members is None:
                first = {region.name: region for region in reversed(self._regions) if region.name}
                members = [region for region in self._regions if first.get(region.name) is region]
            else:
                first = {region.name: region for region in members}
            self._drop_all_but(first)
            if any(region.spill or region.header < len(file_header(region.name, region.size)) for region in members
                   ) or any(before.offset > after.offset for before, after in pairwise(members)):
                self._lay_out_again(members)
            else:
                self._moves += 1
                self._move_up(members)
                self._moves += 1
                for region in self._regions:
                    if not region.dropped:
                        region.offset, region.header = first[region.name].offset, first[region.name].header
            tail = b''.join(_whole_member(name, data) for name, data in documents if name not in first) + TAR_END
            self._files[-1].write_at(tail, self._end)
            self._files[-1].complete(self._end + len(tail), check)
        self._appeared = True
        try:
            self.discard()
        except OutputError as error:
            self.notes.append(str(error))

    def discard(self) -> None:
        """Remove all temporary files; threads that are still writing get Cancelled, and the last one closes the files.

        Raises OutputError if a file cannot be removed.
        """
        problem = ''
        for file in self._files:
            try:
                file.remove()
            except OSError as error:
                problem = (f'a temporary file stays beside {self.path}: {error.strerror}; the next run tries again to '
                           'remove it')
        with self._lock:
            self._ended = True
            if not self._at_work:
                self._close()
        if problem:
            raise OutputError(problem)

    def _drop_all_but(self, kept: Mapping[str, Region]) -> None:
        """Prevent writing to and reading from places that the archive does not keep."""
        for region in self._regions:
            with region.lock:
                region.dropped = region.name not in kept

    def _appended(self) -> Region:
        self._regions.append(Region(self._end, None))
        return self._regions[-1]

    def _put(self, region: Region, chunk: memoryview) -> None:
        if region.dropped:
            raise Cancelled(f'writing {self.path} was cancelled')
        room = len(chunk) if region.reserved is None else max(0, region.reserved - region.size)
        data = region.data
        self._files[-1].write_at(chunk[:room], data + region.size)
        if len(chunk) > room:
            self._spill(region, chunk[room:])
        region.size += len(chunk)
        if region.inside - region.flushed >= WRITEBACK:
            self._files[-1].written(data + region.flushed, region.inside - region.flushed)
            region.flushed = region.inside

    def _spill(self, region: Region, rest: memoryview) -> None:
        if region.spill is None:
            import tempfile  # late: most layers fit their places
            region.spill = tempfile.TemporaryFile(dir=os.path.dirname(self.path), buffering=0)
        while rest:
            rest = rest[region.spill.write(rest):]

    def _move_up(self, members: Sequence[Region]) -> None:
        """Close the gaps after members that are smaller than their places; concurrent readers get wrong digests."""
        file, self._end = self._files[-1], 0
        for region in members:
            header = file_header(region.name, region.size)
            if region.data > self._end + len(header):
                file.move_up(region.data, region.size, self._end + len(header))
            region.offset, region.header = self._end, len(header)
            file.write_at(header, region.offset)
            file.write_at(bytes(padded_size(region.size) - region.size), region.data + region.size)
            self._end = region.data + padded_size(region.size)

    def _lay_out_again(self, members: Sequence[Region]) -> None:
        """Copy the members to a new temporary file, one after the other."""
        self._places_known = False
        old, new = self._files[-1], ArchiveFile(self.path, self._sync)
        self._files.append(new)
        self._end = 0
        for region in members:
            header = file_header(region.name, region.size)
            new.write_at(header, self._end)
            data = self._end + len(header)
            new.copy(old.fileno(), region.data, region.inside, data)
            if region.spill:
                new.copy(region.spill.fileno(), 0, region.size - region.inside, data + region.inside)
            self._end = data + padded_size(region.size)

    @contextmanager
    def _working(self) -> Iterator[None]:
        """Keep the files open during the with block, since the number of a closed descriptor may be reused."""
        with self._lock:
            if self._ended:
                raise Cancelled(f'writing {self.path} was cancelled')
            self._at_work += 1
        try:
            yield
        finally:
            with self._lock:
                self._at_work -= 1
                if self._ended and not self._at_work:
                    self._close()

    def _close(self) -> None:
        for file in self._files:
            file.close()
        for region in self._regions:
            if region.spill:
                region.spill.close()
        self._files.clear()
        self._regions.clear()


def _whole_member(name: str, data: bytes) -> bytes:
    """Return a small member with its header and padding."""
    return file_header(name, len(data)) + data.ljust(padded_size(len(data)), b'\0')
