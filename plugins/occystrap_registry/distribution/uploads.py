"""Pushing blobs (distribution-spec, Pushing blobs): found, mounted, or sent, if possible in one request."""
import threading
from collections import defaultdict
from collections.abc import Iterable
from urllib.parse import quote

from occystrap_core import AccessDenied, OutputError
from occystrap_core.oci import Descriptor, Digest
from occystrap_registry.distribution.blobs import stored_size
from occystrap_registry.distribution.chunked_upload import ChunkedUpload
from occystrap_registry.distribution.client import RegistryClient
from occystrap_registry.distribution.known_blobs import KnownBlobs
from occystrap_registry.transport.answers import Reply
from occystrap_registry.transport.connections import Body, follow
from occystrap_registry.transport.http_library import httpx

_BREAKS = 2
"""Failed attempts at one large request after which smaller ones are made."""
_SMALL = 1 << 20


class Uploads:
    """Pushes blobs to one repository, each once, even if several threads push it."""

    def __init__(self, client: RegistryClient) -> None:
        self._client, self._address = client, client.address
        self._lock = threading.Lock()
        self._locks: defaultdict[Digest, threading.Lock] = defaultdict(threading.Lock)
        self._sent: set[Digest] = set()
        self._begun: dict[Digest, Reply] = {}
        self._known = KnownBlobs.of(self._address.host, client.settings)

    def check_access(self) -> None:
        """Begin an upload and cancel it, since only that shows whether a push is allowed; raises AccessDenied."""
        begun = self._begin()
        self._client.dismiss(str(follow(begun.url, begun.headers['location'])), self._address.push_scope)

    def has(self, descriptor: Descriptor) -> bool:
        """Return whether the repository has a blob with this digest and size."""
        there = self.size(descriptor.digest) == descriptor.size
        if there:
            self._known.add(self._address.reference.repository, [descriptor.digest])
        return there

    def size(self, digest: Digest) -> int | None:
        """Return the size in bytes of a blob of the repository, None if it is missing or the size not reported."""
        reply, size = stored_size(self._client, digest, self._address.push_scope)
        if reply.status >= 500 or reply.status == 429:
            raise self._client.failure(reply, f'HEAD of blob {digest} at {self._address.host} failed')
        return size if reply.status < 300 or reply.status == 416 else None  # some hide what is not there: 401, 403

    def put(self, descriptor: Descriptor, body: Body) -> bool:
        """Send a blob; return False, without sending, if another thread has sent it.

        After a failed attempt a new upload is begun. Raises OutputError, ServiceError.
        """
        with self._lock:
            alone = self._locks[descriptor.digest]
        with alone:
            if descriptor.digest in self._sent:
                return False
            reply = self._send(descriptor, body)
            if reply.status != 404 or not self.has(descriptor):  # 404 after success if the last answer was lost
                self._check(reply, descriptor)
            self._sent.add(descriptor.digest)
            self._known.add(self._address.reference.repository, [descriptor.digest])
            return True

    def mount(self, descriptor: Descriptor) -> bool:
        """Mount the blob from another repository (distribution-spec, Mounting a blob).

        Returns False if none is known to have it, or the registry does not mount it.
        """
        source = self._known.elsewhere(self._address.reference.repository, descriptor.digest)
        if source is None:
            return False
        scope = f'{self._address.push_scope} repository:{source}:pull'
        target = f'{self._address.uploads}?mount={descriptor.digest}&from={quote(source, safe="")}'
        try:
            reply = self._client.fetch('POST', target, scope, {'Content-Length': '0'})
        except AccessDenied:
            return False  # permission to push here does not include reading there
        if reply.status == 202 and 'location' in reply.headers:
            self._begun[descriptor.digest] = reply
        if reply.status != 201:
            return False
        self._known.add(self._address.reference.repository, [descriptor.digest])
        return True

    def _send(self, descriptor: Descriptor, body: Body) -> Reply:
        """Send in one request; in chunks if the registry, or a proxy before it, refuses such a large body."""
        attempts, broken = self._client.attempts(), 0
        headers = {'Content-Length': str(descriptor.size), 'Content-Type': 'application/octet-stream'}
        while True:
            begun = self._begun.pop(descriptor.digest, None) or self._begin()
            too_large = descriptor.size > self._client.endpoint.largest
            if broken >= _BREAKS or too_large or 'oci-chunk-min-length' in begun.headers:
                return ChunkedUpload(self._client, descriptor, begun).send(body)
            location = follow(begun.url, begun.headers['location'])
            target = f'{location}{"&" if location.query else "?"}digest={descriptor.digest}'
            try:
                with self._client.once('PUT', target, self._address.push_scope, headers, body) as answer:
                    reply = answer.whole()
            except httpx.TransportError as error:
                attempts.failed(error)
                broken += descriptor.size > _SMALL
            else:
                if reply.status == 413:
                    self._client.endpoint.refused(descriptor.size)
                elif not attempts.again(reply):
                    return reply

    def _begin(self) -> Reply:
        """Open an upload and return the answer, whose Location is the registry's choice."""
        reply = self._client.fetch('POST', self._address.uploads, self._address.push_scope, {'Content-Length': '0'})
        if reply.status != 202 or 'location' not in reply.headers:
            raise self._client.failure(reply, f'{self._address.reference.name} refuses uploads')
        return reply

    def _check(self, reply: Reply, descriptor: Descriptor) -> None:
        if reply.status != 201:
            raise self._client.failure(reply, f'{self._address.reference.name} refuses blob {descriptor.digest}')
        stored = reply.headers.get('docker-content-digest')
        if stored not in (None, descriptor.digest):
            raise OutputError(f'{self._address.host} stored blob {descriptor.digest} as {stored}')


def whole(data: bytes) -> Body:
    """Return a body that consists of these bytes."""
    def body() -> Iterable[memoryview]:
        return [memoryview(data)]
    return body
