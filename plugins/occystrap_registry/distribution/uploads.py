"""Pushing blobs (distribution-spec, Pushing blobs): finding, mounting, or sending them."""
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, ExitStack
from urllib.parse import quote

from occystrap_core import AccessDenied, ServiceError
from occystrap_core.oci import Descriptor, Digest
from occystrap_registry.distribution.blob_upload import BlobUpload, Way
from occystrap_registry.distribution.blobs import stored_size
from occystrap_registry.distribution.client import RegistryClient
from occystrap_registry.distribution.known_blobs import KnownBlobs, ReadBlobs
from occystrap_registry.distribution.upload_session import UploadSession, open_session
from occystrap_registry.transport.connections import Body

_UNSENT = 'resend='
_STREAMED = 'PATCH of unknown length'
"""A value of `Endpoint.refused_ways`."""
_SMALL = 64 << 10
"""Sending this many bytes takes hardly longer than one more request."""


class Uploads:
    """Pushes blobs to one repository, each once even if several threads push it, except streamed blobs."""

    def __init__(self, client: RegistryClient, resent: frozenset[Digest] = frozenset()) -> None:
        """`resent` blobs are damaged: they count as missing until they were sent."""
        self._client, self._address, self._resent = client, client.address, resent
        self._lock = threading.Lock()
        self._locks: defaultdict[Digest, threading.Lock] = defaultdict(threading.Lock)
        self._sent: set[Digest] = set()
        self._begun: dict[Digest, UploadSession] = {}
        self._known = KnownBlobs.of(self._address.host, client.settings)
        self._read = ReadBlobs.of(self._address.host, client.settings)
        self.is_for_new_name = False
        """Whether the registry has nothing under the image's name."""
        self._brought = False
        """Whether a blob was sent or mounted."""

    def check_access(self, odd: ServiceError | None = None) -> None:
        """Begin an upload and cancel it, since only that shows whether pushing is allowed; raises AccessDenied.

        If no upload is possible, `odd` is raised instead, if it is not None.
        """
        try:
            session = open_session(self._client)
        except AccessDenied:
            raise
        except ServiceError as error:
            raise odd or error from None
        self._client.endpoint.answered = True
        self._client.dismiss(str(session.url), self._address.push_scope)

    def has(self, descriptor: Descriptor) -> bool:
        """Return whether the repository has a blob with this digest and size; the registry is asked only if the run
        does not know."""
        repository = self._address.reference.repository
        if not self._is_damaged(descriptor.digest) and self._known.is_there(repository, descriptor):
            return True
        return self._asks_for(descriptor)

    def has_config(self, config: Descriptor) -> bool:
        """Return the same for the config of an image, after its layers; for a new image the registry is not asked.

        An image counts as new if nothing has its name and one of its layers was missing. Sending a small config takes
        hardly longer than asking.
        """
        is_new = self.is_for_new_name and self._brought
        known = self._known.is_there(self._address.reference.repository, config)
        return False if is_new and not known and config.size <= _SMALL else self.has(config)

    def _asks_for(self, descriptor: Descriptor) -> bool:
        there = self.size(descriptor.digest, descriptor.size) == descriptor.size
        if there:
            self._known.found(self._address.reference.repository, descriptor)
        return there

    def size(self, digest: Digest, expected: int | None = None) -> int | None:
        """Return the size in bytes of a blob in the repository; None if it is missing or its size is not reported."""
        if self._is_damaged(digest):
            return None
        reply, size = stored_size(self._client, digest, self._address.push_scope, expected)
        if reply.status >= 500 or reply.status == 429:
            raise self._client.failure(reply, f'HEAD of blob {digest} at {self._address.host} failed')
        return size if reply.status < 300 or reply.status == 416 else None  # some answer 401 or 403 for a missing blob

    def put(self, descriptor: Descriptor, body: Body) -> bool:
        """Send a blob; return False, without sending, if another thread has sent it.

        After a failed attempt a new upload is begun. Raises OutputError, ServiceError.
        """
        with self._lock:
            alone = self._locks[descriptor.digest]
        with alone:
            if descriptor.digest in self._sent:
                return False
            upload = BlobUpload(self._client, descriptor, body, lambda: self._asks_for(descriptor))
            with self._sending(descriptor):
                upload.send(self._begun.pop(descriptor.digest, None))
            self._note_sent(descriptor)
            return True

    @property
    def can_stream(self) -> bool:
        """Whether the registry accepts blobs of unknown size, as far as the run knows."""
        endpoint = self._client.endpoint
        return endpoint.largest == float('inf') and not endpoint.refused_ways & {_STREAMED, Way.AT_ONCE.value}

    def stream(self, body: Body, made: Callable[[], Descriptor | None]) -> Descriptor | None:
        """Send a blob while it is made, and return it; None, remembered for the run, if that was not possible.

        The arguments are those of StreamedUpload. Raises OutputError, ServiceError.
        """
        from occystrap_registry.distribution.streamed_upload import StreamedUpload  # late, as few sources have tars

        with ExitStack() as stack:
            def made_and_noted() -> Descriptor | None:
                if descriptor := made():
                    stack.enter_context(self._sending(descriptor))
                return descriptor
            descriptor = StreamedUpload(self._client, body, made_and_noted, self._asks_for).send()
        if descriptor is None:
            self._client.endpoint.refused_ways.add(_STREAMED)
            return None
        self._note_sent(descriptor)
        return descriptor

    def _sending(self, descriptor: Descriptor) -> AbstractContextManager[object]:
        return self._read.sending(self._address.reference.repository, descriptor.digest)

    def _note_sent(self, descriptor: Descriptor) -> None:
        self._sent.add(descriptor.digest)
        self._known.sent(self._address.reference.repository, descriptor)
        self._brought = True

    def mount(self, descriptor: Descriptor) -> bool:
        """Mount the blob from another repository (distribution-spec, Mounting a blob).

        Returns False if no other repository is known to have it, or the registry does not mount it. A damaged blob is
        not mounted, since it may be the same file in all repositories.
        """
        if self._is_damaged(descriptor.digest):
            return False
        source = self._known.elsewhere(self._address.reference.repository, descriptor.digest)
        if source is None:
            return False
        scope = f'{self._address.push_scope} repository:{source}:pull'
        target = f'{self._address.uploads}?mount={descriptor.digest}&from={quote(source, safe="")}'
        try:
            with self._sending(descriptor):
                reply = self._client.fetch('POST', target, scope, {'Content-Length': '0'})
        except AccessDenied:
            self._known.deny(source)  # a token for pushing here may not allow reading there
            return False
        if reply.status in (401, 403):
            self._known.deny(source)
        if reply.status != 201:
            if session := UploadSession.opened(reply):
                self._begun[descriptor.digest] = session
            return False
        self._known.sent(self._address.reference.repository, descriptor)
        self._brought = True
        return True

    def notes(self) -> list[str]:
        """Return notes, when an image is complete, on blobs that were to be sent again but do not belong to it."""
        return [f'{_UNSENT}{digest}: it is no blob of the image, so nothing was sent or read back: check the digest'
                for digest in sorted(self._resent - self._sent)]

    def _is_damaged(self, digest: Digest) -> bool:
        return digest in self._resent and digest not in self._sent


def is_of_unsent(note: str) -> bool:
    """Return whether a note is one of `Uploads.notes`; they are expected if blobs of all images were to be sent again.
    """
    return note.startswith(_UNSENT)


def whole(data: bytes) -> Body:
    """Return a body that consists of these bytes."""
    def body() -> Iterable[memoryview]:
        return [memoryview(data)]
    return body
