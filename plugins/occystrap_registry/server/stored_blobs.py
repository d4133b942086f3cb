"""Blobs on disk: a pool with all content, and in each repository links to its blobs in the pool."""
import os
import stat
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from occystrap_core.oci import BLOB_DIRECTORIES, Digest, blob_name
from occystrap_registry.server.contents import Contents
from occystrap_registry.server.problems import Problem
from occystrap_registry.server.storage_files import StorageFiles, kept_alive, open_regular

REPOSITORIES = 'repositories'
"""The directory of all repositories."""
GRACE = 3600.0
"""Seconds that an unreferenced blob stays after it was pushed, mounted, or reported to a client."""
_RENEWED = GRACE / 6
"""A blob's mtime is set again if it is older than this many seconds."""


class StoredBlobs(Contents):
    """The blobs of all repositories below a directory; subclasses add the other contents of repositories.

    `blobs/<algorithm>/<hex>` is the pool. `repositories/<name>/_layout/blobs/…` are links to the repository's blobs in
    it: the link shows that the repository has a blob, and the number of links which blobs the pool may remove.
    Incomplete files are in `temporary/`.
    """

    largest = float('inf')
    """Limit of a blob in bytes."""

    def __init__(self, root: Path, durable: bool = False, read_only: bool = False) -> None:
        """Create what is missing, unless `read_only`; a `durable` storage survives a power failure.

        Raises OSError.
        """
        self.files, self.directory = StorageFiles(root, durable), str(root)
        self.temporary = self.files.temporary
        self.repositories_directory = root / REPOSITORIES
        self._repositories = str(self.repositories_directory)
        self.read_only = read_only
        for directory in (*(root / name for name in BLOB_DIRECTORIES), self.repositories_directory, self.temporary):
            if not read_only:
                self.files.make_directory(directory)
        self.guard = threading.RLock()
        """Held while a blob is looked up, linked, touched or unlinked, so that a reported blob stays. Slower
        operations, such as copying, are done without it."""

    def at_hand(self) -> AbstractContextManager[bool]:
        """Hold the guard while the with block runs, unless another thread holds it; yield whether it is held."""
        return self._unless_taken()

    @contextmanager
    def _unless_taken(self) -> Iterator[bool]:
        is_held = self.guard.acquire(blocking=False)
        try:
            yield is_held
        finally:
            if is_held:
                self.guard.release()

    def require_room(self, count: int) -> None:
        """Raise OSError if `count` more bytes must not be written; here only the disk limits that."""

    def try_out(self) -> None:
        """Raise OSError if the storage cannot be read or, unless read-only, written."""
        os.stat(self.repositories_directory)
        if not self.read_only:
            self.files.write_incomplete(b'1').unlink()

    def blob(self, digest: Digest) -> Path:
        """Return the path for the content of `digest`, which need not exist."""
        return self.files.root / blob_name(digest)

    def layout(self, repository: str) -> Path:
        """Return the directory of a repository's OCI layout, which need not exist."""
        return self.repositories_directory / repository / '_layout'

    def blob_size(self, repository: str, digest: Digest) -> int:
        """Return the size in bytes of a repository's blob, which is then kept for a while; raises Problem 404
        BLOB_UNKNOWN."""
        found = self._renewed(self._linked(repository, digest))
        if found is None:
            raise no_blob(repository, digest)
        return found.st_size

    def open_blob(self, repository: str, digest: Digest) -> BinaryIO:
        """Return a repository's blob, open for reading; raises Problem 404 BLOB_UNKNOWN."""
        try:
            return open(open_regular(self._linked(repository, digest)), 'rb', buffering=0)
        except FileNotFoundError:
            raise no_blob(repository, digest) from None

    def has_blob(self, repository: str, digest: Digest) -> bool:
        """Return whether a repository has a blob, which is then kept for a while."""
        return self._renewed(self._linked(repository, digest)) is not None

    def add_blob(self, repository: str, digest: Digest, complete: Path) -> None:
        """Add a complete file, whose digest was checked, as a blob; raises OSError."""
        self._take_over(repository, digest, complete)

    def mount_blob(self, repository: str, digest: Digest, origin: str | None) -> bool:
        """Link a blob of `origin`, or of any repository if that is None, to `repository`; return whether it is there
        now."""
        pool, linked = self.blob(digest), self._linked(repository, digest)
        if not (pool.exists() if origin is None else self.has_blob(origin, digest)):
            return False  # without a trace of a repository that may never come
        self.files.make_directory(linked.parent)
        try:
            with self.guard:
                if origin is not None and not self.has_blob(origin, digest):
                    return False
                is_linked = self._link(pool, linked)
            if not is_linked:
                self.files.copy(pool, linked)
        except FileNotFoundError:
            return False
        self.files.sync_names(linked.parent)
        return True

    def discard_blob(self, repository: str, digest: Digest) -> None:
        """Remove a blob from a repository and from the pool, which frees its space."""
        with self.guard:
            self._linked(repository, digest).unlink(missing_ok=True)
            self.blob(digest).unlink(missing_ok=True)

    def remove_if_old(self, path: Path, grace: float, alone: bool = False) -> bool:
        """Remove a blob that no client was told of for `grace` seconds; with `alone`, only if it has no other name.

        Return whether it was removed.
        """
        with suppress(FileNotFoundError), _kept_alive(path), self.guard:
            found = path.stat()
            if time.time() - found.st_mtime > grace and not (alone and found.st_nlink > 1):
                path.unlink()
                return True
        return False

    def _take_over(self, repository: str, digest: Digest, complete: Path) -> None:
        try:
            self.files.sync_content(complete)
            self._store(self.blob(digest), self._linked(repository, digest), complete)
        finally:
            complete.unlink(missing_ok=True)

    def _store(self, pool: Path, linked: Path, complete: Path) -> None:
        """Link a file, which the caller removes later, to the pool and to a repository; repair damaged files there."""
        self.files.make_directory(linked.parent)
        size = complete.stat().st_size
        for path in (pool,) if _is_one_file(pool, linked) else (pool, linked):
            self.files.mend(path, complete)
        with self.guard:
            for path in (pool, linked):
                _remove_damaged(path, size)
            self.files.link(complete, pool)
            is_linked = self._link(pool, linked)
        if not is_linked:
            self.files.copy(complete, linked)
        self.files.sync_names(pool.parent)
        self.files.sync_names(linked.parent)

    def _link(self, pool: Path, linked: Path) -> bool:
        """Link a blob of the pool to a repository, and set its mtime to now.

        Return False if it has the maximum number of names, and must be copied. Raises FileNotFoundError, OSError.
        """
        os.utime(pool)
        if not self.files.link(pool, linked):
            return False
        os.utime(linked, follow_symlinks=False)
        return True

    def _renewed(self, path: Path) -> os.stat_result | None:
        """Return the status of a file that is kept for a while from now on, None if it does not exist.

        The client may rely on the answer. A file that is young stays anyway, so nothing is waited for.
        """
        try:
            found = path.lstat()
            if not stat.S_ISREG(found.st_mode):
                return None
            if time.time() - found.st_mtime > _RENEWED and not self.read_only:
                with self.guard:
                    os.utime(path, follow_symlinks=False)
        except FileNotFoundError:
            return None
        return found

    def _linked(self, repository: str, digest: Digest) -> Path:
        return known_path(f'{self._repositories}/{repository}/_layout/{blob_name(digest)}')


@lru_cache(2048)
def known_path(text: str) -> Path:
    """Return a path, cached because making one takes as long as opening a file, and the same paths recur."""
    return Path(text)


def no_blob(repository: str, digest: Digest) -> Problem:
    """Return the error for a blob that a repository does not have."""
    return Problem(404, 'BLOB_UNKNOWN', f'{repository} has no blob {digest}')


@contextmanager
def _kept_alive(path: Path) -> Iterator[None]:
    """Keep the content of a file while the block runs, even if its last name is removed; raises FileNotFoundError,
    OSError."""
    descriptor = kept_alive(path)
    try:
        yield
    finally:
        os.close(descriptor)


def _is_one_file(first: Path, second: Path) -> bool:
    with suppress(FileNotFoundError):
        return os.path.samestat(first.lstat(), second.lstat())
    return False


def _remove_damaged(path: Path, size: int) -> None:
    """Remove a blob of the wrong size, so that a push repairs it; other damage is repaired by `mend`."""
    with suppress(FileNotFoundError):
        if path.stat().st_size != size:
            path.unlink()
