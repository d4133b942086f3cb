"""index.json of a repository, which makes it an OCI layout for other programs; derived from the storage's files."""
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from occystrap_core.oci import (
    INDEX_FILE, LAYOUT_FILE, LAYOUT_VERSION, Descriptor, Digest, Entry, Index, IndexFile, media_types, named_entry,
    parse_manifest_or_index,
)
from occystrap_registry.server.storage import Storage

_TICK = 100_000_000
"""Two changes of a directory within this many nanoseconds may have the same mtime."""


def refresh_layouts(storage: Storage) -> None:
    """Write index.json of every repository whose tags or manifests have changed since it was written; raises OSError.

    This is not done during a push, whose cost would then grow with the number of tags.
    """
    for repository in storage.repositories():
        changed = _last_change(storage, repository)
        if _written(storage, repository) != changed:
            _write(storage, repository, changed)


def _write(storage: Storage, repository: str, changed: int) -> None:
    directory = storage.layout(repository)
    index = IndexFile.listing(_entries(storage, repository)).to_json()
    if not (directory / LAYOUT_FILE).exists():
        storage.files.write(directory / LAYOUT_FILE, LAYOUT_VERSION)
    storage.files.write(directory / INDEX_FILE, index)
    seen = changed if time.time_ns() - changed > _TICK else changed - 1  # a change within the same tick may be missing
    os.utime(directory / INDEX_FILE, ns=(seen, seen))


def _last_change(storage: Storage, repository: str) -> int:
    directory = storage.repositories_directory / repository
    return max(_changed(directory / '_manifests'), _changed(directory / '_tags'))


def _written(storage: Storage, repository: str) -> int:
    return _changed(storage.layout(repository) / INDEX_FILE)


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def _entries(storage: Storage, repository: str) -> Iterator[Entry]:
    """Yield an entry for each tag, and for each manifest that neither a tag nor an index refers to."""
    found = dict(_descriptors(storage, repository))
    led_to = {each for digest, entry in found.items() if entry.media_type in media_types.INDEXES
              for each in _children(storage, repository, digest)}
    for tag, digest in storage.tag_digests(repository):
        if digest in found:
            led_to.add(digest)
            yield named_entry(found[digest], tag)
    yield from (named_entry(entry, '') for digest, entry in found.items() if digest not in led_to)


def _descriptors(storage: Storage, repository: str) -> Iterator[tuple[Digest, Descriptor]]:
    for digest in storage.manifests(repository):
        if found := storage.stored_manifest(repository, digest):
            yield digest, Descriptor(found[0], digest, found[1])


def _children(storage: Storage, repository: str, digest: Digest) -> Iterator[Digest]:
    with suppress(FileNotFoundError):  # removed meanwhile
        media_type, raw = storage.read_manifest(repository, digest)
        parsed = parse_manifest_or_index(raw, media_type, digest.algorithm)
        yield from (each.digest for each in parsed.manifests) if isinstance(parsed, Index) else ()
