"""The staging area of a proxy: what clients push is kept here until it is downstream; clients cannot pull it."""
import errno
import os
import shutil
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import BinaryIO

from occystrap_core import OccystrapError
from occystrap_core.files import size_text
from occystrap_core.oci import BLOB_DIRECTORIES, Digest
from occystrap_registry.proxy.downstream_blobs import DownstreamBlobs
from occystrap_registry.proxy.order_problems import pull_problem
from occystrap_registry.proxy.readiness import Readiness
from occystrap_registry.proxy.remote import Remote
from occystrap_registry.server.background_work import BackgroundWork
from occystrap_registry.server.garbage import collect
from occystrap_registry.server.problems import Problem
from occystrap_registry.server.storage import PushedManifest, Storage
from occystrap_registry.server.stored_blobs import GRACE

_UNDER_PRESSURE = 600.0
"""Seconds for which staged data is kept at least, even if there is no room for more."""
_LOOK = 300.0
"""Seconds between two collections."""
_MEASURED = 1.0
"""Seconds for which a measurement of the room is valid, apart from what was written since."""


class Staging(Storage):
    """A storage of pushed data with at most `quota` bytes; missing blobs are fetched from downstream."""

    def __init__(self, root: Path, downstream: Remote, blobs: DownstreamBlobs, readiness: Readiness, quota: int,
                 ) -> None:
        super().__init__(root)
        self._downstream, self._blobs, self._readiness, self._quota = downstream, blobs, readiness, quota
        self._used, self._measured = 0, float('-inf')
        self._busy: Counter[str] = Counter()
        self._room = threading.Lock()
        self.is_uploading: Callable[[str], bool] = lambda repository: False

    def at_hand(self) -> AbstractContextManager[bool]:
        """Yield False: what is not staged is fetched from downstream."""
        return nullcontext(False)

    def try_out(self) -> None:
        """Raise OSError if nothing can be written here, ServiceUnavailable if downstream does not answer."""
        super().try_out()
        self._readiness.require()

    def require_room(self, count: int) -> None:
        """Raise OSError if there is no room for `count` bytes and nothing can be removed."""
        with self._room:
            self._used += count
            if self._used > self._quota and time.monotonic() - self._measured > _MEASURED:
                self._measure(count)
            if self._used > self._quota:
                self._used -= count
                raise OSError(errno.EDQUOT, f'the staging area has only {size_text(self._quota)} (--quota)')

    def stage(self, repository: str, manifest: PushedManifest) -> None:
        """Store a manifest; raises Problem 400 MANIFEST_BLOB_UNKNOWN for a part that is neither here nor downstream."""
        for digest in manifest.blobs:
            if not self.has_blob(repository, digest) and self._blobs.size(repository, digest) is None:
                raise _unknown(repository, digest)
        for digest in manifest.manifests:
            if not self.has_manifest(repository, digest) and self._downstream.manifest(repository, digest) is None:
                raise _unknown(repository, digest)
        self.add_manifest(repository, manifest._replace(blobs=(), manifests=(), subject=None, tags=()))

    def blob_size(self, repository: str, digest: Digest) -> int:
        """Return the size of a blob that is staged, or downstream; raises Problem 404."""
        try:
            return super().blob_size(repository, digest)
        except Problem:
            if (size := self._blobs.size(repository, digest)) is None:
                raise
            return size

    def open_blob(self, repository: str, digest: Digest) -> BinaryIO:
        """Open a blob, fetching it if only downstream has it; raises Problem 404."""
        try:
            return super().open_blob(repository, digest)
        except Problem:
            self.fetch(repository, digest)
            return super().open_blob(repository, digest)

    def add_blob(self, repository: str, digest: Digest, complete: Path) -> None:
        """Store a blob; one that is damaged downstream is also repaired there. Raises Problem if that fails."""
        super().add_blob(repository, digest, complete)
        self._mend(repository, digest)

    def mount_blob(self, repository: str, digest: Digest, origin: str | None) -> bool:
        """Store a blob of another repository in the same way; return whether it is there."""
        if not super().mount_blob(repository, digest, origin):
            return False
        self._mend(repository, digest)
        return True

    def manifest(self, repository: str, reference: Digest | str) -> tuple[Digest, str, bytes]:
        """Return a manifest that is staged, or downstream by its digest; raises Problem 404."""
        try:
            return super().manifest(repository, reference)
        except Problem:
            found = self._downstream.manifest(repository, reference) if isinstance(reference, Digest) else None
            if found is None:
                raise
            return found.digest, found.media_type, found.raw

    def fetch(self, repository: str, digest: Digest) -> None:
        """Stage a blob from downstream; raises Problem 404, InvalidImage if it is damaged, OSError."""
        with self.changing(digest):
            if self.has_blob(repository, digest):
                return
            if (size := self._downstream.blob_size(repository, digest)) is None:
                raise Problem(404, 'BLOB_UNKNOWN', f'{repository} has no blob {digest}')
            path = self.files.new_name()
            try:
                with open(path, 'xb') as file:
                    for piece in self._blobs.pieces(repository, digest, size):
                        self.require_room(len(piece))
                        file.write(piece)
                self.add_blob(repository, digest, path)
            finally:
                path.unlink(missing_ok=True)

    @contextmanager
    def in_use(self, repository: str) -> Iterator[None]:
        """Keep everything that a repository has while the block runs."""
        with self._room:
            self._busy[repository] += 1
        try:
            yield
        finally:
            with self._room:
                self._busy[repository] -= 1

    def clear(self) -> None:
        """Remove everything, before anything is pushed; raises OSError."""
        for directory in (self.repositories_directory, *(self.files.root / name for name in BLOB_DIRECTORIES)):
            shutil.rmtree(directory)
            directory.mkdir()

    def clean(self, grace: float = GRACE) -> None:
        """Remove what no client has requested for `grace` seconds; raises OSError, OutputError."""
        collect(self, untagged=True, is_busy=lambda name: self._busy[name] > 0 or self.is_uploading(name), grace=grace)

    def _mend(self, repository: str, digest: Digest) -> None:
        try:
            self._blobs.mend(repository, digest, self.blob(digest))
        except OccystrapError as error:
            raise pull_problem(error) from None

    def _measure(self, count: int) -> None:
        """Measure how much room is used, after removing old data."""
        self.clean(_UNDER_PRESSURE)
        self._used, self._measured = sum(_sizes(self.files.root)) + count, time.monotonic()


class StagingUpkeep(BackgroundWork):
    """Cleans a staging area every few minutes, on a thread of its own, while the with block runs."""

    def __init__(self, staging: Staging, others: Callable[[], object]) -> None:
        """`others` is called equally often."""
        super().__init__('staging')
        self._staging, self._others = staging, others

    def _run(self) -> None:
        while not self._ending.wait(_LOOK):
            self._try(self._others)
            self._try(self._staging.clean)


def _unknown(repository: str, digest: Digest) -> Problem:
    return Problem(400, 'MANIFEST_BLOB_UNKNOWN', f'{repository} has no {digest}')


def _sizes(root: Path) -> Iterator[int]:
    """Yield the sizes of all content, each blob once, and of what is being uploaded."""
    for directory in (*(root / name for name in BLOB_DIRECTORIES), root / 'temporary'):
        for entry in os.scandir(directory):
            try:
                yield entry.stat().st_size
            except FileNotFoundError:  # removed meanwhile
                continue
