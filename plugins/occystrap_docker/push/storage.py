"""The storage of a temporary registry: reports blobs as they arrive, and removes them when they are used."""
import hmac
import os
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import NamedTuple

from occystrap_core.oci import Digest
from occystrap_registry.embedded import Problem, PushedManifest, Storage


class Blob(NamedTuple):
    """A complete blob, whose digest the registry has checked."""

    digest: Digest
    path: Path


class PushStorage(Storage):
    """Accepts one repository with a secret name, reports each blob, and removes those that were used."""

    def __init__(self, root: Path, repository: str, arrived: Callable[[Blob], None],
                 elsewhere: Callable[[Digest], int | None], largest: float = float('inf')) -> None:
        """`arrived` is called, on the registry's thread, with each new blob; `elsewhere` returns the size in bytes of a
        blob that need not be pushed, else None. A blob may have `largest` bytes."""
        super().__init__(root)
        self.largest = largest
        self._repository, self._arrived, self._elsewhere = repository, arrived, elsewhere
        self.left_out: dict[Digest, int] = {}
        """Blobs that are reported as present but were not pushed, since the destination has them; sizes in bytes."""
        self._taken: dict[Digest, int] = {}
        self._adding = threading.Lock()

    def admits(self, path: str) -> bool:
        """Return whether a path begins with the repository's secret name; compares in constant time."""
        mine = f'/v2/{self._repository}/'
        return hmac.compare_digest(path[:len(mine)].encode(), mine.encode())

    def at_hand(self) -> AbstractContextManager[bool]:
        """Yield False: whether a blob is needed is asked elsewhere, and removing a large one takes time."""
        return nullcontext(False)

    def add_blob(self, repository: str, digest: Digest, complete: Path) -> None:
        """Take over a complete file and report it, unless it was here before."""
        self._require(repository, complete)
        with self._adding:
            self.left_out.pop(digest, None)
            if self.has_blob(repository, digest):
                complete.unlink()
                return
            super().add_blob(repository, digest, complete)
        self._arrived(Blob(digest, self.blob(digest)))

    def has_blob(self, repository: str, digest: Digest) -> bool:
        """Return whether a blob is here, was here, or is not needed."""
        with self.guard:
            return repository == self._repository and (
                digest in self._taken or digest in self.left_out or super().has_blob(repository, digest))

    def blob_size(self, repository: str, digest: Digest) -> int:
        """Return the size in bytes of a blob that is here, was here, or is not needed.

        Daemons ask before an upload, if they know the digest by then, and Docker also after it.
        """
        if not self.has_blob(repository, digest) and repository == self._repository:
            if size := self._elsewhere(digest):
                self.left_out[digest] = size
        with self.guard:
            known = {**self.left_out, **self._taken} if repository == self._repository else {}
            return known[digest] if digest in known else super().blob_size(repository, digest)

    def add_manifest(self, repository: str, manifest: PushedManifest) -> None:
        """Keep a manifest."""
        self._require(repository)
        super().add_manifest(repository, manifest)

    def take(self, blob: Blob) -> None:
        """Remove the file of a blob that was used."""
        with self.guard:
            self._taken[blob.digest] = blob.path.stat().st_size
            self.discard_blob(self._repository, blob.digest)

    def under_way(self) -> int:
        """Return how many bytes of incomplete blobs have arrived, which shows whether a silent daemon is active."""
        total = 0
        for entry in os.scandir(self.temporary):
            try:
                total += entry.stat().st_size
            except FileNotFoundError:  # completed meanwhile
                continue
        return total

    def _require(self, repository: str, complete: Path | None = None) -> None:
        if repository != self._repository:
            if complete:
                complete.unlink()
            raise Problem(404, 'NAME_UNKNOWN', 'there is no such repository')
