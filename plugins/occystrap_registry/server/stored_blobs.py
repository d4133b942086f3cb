"""Blobs on disk: a pool of all content, and in each repository links to what it has of that."""
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
"""Age in seconds from which on a blob's time is set anew."""


class StoredBlobs(Contents):
    """The blobs of all repositories below a directory; what else a repository has is for derived classes.

    `blobs/<algorithm>/<hex>` is the pool. `repositories/<name>/_layout/blobs/…` are links to what the repository has of
    it: the link is the mark that it has a blob, and its count says what the pool may forget. Incomplete files are in
    `temporary/`.
    """

    largest = float('inf')
    """Limit of a blob in bytes."""

    def __init__(self, root: Path, durable: bool = False, read_only: bool = False) -> None:
        """Make what is missing, unless it is `read_only`; `durable` is for what has to survive a failure of power.

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
        """Held while a blob is looked for, linked, touched or unlinked, so that what was said to be there stays. What
        takes longer, such as copying, happens outside."""

    def at_hand(self) -> AbstractContextManager[bool]:
        """Hold the guard while the with block runs, unless another thread holds it; give whether it is held."""
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
        """Raise OSError if `count` more bytes may not be written; here the disk is the only limit."""

    def try_out(self) -> None:
        """Raise OSError if nothing can be read here, or written where it may be."""
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
        """Return the size in bytes of a repository's blob, which stays for a while; raises Problem 404 BLOB_UNKNOWN."""
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
        """Return whether a repository has a blob, which then stays for a while."""
        return self._renewed(self._linked(repository, digest)) is not None

    def add_blob(self, repository: str, digest: Digest, complete: Path) -> None:
        """Take over a complete file whose digest was checked; raises OSError."""
        self._take_over(repository, digest, complete)

    def mount_blob(self, repository: str, digest: Digest, origin: str | None) -> bool:
        """Add a blob of `origin`, None for any repository, to `repository`; return whether it is there."""
        pool, linked = self.blob(digest), self._linked(repository, digest)
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
        """Remove a blob from a repository and from the pool, which frees its room."""
        with self.guard:
            self._linked(repository, digest).unlink(missing_ok=True)
            self.blob(digest).unlink(missing_ok=True)

    def remove_if_old(self, path: Path, grace: float, alone: bool = False) -> bool:
        """Remove a blob that no client was told of for `grace` seconds, with `alone` only if it has no other name.

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
        """Have a file, which is removed later, in the pool and in a repository; mend what is there and damaged."""
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
        """Give a blob of the pool its name in a repository, and the present time, by both names.

        Return False if it has as many names as there may be, and must be copied. Raises FileNotFoundError, OSError.
        """
        os.utime(pool)
        if not self.files.link(pool, linked):
            return False
        os.utime(linked, follow_symlinks=False)
        return True

    def _renewed(self, path: Path) -> os.stat_result | None:
        """Return the status of a file that stays for a while from now on, None if it does not exist.

        The client may rely on the answer.
        """
        with self.guard:
            try:
                found = path.lstat()
                if not stat.S_ISREG(found.st_mode):
                    return None
                if time.time() - found.st_mtime > _RENEWED and not self.read_only:
                    os.utime(path)
            except FileNotFoundError:
                return None
        return found

    def _linked(self, repository: str, digest: Digest) -> Path:
        return known_path(f'{self._repositories}/{repository}/_layout/{blob_name(digest)}')


@lru_cache(2048)
def known_path(text: str) -> Path:
    """Return a path; to make one takes as long as to open a file, and the same are asked for again and again."""
    return Path(text)


def no_blob(repository: str, digest: Digest) -> Problem:
    """Return the answer about a blob that a repository does not have."""
    return Problem(404, 'BLOB_UNKNOWN', f'{repository} has no blob {digest}')


@contextmanager
def _kept_alive(path: Path) -> Iterator[None]:
    """Keep a file while the block runs, though its last name is removed; raises FileNotFoundError, OSError."""
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
    """Remove a blob that has another size than it must have, so that a push mends it; `mend` does the rest."""
    with suppress(FileNotFoundError):
        if path.stat().st_size != size:
            path.unlink()
