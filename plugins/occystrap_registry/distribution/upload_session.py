"""An open upload of a blob: the URL that the registry chose, and what it asks of chunks."""
import re
from typing import NamedTuple

from occystrap_core.oci import Digest
from occystrap_registry.distribution.client import RegistryClient
from occystrap_registry.transport.answers import Reply
from occystrap_registry.transport.connections import follow
from occystrap_registry.transport.url import URL

_UUID = re.compile(r'[A-Za-z0-9_=~-][A-Za-z0-9._=~-]{0,255}')
_OPENED = (200, 201, 202, 204)
"""Answers with a Location that registries give to POST, in place of 202."""


class UploadSession(NamedTuple):
    """An open upload; `least` is the smallest size in bytes of a chunk if the registry requires one, else 0."""

    url: URL
    least: int = 0
    in_chunks: bool = False
    """Whether the registry asks for chunks (distribution-spec, OCI-Chunk-Min-Length)."""

    @classmethod
    def opened(cls, reply: Reply) -> 'UploadSession | None':
        """Return the upload that an answer to POST opened, None if it opened none; raises ServiceError.

        Without a Location the UUID names the upload, as in the first version of the protocol.
        """
        location, uuid = reply.headers.get('location', ''), reply.headers.get('docker-upload-uuid', '')
        if not location and _UUID.fullmatch(uuid):
            location = f'{reply.url.path.rstrip("/")}/{uuid}'
        if reply.status not in _OPENED or not location:
            return None
        least = reply.headers.get('oci-chunk-min-length')
        size = int(least) if least and least.isascii() and least.isdigit() and len(least) < 12 else 0
        return cls(follow(reply.url, location), size, least is not None)

    def moved(self, reply: Reply) -> 'UploadSession':
        """Return the upload where an answer says that it goes on."""
        location = reply.headers.get('location', '')
        return self._replace(url=follow(reply.url, location)) if location else self

    def end(self, digest: Digest) -> str:
        """Return the URL of the PUT that ends the upload; the query of the registry stays as it is."""
        return f'{self.url}{"&" if self.url.query else "?"}digest={digest}'


def open_session(client: RegistryClient) -> UploadSession:
    """Open an upload to the repository; raises ServiceError."""
    reply = client.fetch('POST', client.address.uploads, client.address.push_scope, {'Content-Length': '0'})
    session = UploadSession.opened(reply)
    if session is None:
        lacks = 'opens an upload without a Location' if reply.status in _OPENED else 'refuses uploads'
        raise client.failure(reply, f'{client.address.reference.name} {lacks}')
    return session
