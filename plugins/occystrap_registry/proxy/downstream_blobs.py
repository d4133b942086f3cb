"""Blobs that are downstream, as far as they are whole: one that was found damaged is remembered, and sent anew.

One that came there is read back.
"""
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
"""Of sends, each for all blobs with the same hash: one that is sent has others read once more at most."""


class DownstreamBlobs:
    """What a proxy has of blobs downstream. Methods raise ServiceError, and may be called by several threads."""

    def __init__(self, downstream: Remote, known: KnownDigests) -> None:
        self._downstream, self._known = downstream, known

    def size(self, repository: str, digest: Digest) -> int | None:
        """Return the size in bytes of a blob, None if there is none, or a damaged one, which clients then push."""
        return None if digest in self._known.damaged(repository) else self._downstream.blob_size(repository, digest)

    def pieces(self, repository: str, digest: Digest, size: int, at_once: int = CHUNK) -> Generator[bytes]:
        """Yield a blob in pieces; a client that gets its end has a good one.

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
        """Send a blob that is damaged downstream again, and read it back; do nothing for others.

        Raises DigestMismatch if it is as before.
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
        """Note what the verification of an image has shown of its blobs; return what was done, its error explained.

        Those that were `resent` have been read back.
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
    """The blobs downstream, of which each is read back once by verification: the first time, and when it was sent.

    None is known as read while somebody sends it, and what was read before the end of that is not noted.
    """

    def __init__(self, downstream: Remote, known: KnownDigests, is_demanded: bool) -> None:
        """Nothing is due unless that `is_demanded`; what is read and sent is noted nevertheless, for the next start."""
        self._downstream, self._known, self._is_demanded = downstream, known, is_demanded
        self._under_way = Counter[tuple[str, Digest]]()
        self._ended = [0] * _NUMBERS
        self._lock = threading.Lock()

    def is_due(self, repository: str, digest: Digest, was_sent: bool) -> bool:
        """Return whether a blob has to be read: always by who has sent it."""
        own_name = self._downstream.own_name(repository)
        return self._is_demanded and (was_sent or not self._known.is_read(own_name, digest))

    def sends(self, repository: str, digest: Digest) -> int:
        """Return how often a blob was sent."""
        return self._ended[hash((repository, digest)) % _NUMBERS]

    def note_read(self, repository: str, digest: Digest, sends: int) -> None:
        """Note that a blob was read, unless what was read may be replaced by now."""
        with self._lock:
            if not self._under_way[repository, digest] and self.sends(repository, digest) == sends:
                self._known.note_read(self._downstream.own_name(repository), digest)

    @contextmanager
    def sending(self, repository: str, digest: Digest) -> Iterator[None]:
        """Have a blob unread, and to be read, from now until after the block, however that ends."""
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
