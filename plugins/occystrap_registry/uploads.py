"""Pushing blobs (distribution-spec, Pushing blobs): looked for first, then sent in one streaming request."""
import threading
from collections import defaultdict
from collections.abc import Iterable

import httpx

from occystrap_core import OutputError
from occystrap_core.oci import Descriptor, Digest
from occystrap_registry.answers import Reply
from occystrap_registry.client import RegistryClient
from occystrap_registry.connections import Body, follow


class Uploads:
    """Puts blobs into one repository, each once, even when several threads want it there."""

    def __init__(self, client: RegistryClient) -> None:
        self._client, self._address = client, client.address
        self._lock = threading.Lock()
        self._locks: defaultdict[Digest, threading.Lock] = defaultdict(threading.Lock)
        self._sent: set[Digest] = set()

    def check_access(self) -> None:
        """Begin an upload and call it off: only so do registries tell who may push; raises AccessDenied."""
        self._client.dismiss(str(self._begin()), self._address.push_scope)

    def has(self, descriptor: Descriptor) -> bool:
        """Tell whether the repository has a blob of this digest and size."""
        reply = self._client.fetch('HEAD', self._address.blob(descriptor.digest), self._address.push_scope)
        if reply.status not in (200, 404):
            raise self._client.failure(reply, f'{self._address.host} does not tell of blob {descriptor.digest}')
        return reply.status == 200 and bool(reply.headers.get('content-length') == str(descriptor.size))

    def put(self, descriptor: Descriptor, body: Body) -> bool:
        """Send a blob; return False, without it, where another thread has just sent it.

        An attempt that breaks off starts over with a new upload. Raises OutputError, ServiceError.
        """
        with self._lock:
            alone = self._locks[descriptor.digest]
        with alone:
            if descriptor.digest in self._sent:
                return False
            self._check(self._send(descriptor, body), descriptor)
            self._sent.add(descriptor.digest)
            return True

    def _send(self, descriptor: Descriptor, body: Body) -> Reply:
        attempts = self._client.attempts()
        headers = {'Content-Length': str(descriptor.size), 'Content-Type': 'application/octet-stream'}
        while True:
            begun = self._begin()
            target = f'{begun}{"&" if begun.query else "?"}digest={descriptor.digest}'
            try:
                with self._client.once('PUT', target, self._address.push_scope, headers, body) as answer:
                    reply = answer.whole()
            except httpx.TransportError as error:
                attempts.failed(error)
            else:
                if not attempts.again(reply):
                    return reply

    def _begin(self) -> httpx.URL:
        """Return where to send a blob, whatever query and host the registry chose."""
        reply = self._client.fetch('POST', self._address.uploads, self._address.push_scope, {'Content-Length': '0'})
        if reply.status != 202 or 'location' not in reply.headers:
            raise self._client.failure(reply, f'{self._address.reference.name} does not take blobs')
        return follow(reply.url, reply.headers['location'])

    def _check(self, reply: Reply, descriptor: Descriptor) -> None:
        if reply.status != 201:
            raise self._client.failure(reply, f'{self._address.reference.name} refuses blob {descriptor.digest}')
        told = reply.headers.get('docker-content-digest')
        if told not in (None, descriptor.digest):
            raise OutputError(f'{self._address.host} stored blob {descriptor.digest} as {told}')


def whole(data: bytes) -> Body:
    """Return a body that is one piece of bytes."""
    def body() -> Iterable[memoryview]:
        return [memoryview(data)]
    return body
