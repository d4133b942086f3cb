"""Garbage collection: unreferenced blobs are removed, but never what a current push relies on.

A client that was told that a blob exists may rely on it for `GRACE` seconds: the answer sets the blob's mtime. Only
older blobs are removed, after another check while holding the storage's guard. Each step removes one file that nothing
needs, so that the process may be killed at any point.
"""
import os
from collections.abc import Callable, Iterable, Iterator, Set
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from occystrap_core import InvalidImage, OutputError
from occystrap_core.oci import (
    BLOB_DIRECTORIES, Descriptor, Digest, Index, Manifest, parse_manifest_or_index, subject_of,
)
from occystrap_registry.server.storage import Storage
from occystrap_registry.server.storage_files import DamagedFile
from occystrap_registry.server.stored_blobs import GRACE


class Collected(NamedTuple):
    """What was removed."""

    manifests: int = 0
    blobs: int = 0
    size: int = 0
    """The number of bytes that were freed."""


class Pool(NamedTuple):
    """The content of a storage."""

    blobs: int
    """The number of its blobs, including manifests."""
    size: int
    """Their bytes."""


class _Document(NamedTuple):
    """The digests that a manifest refers to."""

    children: frozenset[Digest]
    blobs: frozenset[Digest]
    subject: Digest | None


def collect(storage: Storage, untagged: bool = False, is_busy: Callable[[str], bool] = lambda repository: False,
            grace: float = GRACE) -> Collected:
    """Remove blobs that no manifest of their repository refers to and, with `untagged`, manifests that no tag leads to.

    A tag leads to its manifest, an index to its entries, a manifest to its referrers. What is younger than `grace`
    seconds stays, with what it leads to, and so does everything in repositories to which something is being uploaded.
    Raises OSError and, at the end, OutputError for a damaged manifest, from whose repository nothing was removed.
    """
    manifests, damage = 0, list[OutputError]()
    for repository in sorted(storage.repositories_with_blobs()):
        if not is_busy(repository):
            try:
                manifests += _collect_repository(storage, repository, untagged, grace)
            except OutputError as error:
                damage.append(error)
            except DamagedFile as error:
                damage.append(OutputError(f'{error.strerror}: nothing of {repository} was removed'))
    collected = Collected(manifests, *_collect_pool(storage, grace))
    if damage:
        raise damage[0]
    return collected


def _collect_repository(storage: Storage, repository: str, untagged: bool, grace: float) -> int:
    """Remove unreferenced blobs of one repository; return how many of them were manifests."""
    documents = dict(_documents(storage, repository))
    removed = set[Digest]()
    if untagged:
        removed = _remove_untagged(storage, repository, documents, grace)
    storage.forget_referrers(repository)
    named = {each for digest, document in documents.items() if digest not in removed
             for each in (digest, *document.blobs)}
    for digest, path in _blobs(storage.layout(repository)):
        if digest not in named:
            storage.remove_if_old(path, grace)
    return len(removed)


def _documents(storage: Storage, repository: str) -> Iterator[tuple[Digest, _Document]]:
    for digest in storage.manifests(repository):
        try:
            yield digest, _read(storage, repository, digest)
        except FileNotFoundError:
            if storage.has_manifest(repository, digest):  # else it was removed meanwhile
                yield digest, _read_again(storage, repository, digest)


def _read_again(storage: Storage, repository: str, digest: Digest) -> _Document:
    """Return a manifest that is missing in a repository, restoring it from the pool; raises OutputError."""
    if not storage.mount_blob(repository, digest, None):
        raise OutputError(f'{repository}: the manifest {digest} is missing, so what it needs is unknown: push it '
                          'again, or delete it')
    return _read(storage, repository, digest)


def _read(storage: Storage, repository: str, digest: Digest) -> _Document:
    media_type, raw = storage.read_manifest(repository, digest)
    try:
        if Digest.of(raw, digest.algorithm) != digest:
            raise InvalidImage('its bytes have another digest')
        parsed = parse_manifest_or_index(raw, media_type, digest.algorithm)
        return _Document(_digests(parsed.manifests if isinstance(parsed, Index) else ()), _digests(
            (parsed.config, *parsed.layers) if isinstance(parsed, Manifest) else ()), subject_of(parsed))
    except InvalidImage as error:
        raise OutputError(f'{repository}: the manifest {digest} is damaged, so what it needs is unknown: {error}; '
                          'delete it') from None


def _digests(descriptors: tuple[Descriptor, ...]) -> frozenset[Digest]:
    return frozenset(each.digest for each in descriptors)


def _remove_untagged(storage: Storage, repository: str, documents: dict[Digest, _Document], grace: float,
                     ) -> set[Digest]:
    """Remove manifests that neither a tag nor a young manifest leads to; return their digests.

    A manifest goes before what it leads to. One that must stay, because a client was told of it even a moment ago, so
    keeps all of that, and whoever pushes one again that is gone finds that its parts are missing, or renews them.
    """
    leads = _leads(documents)
    needed = _reached(leads, [digest for _, digest in storage.tag_digests(repository)])
    removed = set[Digest]()
    for digest in _leaders_first(leads, documents.keys() - needed):
        if digest in needed:
            continue
        if storage.remove_untagged(repository, digest, grace):
            removed.add(digest)
        else:
            needed |= _reached(leads, [digest])
    return removed


def _leads(documents: dict[Digest, _Document]) -> dict[Digest, list[Digest]]:
    """Return the manifests to which each one leads: the entries of an index, and referrers."""
    found = {digest: sorted(document.children & documents.keys()) for digest, document in documents.items()}
    for digest, document in documents.items():
        if document.subject and document.subject in found:
            found[document.subject].append(digest)
    return found


def _reached(leads: dict[Digest, list[Digest]], roots: Iterable[Digest]) -> set[Digest]:
    """Return the manifests that can be reached from others, including these."""
    found, pending = set[Digest](), list(roots)
    while pending:
        digest = pending.pop()
        if digest not in found and digest in leads:
            found.add(digest)
            pending += leads[digest]
    return found


def _leaders_first(leads: dict[Digest, list[Digest]], digests: Set[Digest]) -> list[Digest]:
    """Return these manifests, each before those to which it leads, as far as they do not lead to each other."""
    order, seen = list[Digest](), set[Digest]()
    pending = [(digest, False) for digest in digests]
    while pending:
        digest, is_done = pending.pop()
        if is_done:
            order.append(digest)
        elif digest not in seen:
            seen.add(digest)
            pending += [(digest, True), *((each, False) for each in leads[digest] if each in digests)]
    return order[::-1]


def _collect_pool(storage: Storage, grace: float) -> tuple[int, int]:
    """Remove the blobs that no repository has; return their number and size in bytes."""
    count = size = 0
    for _, path in _blobs(storage.files.root):
        found = os.lstat(path)
        if found.st_nlink == 1 and storage.remove_if_old(path, grace, alone=True):
            count, size = count + 1, size + found.st_size
    return count, size


def measure(storage: Storage) -> Pool:
    """Return what a storage holds; raises OSError."""
    count = size = 0
    for _, path in _blobs(storage.files.root):
        with suppress(FileNotFoundError):  # removed meanwhile
            size += os.lstat(path).st_size
            count += 1
    return Pool(count, size)


def _blobs(layout: Path) -> Iterator[tuple[Digest, Path]]:
    for directory in (layout / name for name in BLOB_DIRECTORIES):
        if directory.is_dir():
            for entry in os.scandir(directory):
                with suppress(InvalidImage):  # not a blob of ours
                    yield Digest.of_hex(entry.name), Path(entry.path)
