"""Layers that are unpacked without a command: the tree, its list, and what the limits counted."""
import io
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from occystrap_core import CheckResults, Settings
from occystrap_core.files import ByteStream
from occystrap_core.oci import Digest
from occystrap_dir.extraction.marks import Hiding, Marks
from occystrap_dir.extraction.staged_directory import Staging
from occystrap_dir.extraction.tree import Tree
from occystrap_dir.extraction.unpacked_tree import Limits, Unpacking
from occystrap_dir.file_list.file_system import FileSystem
from occystrap_dir.file_list.head import Head, lines_of
from occystrap_dir.file_list.mtree import Line
from occystrap_dir.file_list.tree_check import TreeCheck
from occystrap_dir.workspace.beneath import Beneath
from tests.unit.core.tar.raw import END, member

OPTIONS = {'max_unpacked': 1 << 30, 'max_entries': 1000, 'max_names': 1 << 20, 'rootless': False, 'mode': None}


def stream_of(*entries: bytes) -> ByteStream:
    """Return a layer of these entries."""
    return ByteStream(io.BytesIO(b''.join(entries) + END))


def unpacking_in(place: Path, limits: Limits | None = None, marks: Callable[[Tree], Marks] = Hiding) -> Unpacking:
    """Return what unpacks into `place/tree`."""
    staging = Staging(Beneath(str(place)), 'tree', sync=False)
    return Unpacking(staging, 'dir://out', limits or Limits(OPTIONS), sync=False, marks=marks)


def unpack(place: Path, *layers: Sequence[bytes], **options: object) -> tuple[Path, list[Line]]:
    """Unpack layers, each of several entries; return the tree and the lines of its list."""
    root, listing, _ = unpack_counted(place, *layers, **options)
    file = io.BytesIO(listing)
    Head.read(file)
    return root, list(lines_of(file))


def unpack_counted(place: Path, *layers: Sequence[bytes], image_id: Digest | None = None, **options: object,
                   ) -> tuple[Path, bytes, Limits]:
    """Unpack layers; return the tree, its list, and what was counted."""
    limits, written = Limits({**OPTIONS, **options}), io.BytesIO()
    unpacking = unpacking_in(place, limits)
    unpacking.begin()
    try:
        for entries in layers:
            unpacking.add(stream_of(*entries))
        digest, size = unpacking.finish(written.write, image_id)
        unpacking.staging.commit()
    finally:
        unpacking.abort()
    assert (digest, size) == (Digest.of(written.getvalue()), len(written.getvalue()))
    return place / 'tree', written.getvalue(), limits


def by_path(lines: Sequence[Line]) -> dict[str, Line]:
    """Return the lines by path."""
    return {os.fsdecode(line.path): line for line in lines}


def file(name: bytes, content: bytes = b'x', **fields: bytes) -> bytes:
    """Return a regular file with its content."""
    return member(name, content, **fields)


def other(name: bytes, kind: bytes, **fields: bytes) -> bytes:
    """Return an entry without content, of the type with this flag."""
    return member(name, b'', kind, **fields)


def directory(name: bytes, **fields: bytes) -> bytes:
    """Return a directory."""
    return other(name, b'5', **{'mode': b'0000755\0', **fields})


def differences(root: Path, lines: Sequence[Line], file_system: FileSystem = FileSystem(), *, full: bool = False,
                may_miss: bool = False) -> list[str]:
    """Return how a tree differs from lines of a list."""
    results = CheckResults()
    descriptor = os.open(root, os.O_RDONLY)
    try:
        TreeCheck(descriptor, 'tree', file_system, full, Settings(), results, may_miss).check(lines)
    finally:
        os.close(descriptor)
    return [str(each) for each in results.results]
