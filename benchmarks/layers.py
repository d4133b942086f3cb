"""Entries a second, on the largest layers of the real image: ours beside others: `python -m benchmarks.layers`.

Reading lists all entries; rewriting sets all times and writes the tar to nowhere. CPU seconds, the best of three; the
time that hashing the same bytes takes, which ours does as well, is shown beside. libarchive-c is measured where it is
installed.
"""
import hashlib
import io
import json
import os
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from occystrap_core.image.layer import TarLayer
from occystrap_core.tar.entry import TarEntry
from occystrap_core.tar.rewriter import RewrittenTar
from tests.services.real_image import real_image
from tests.services.real_layers import LARGE

Opener = Callable[[], io.RawIOBase]


class Part(io.RawIOBase):
    """A member of an archive, as a file."""

    def __init__(self, path: Path, offset: int, size: int) -> None:
        self._file = open(path, 'rb', buffering=0)
        self._file.seek(offset)
        self._left = size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        count = self._file.readinto(memoryview(buffer)[:self._left]) or 0
        self._left -= count
        return count


class Nowhere(io.RawIOBase):
    """Takes everything."""

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        return len(data)  # type: ignore[arg-type]


def layers(archive: Path) -> Iterator[tuple[str, int, Opener]]:
    """Yield the large layers of an archive: a name, the number of entries, what opens the tar."""
    with tarfile.open(archive) as tar:
        manifest = json.load(tar.extractfile('manifest.json') or io.BytesIO())
        for name in manifest[0]['Layers']:
            member = tar.getmember(name)
            if member.issym():
                member = tar.getmember(os.path.normpath(os.path.join(os.path.dirname(name), member.linkname)))
            offset, size = member.offset_data, member.size
            if size > 50 << 20:
                with tarfile.open(fileobj=io.BufferedReader(Part(archive, offset, size)), mode='r|') as layer:
                    count = sum(1 for _ in layer)
                yield (f'layer {manifest[0]["Layers"].index(name)}, {size >> 20} MiB', count,
                       lambda offset=offset, size=size: Part(archive, offset, size))  # type: ignore[misc]


def ours(open_tar: Opener, function: Callable[[TarEntry], TarEntry]) -> None:
    """Pass all entries through a function."""
    for _ in RewrittenTar(TarLayer(0, None, open_tar).tar(), [function]).chunks():  # type: ignore[arg-type]
        pass


def timeless(entry: TarEntry) -> TarEntry:
    """Set all times."""
    entry.set_times(0)
    return entry


def named(entry: TarEntry) -> TarEntry:
    """Look at the name."""
    entry.name
    return entry


def with_tarfile(open_tar: Opener, rewrite: bool) -> None:
    """List or copy the tar with the standard library."""
    with tarfile.open(fileobj=io.BufferedReader(open_tar(), 1 << 20), mode='r|') as source:
        if not rewrite:
            for _ in source:
                pass
            return
        nowhere = io.BufferedWriter(Nowhere(), 1 << 20)
        with tarfile.open(fileobj=nowhere, mode='w|', format=tarfile.PAX_FORMAT) as target:
            for member in source:
                member.mtime = 0
                target.addfile(member, source.extractfile(member) if member.isreg() else None)


def with_libarchive(open_tar: Opener) -> None:
    """List the tar with libarchive-c."""
    import libarchive  # type: ignore[import-not-found]
    with libarchive.stream_reader(io.BufferedReader(open_tar(), 1 << 20), 'tar') as entries:
        for entry in entries:
            entry.pathname


def hashing(open_tar: Opener) -> None:
    """Hash all bytes."""
    digest, source, buffer = hashlib.sha256(), open_tar(), memoryview(bytearray(512 << 10))
    while count := source.readinto(buffer):  # type: ignore[attr-defined]
        digest.update(buffer[:count])


def best(work: Callable[[], None]) -> float:
    """Return the CPU seconds of the best of three runs."""
    taken = []
    for _ in range(3):
        before = time.process_time()
        work()
        taken.append(time.process_time() - before)
    return min(taken)


def main() -> None:
    """Print a table for each layer."""
    for name, count, open_tar in layers(real_image(LARGE).archive):
        print(f'\n### {name}, {count} entries\n| what | CPU s | entries a CPU second |\n| --- | --- | --- |')
        works: dict[str, Callable[[], None]] = {
            'hashing alone': lambda: hashing(open_tar),
            'reading, ours': lambda: ours(open_tar, named),
            'reading, tarfile': lambda: with_tarfile(open_tar, False),
            'reading, libarchive-c': lambda: with_libarchive(open_tar),
            'rewriting, ours, hashed before and behind': lambda: ours(open_tar, timeless),
            'rewriting, tarfile, not hashed': lambda: with_tarfile(open_tar, True)}
        for what, work in works.items():
            try:
                seconds = best(work)
            except ImportError as error:
                print(f'| {what} | – | {error} |')
                continue
            print(f'| {what} | {seconds:.3f} | {count / seconds:,.0f} |', flush=True)


if __name__ == '__main__':
    main()
