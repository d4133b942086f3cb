"""An upload of a blob: its URL, the registry's requirements for chunks, and whether the blob was stored at the end."""
import re
from collections.abc import Callable
from typing import NamedTuple

from occystrap_core import OutputError, ServiceError
from occystrap_core.oci import Descriptor, Digest
from occystrap_registry.distribution.client import RegistryClient
from occystrap_registry.distribution.reported_digest import reported_digest
from occystrap_registry.distribution.settle_time import SettleTime
from occystrap_registry.transport.answers import Reply
from occystrap_registry.transport.connections import follow
from occystrap_registry.transport.url import URL

_UUID = re.compile(r'[A-Za-z0-9_=~-][A-Za-z0-9._=~-]{0,255}')
TAKEN = (200, 201, 202, 204)
"""Success answers that registries send instead of 202; to POST only with a Location."""
ELSEWHERE = (401, 429, 502, 503, 504)
"""Refusals that are not about the way in which a blob is sent."""
_DONE = (200, 202, 204)
"""Success answers that registries send instead of 201."""
_NOT_AGAIN = (400, 404, 409)
"""Answers after which the blob may be there: its upload's answer was lost, or another client was faster (Nexus)."""


class UploadSession(NamedTuple):
    """An open upload; `least` is the smallest size in bytes of a chunk if the registry requires one, else 0."""

    url: URL
    least: int = 0
    in_chunks: bool = False
    """Whether the registry requires chunks (distribution-spec, OCI-Chunk-Min-Length)."""

    @classmethod
    def opened(cls, reply: Reply) -> 'UploadSession | None':
        """Return the upload that an answer to POST opened, None if it opened none; raises ServiceError.

        Without a Location the UUID identifies the upload, as in the first version of the protocol.
        """
        location, uuid = reply.headers.get('location', ''), reply.headers.get('docker-upload-uuid', '')
        if not location and _UUID.fullmatch(uuid):
            location = f'{reply.url.path.rstrip("/")}/{uuid}'
        if reply.status not in TAKEN or not location:
            return None
        least = reply.headers.get('oci-chunk-min-length')
        size = int(least) if least and least.isascii() and least.isdigit() and len(least) < 12 else 0
        return cls(follow(reply.url, location), size, least is not None)

    def moved(self, reply: Reply) -> 'UploadSession':
        """Return the upload at the URL that an answer gives."""
        location = reply.headers.get('location', '')
        return self._replace(url=follow(reply.url, location)) if location else self

    def end(self, digest: Digest) -> str:
        """Return the URL for the PUT that completes the upload; the registry's query is kept unchanged."""
        return f'{self.url}{"&" if self.url.query else "?"}digest={digest}'


def open_session(client: RegistryClient) -> UploadSession:
    """Open an upload to the repository; raises ServiceError."""
    reply = client.fetch('POST', client.address.uploads, client.address.push_scope, {'Content-Length': '0'})
    session = UploadSession.opened(reply)
    if session is None:
        lacks = 'opens an upload without a Location' if reply.status in TAKEN else 'refuses uploads'
        raise client.failure(reply, f'{client.address.reference.name} {lacks}')
    return session


def is_stored(client: RegistryClient, descriptor: Descriptor, reply: Reply, has: Callable[[], bool]) -> bool:
    """Return whether the last answer, or the registry when asked by `has`, says that the registry has the blob.

    Raises OutputError for a blob that was stored with another digest, and what `has` raises.
    """
    expected, stored = descriptor.digest, reported_digest(reply.headers)
    if reply.status < 300 and stored and stored.algorithm == expected.algorithm and stored != expected:
        raise OutputError(f'{client.address.host} stored blob {expected} as {stored}')
    return reply.status == 201 or (reply.status in (*_DONE, *_NOT_AGAIN) and _is_there(client, reply.status, has))


def _is_there(client: RegistryClient, status: int, has: Callable[[], bool]) -> bool:
    """Return whether the blob is there; an accepted one may take some time to appear."""
    settle = SettleTime(client.settings)
    while not has():
        if status in _NOT_AGAIN or not settle.again():
            return False
    return True


def refusal(client: RegistryClient, reply: Reply, blob: object) -> ServiceError:
    """Return the error for a refused blob."""
    return client.failure(reply, f'{client.address.reference.name} refuses blob {blob}')
