"""Downloading blobs: streamed, resumed where they broke off, never held whole."""
from collections.abc import Iterator

import httpx

from occystrap_core import ChunkedSource, ServiceUnavailable
from occystrap_core.oci import Descriptor
from occystrap_registry.client import RegistryClient


class BlobSource(ChunkedSource):
    """A blob's stored bytes. A connection that breaks is made again, from the byte where it broke."""

    def __init__(self, client: RegistryClient, descriptor: Descriptor) -> None:
        super().__init__()
        self._client, self._descriptor = client, descriptor
        self._response: httpx.Response | None = None

    def chunks(self) -> Iterator[memoryview]:
        """Yield the bytes as they come from the network."""
        offset, attempt = 0, 0
        while True:
            try:
                for piece in self._received(offset):
                    offset += len(piece)
                    yield memoryview(piece)
                return
            except httpx.TransportError as error:
                self.close()
                self._client.wait_after(error, attempt)
                attempt += 1

    def close(self) -> None:
        """Drop the connection if it is still in use."""
        if self._response is not None:
            self._response.close()

    def _received(self, offset: int) -> Iterator[bytes]:
        """Yield what follows the first `offset` bytes (RFC 9110, 14.2); a server without ranges starts over."""
        headers = {'Range': f'bytes={offset}-'} if offset else {}
        repository, digest = self._client.address.repository, self._descriptor.digest
        response = self._client.open('GET', f'/v2/{repository}/blobs/{digest}', pull_scope(repository), headers)
        self._response = response
        if response.status_code not in (200, 206):
            self._client.fail(response, f'blob {digest} cannot be read from {self._client.address.reference.name}')
        if response.status_code == 206 and not _resumes_at(response, offset):
            raise ServiceUnavailable(f'{self._client.address.host} resumes blob {digest} at the wrong place')
        skip = offset if response.status_code == 200 else 0
        for piece in response.iter_raw():
            dropped = min(skip, len(piece))
            skip -= dropped
            if len(piece) > dropped:
                yield piece[dropped:] if dropped else piece


def tar_size_hint(client: RegistryClient, descriptor: Descriptor) -> int | None:
    """Return the size of a gzip blob's content in bytes, from its last four (RFC 1952, 2.3.1): modulo 2^32."""
    if not descriptor.media_type.endswith('gzip') or descriptor.size < 18:
        return None
    repository = client.address.repository
    headers = {'Range': f'bytes={descriptor.size - 4}-{descriptor.size - 1}'}
    target = f'/v2/{repository}/blobs/{descriptor.digest}'
    with client.request('GET', target, pull_scope(repository), headers) as answer:
        if answer.status_code != 206 or answer.headers.get('content-length') != '4':
            return None
        return int.from_bytes(b''.join(answer.iter_raw()), 'little')


def pull_scope(repository: str) -> str:
    """Return the scope for reading (distribution, Token Scope Documentation)."""
    return f'repository:{repository}:pull'


def push_scope(repository: str) -> str:
    """Return the scope for reading and writing."""
    return f'repository:{repository}:pull,push'


def _resumes_at(response: httpx.Response, offset: int) -> bool:
    return str(response.headers.get('content-range', '')).startswith(f'bytes {offset}-')
