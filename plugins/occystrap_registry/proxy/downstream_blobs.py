"""The blobs downstream, and which of them are damaged: those are sent again, and read back after that."""
import threading
from collections import Counter, deque
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

from occystrap_core import InvalidImage, OutputError, Receipt
from occystrap_core.files import CHUNK
from occystrap_core.oci import Digest, Index, Manifest
from occystrap_core.orders import ImageDone
from occystrap_registry.distribution.known_blobs import ReadBlobs
from occystrap_registry.proxy.known_digests import KnownDigests
from occystrap_registry.proxy.remote import Remote

_NUMBERS = 4096
"""Number of counters of sends, by the blob's hash: blobs that share one may be read once more than necessary."""


class DownstreamBlobs:
    """The blobs of a proxy's downstream. Methods raise ServiceError, and may be called by several threads."""

    def __init__(self, downstream: Remote, known: KnownDigests) -> None:
        self._downstream, self._known = downstream, known

    def size(self, repository: str, digest: Digest) -> int | None:
        """Return the size in bytes of a blob; None if it is missing or damaged, so that clients push it."""
        return None if digest in self._known.damaged(repository) else self._downstream.blob_size(repository, digest)

    def pieces(self, repository: str, digest: Digest, size: int, at_once: int = CHUNK) -> Generator[bytes]:
        """Yield a blob in pieces; the last one only if the blob is intact.

        Raises ImageNotFound, DigestMismatch.
        """
        try:
            with self._downstream.blob(repository, digest, size) as stream:
                buffer = memoryview(bytearray(min(at_once, size) or 1))
                while count := stream.readinto(buffer):
                    yield bytes(buffer[:count])
        except InvalidImage as error:
            self._known.note_damaged(repository, [digest])
            raise error.renamed(f'{error}; push the image again, or pull its tag if it is from upstream') from None
        self._known.note_sound(repository, [digest])

    def mend(self, repository: str, digest: Digest, path: Path) -> None:
        """If a blob is damaged downstream, send it again, and read it back.

        Raises DigestMismatch if it is still damaged.
        """
        if digest in self._known.damaged(repository):
            self._downstream.send_blob(repository, digest, path)
            deque(self.pieces(repository, digest, path.stat().st_size), 0)

    def lacks_part_of(self, repository: str, document: Manifest | Index) -> bool:
        """Return whether an image downstream, or one that an index lists, has a damaged blob; raises InvalidImage."""
        if not (damaged := self._known.damaged(repository)):
            return False
        if isinstance(document, Manifest):
            return any(each.digest in damaged for each in (document.config, *document.layers))
        children = (self._downstream.manifest(repository, each.digest) for each in document.manifests)
        return any(self.lacks_part_of(repository, each) for each in children if each)

    def looked_at(self, repository: str, done: ImageDone, resent: frozenset[Digest]) -> ImageDone:
        """Record which blobs the verification of an image found intact or damaged; return `done`, with a clearer error.

        Verification has read back those that were `resent`.
        """
        if done.succeeded:
            expected = {each.digest for each in Receipt.from_json(done.receipt).expectations} if resent else set()
            self._known.note_sound(repository, resent & expected)
            return done
        self._known.note_damaged(repository, wrong := frozenset(_wrong_blobs(done)))
        for digest in wrong & resent:
            return done._replace(error=OutputError(
                f'{digest} is damaged downstream, and sending it again has not mended it: remove it there '
                f'({done.error})'))
        return done


class ReadOnce(ReadBlobs):
    """Remembers which blobs downstream verification has read back: each is read once, and again after it was sent.

    While a blob is being sent, and for reads that began before the end of that, nothing is recorded.
    """

    def __init__(self, downstream: Remote, known: KnownDigests, is_demanded: bool) -> None:
        """Nothing must be read unless `is_demanded`; reads and sends are recorded all the same, for the next start."""
        self._downstream, self._known, self._is_demanded = downstream, known, is_demanded
        self._under_way = Counter[tuple[str, Digest]]()
        self._ended = [0] * _NUMBERS
        self._lock = threading.Lock()

    def is_due(self, repository: str, digest: Digest, was_sent: bool) -> bool:
        """Return whether a blob must be read; the one who sent it must always read it."""
        own_name = self._downstream.own_name(repository)
        return self._is_demanded and (was_sent or not self._known.is_read(own_name, digest))

    def sends(self, repository: str, digest: Digest) -> int:
        """Return how often a blob was sent."""
        return self._ended[hash((repository, digest)) % _NUMBERS]

    def note_read(self, repository: str, digest: Digest, sends: int) -> None:
        """Record that a blob was read and intact, unless it may have been replaced since."""
        with self._lock:
            if not self._under_way[repository, digest] and self.sends(repository, digest) == sends:
                self._known.note_read(self._downstream.own_name(repository), digest)

    @contextmanager
    def sending(self, repository: str, digest: Digest) -> Iterator[None]:
        """Forget that a blob was read, and record no read of it until the block ends, in whatever way."""
        with self._lock:
            self._known.forget_read(self._downstream.own_name(repository), digest)
            self._under_way[repository, digest] += 1
        try:
            yield
        finally:
            with self._lock:
                self._ended[hash((repository, digest)) % _NUMBERS] += 1
                self._under_way -= Counter([(repository, digest)])


def _wrong_blobs(done: ImageDone) -> Iterator[Digest]:
    """Yield the blobs that verification has found damaged or missing."""
    for finding in done.report.get('findings', ()):
        kind, _, digest = finding['item'].partition(' ')
        if finding['severity'] == 'error' and kind in ('config', 'layer'):
            yield Digest(digest)
