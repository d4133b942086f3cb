"""Building an archive: layers in parallel at their final places, documents after them, visible by one rename.

The places are laid out beforehand from hints of the layers' sizes. A hint may be wrong or missing: what does not fit
goes to a spill file, and the archive is laid out once more at the end. The bytes are the same either way.
"""
import os
import secrets
import tarfile
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

from occystrap_core import WRITEBACK, OutputError, Settings, start_writeback, sync_folder, writing

BLOCK = 512
_END = bytes(2 * BLOCK)
_HINT_CAP = 1 << 40


@dataclass
class Region:
    """The place of one member: header at `offset`, then data. `reserved` bytes are free for it, None means no limit."""

    offset: int
    reserved: int | None
    name: str = ''
    size: int = 0
    flushing: int = 0
    spill: BinaryIO | None = field(default=None, repr=False)
    repeated: bool = False

    @property
    def fits(self) -> bool:
        """Whether the member is where it should be, all of it and nothing else."""
        return not self.repeated and self.spill is None and self.reserved in (None, self.size)


class ArchiveBuilder:
    """An archive that is being written beside its final path."""

    def __init__(self, path: str, settings: Settings) -> None:
        self.path = os.path.abspath(path)
        self._settings = settings
        self._partials: list[str] = []
        self._descriptor = -1
        self._end = 0
        self._regions: dict[int, Region] = {}
        self._names: set[str] = set()
        self._lock = threading.Lock()

    def begin(self, hints: Mapping[int, int | None], shared: Mapping[int, int]) -> None:
        """Open the temporary file and reserve a place per key; raises OutputError for a path that cannot be written.

        `hints` maps keys, in the order of the archive, to sizes in bytes; `shared` maps further keys to those.
        """
        self.refuse_impossible()
        with writing(self.path):
            self._descriptor = self._open_partial()
        for key, size in hints.items():
            usable = size if size is not None and size < _HINT_CAP else 0
            self._regions[key] = Region(self._end, usable)
            self._end += BLOCK + _padded(usable) if usable else 0
        for key, original in shared.items():
            self._regions[key] = self._regions[original]

    def write(self, key: int, chunks: Iterable[memoryview]) -> Region:
        """Write one member's data into the place of `key`, and return the place, its size known now."""
        with writing(self.path):
            region = self._regions[key]
            for chunk in chunks:
                self._put(region, chunk)
            return region

    def append(self, chunks: Iterable[memoryview]) -> Region:
        """Write one member's data at the end; for members that come one at a time."""
        with writing(self.path):
            region = Region(self._end, None)
            self._regions[-1 - len(self._regions)] = region
            for chunk in chunks:
                self._put(region, chunk)
            self._end += BLOCK + _padded(region.size)
            return region

    def name(self, region: Region, name: str) -> None:
        """Give a written member its name; a second one of the same name, so the same content, is dropped."""
        with self._lock:
            region.repeated = name in self._names
            self._names.add(name)
        region.name = name
        if region.fits:
            with writing(self.path):
                os.pwrite(self._descriptor, _header(name, region.size), region.offset)

    def finish(self, documents: Sequence[tuple[str, bytes]]) -> None:
        """Write the documents and the end, and let the archive appear at its path; raises OutputError."""
        with writing(self.path):
            if not all(region.fits for region in self._in_order()):
                self._lay_out_again()
            tail = b''.join(_header(name, len(data)) + data + bytes(_padded(len(data)) - len(data))
                            for name, data in documents) + _END
            _pwrite_all(self._descriptor, tail, self._end)
            os.ftruncate(self._descriptor, self._end + len(tail))
            if self._settings.sync:
                os.fsync(self._descriptor)
            os.replace(self._partials[-1], self.path)
            if self._settings.sync:
                sync_folder(os.path.dirname(self.path))
        self.discard()

    def discard(self) -> None:
        """Remove everything temporary."""
        for path in self._partials:
            try:
                os.unlink(path)
            except FileNotFoundError:
                continue
        for region in self._in_order():
            if region.spill:
                region.spill.close()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def refuse_impossible(self) -> None:
        """Raise OutputError for a path that cannot be written, before anything costs time."""
        folder = os.path.dirname(self.path)
        if os.path.isdir(self.path):
            raise OutputError(f'{self.path} is a folder: name a file for the archive')
        if os.path.exists(self.path) and not os.path.isfile(self.path):
            raise OutputError(f'{self.path} is not a regular file')
        if not os.path.isdir(folder):
            raise OutputError(f'cannot write {self.path}: there is no folder {folder}')
        if not os.access(folder, os.W_OK | os.X_OK):
            raise OutputError(f'cannot write {self.path}: no permission to write to {folder}')

    def _open_partial(self) -> int:
        folder, name = os.path.split(self.path)
        partial = os.path.join(folder, f'.{name}.{secrets.token_hex(4)}.partial')
        self._partials.append(partial)
        return os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)

    def _put(self, region: Region, chunk: memoryview) -> None:
        room = len(chunk) if region.reserved is None else max(0, region.reserved - region.size)
        inside, outside = chunk[:room], chunk[room:]
        _pwrite_all(self._descriptor, inside, region.offset + BLOCK + region.size)
        if outside:
            if region.spill is None:
                region.spill = tempfile.TemporaryFile(dir=os.path.dirname(self.path), buffering=0)
            _write_all(region.spill, outside)
        region.size += len(chunk)
        if self._settings.sync and region.size - region.flushing >= WRITEBACK:
            start_writeback(self._descriptor, region.offset + BLOCK + region.flushing, region.size - region.flushing)
            region.flushing = region.size

    def _in_order(self) -> Iterator[Region]:
        """Yield each place once, in the archive's order."""
        return iter({id(region): region for region in self._regions.values()}.values())

    def _lay_out_again(self) -> None:
        """Copy all members to a new temporary file, one behind the other."""
        old, self._descriptor, self._end = self._descriptor, self._open_partial(), 0
        try:
            for region in self._in_order():
                if not region.repeated:
                    self._copy(old, region)
        finally:
            os.close(old)

    def _copy(self, old: int, region: Region) -> None:
        os.lseek(self._descriptor, self._end, os.SEEK_SET)
        os.write(self._descriptor, _header(region.name, region.size))
        inside = region.size if region.reserved is None else min(region.size, region.reserved)
        _send(self._descriptor, old, region.offset + BLOCK, inside)
        if region.spill:
            _send(self._descriptor, region.spill.fileno(), 0, region.size - inside)
        self._end += BLOCK + _padded(region.size)


def _header(name: str, size: int) -> bytes:
    """Return a member's header: the same for the same name and size, sizes over 8 GiB in base 256."""
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o644
    return member.tobuf(tarfile.GNU_FORMAT)


def _padded(size: int) -> int:
    return (size + BLOCK - 1) // BLOCK * BLOCK


def _pwrite_all(descriptor: int, data: memoryview | bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        count = os.pwrite(descriptor, view, offset)
        view, offset = view[count:], offset + count


def _write_all(file: BinaryIO, data: memoryview) -> None:
    while data:
        data = data[file.write(data):]


def _send(target: int, source: int, offset: int, count: int) -> None:
    """Copy within the kernel."""
    while count:
        sent = os.sendfile(target, source, offset, count)
        if not sent:
            raise OSError(0, 'a spill file ended too soon')
        offset, count = offset + sent, count - sent
