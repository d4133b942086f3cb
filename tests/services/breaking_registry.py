"""A registry of images that breaks off, or stands still, within a layer, and records who asked for which bytes."""
import gzip
import io
import json
import random
import tarfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from occystrap_core.oci import Digest, media_types
from occystrap_core.testing.sample import sample_config
from tests.services.threaded_server import stop


@cache
def noise_layer(name: str, size: int) -> tuple[bytes, bytes]:
    """A tar with one file that does not compress, of `size` bytes, and its gzip blob, a little larger."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode='w', format=tarfile.PAX_FORMAT) as tar:
        file = tarfile.TarInfo(f'srv/{name}')
        file.size = size
        tar.addfile(file, io.BytesIO(random.Random(name).randbytes(size)))
    return target.getvalue(), gzip.compress(target.getvalue(), 0, mtime=0)


@dataclass
class BreakingRegistry:
    """A running registry. Each blob in `breaks` ends after so many bytes; if `holds`, it stands still there instead.

    `ranges`: `yes`, or how the server refuses them: `no` sends all, `416`, `wrong` sends other bytes than were asked.
    `requests` lists each GET of a blob: its digest and the header Range.
    """

    host: str
    documents: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    breaks: dict[str, int] = field(default_factory=dict)
    holds: bool = False
    ranges: str = 'yes'
    requests: list[tuple[str, str]] = field(default_factory=list)
    reached: threading.Event = field(default_factory=threading.Event)
    """Set when a blob has broken off."""
    released: threading.Event = field(default_factory=threading.Event)
    sent: int = 0
    """Bytes of blobs that were sent."""

    def add(self, name: str, sizes: Mapping[str, int]) -> list[str]:
        """Add an image `repository:tag` with a layer for each name and size; return the digests of its blobs."""
        repository, _, tag = name.partition(':')
        layers = [noise_layer(*each) for each in sizes.items()]
        config = sample_config([tar for tar, _ in layers])
        blobs = [self._put(repository, blob, f'{media_types.OCI_LAYER}+gzip') for _, blob in layers]
        manifest = json.dumps({'schemaVersion': 2, 'mediaType': media_types.OCI_MANIFEST, 'layers': blobs,
                               'config': self._put(repository, config, media_types.OCI_CONFIG)}).encode()
        for reference in (tag, Digest.of(manifest)):
            self.documents[f'/v2/{repository}/manifests/{reference}'] = media_types.OCI_MANIFEST, manifest
        return [str(blob['digest']) for blob in blobs]

    def size_of(self, digest: str) -> int:
        """The size of a blob in bytes."""
        return next(len(body) for path, (_, body) in self.documents.items() if path.endswith(digest))

    def heal(self) -> None:
        """Break nothing off any more, and forget what was asked."""
        self.breaks, self.requests, self.sent, self.holds = {}, [], 0, False

    def ranges_of(self, digest: str) -> list[str]:
        """The headers Range of the requests for a blob or the rest of it, empty for all of it."""
        return [each for request, each in self.requests if request == digest and each[-1:] in ('', '-')]

    def _put(self, repository: str, body: bytes, media_type: str) -> dict[str, object]:
        digest = Digest.of(body)
        self.documents[f'/v2/{repository}/blobs/{digest}'] = 'application/octet-stream', body
        return {'mediaType': media_type, 'digest': digest, 'size': len(body)}


@contextmanager
def breaking_registry() -> Iterator[BreakingRegistry]:
    """Run one on loopback."""
    class Handler(_Handler):
        registry: BreakingRegistry

    with ThreadingHTTPServer(('127.0.0.1', 0), Handler) as server:
        registry = Handler.registry = BreakingRegistry(f'127.0.0.1:{server.server_port}')
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield registry
        registry.released.set()
        stop(server)


class _Handler(BaseHTTPRequestHandler):
    registry: BreakingRegistry
    protocol_version = 'HTTP/1.1'
    disable_nagle_algorithm = True

    def handle(self) -> None:
        """Serve a connection until its client is gone."""
        with suppress(ConnectionError):
            super().handle()

    def do_HEAD(self) -> None:
        """Answer without a body."""
        self._head(*self._found())

    def do_GET(self) -> None:
        """Answer; of a blob the bytes that were asked for, up to where it breaks."""
        status, media_type, body = self._found()
        if '/blobs/' not in self.path:
            self._head(status, media_type, body)
            self.wfile.write(body)
            return
        digest, registry = self.path.rpartition('/')[2], self.registry
        registry.requests.append((digest, self.headers.get('Range', '')))
        first, last = self._range(len(body))
        headers = [('Content-Range', f'bytes {first}-{last - 1}/{len(body)}')] if first or last < len(body) else []
        status = 416 if first and registry.ranges == '416' else 206 if headers else status
        self._head(status, media_type, body[first:last], headers)
        is_part = self.headers.get('Range', '-')[-1:] != '-'  # such as the last bytes, which tell the tar's size
        end = last if is_part else min(last, registry.breaks.get(digest, last))
        self.wfile.write(body[first:end])
        registry.sent += max(0, end - first)
        if end < last:
            registry.reached.set()
            if registry.holds:
                registry.released.wait()
            self.close_connection = True

    def _range(self, size: int) -> tuple[int, int]:
        requested = self.headers.get('Range', '').removeprefix('bytes=')
        if not requested or self.registry.ranges == 'no':
            return 0, size
        first, _, last = requested.partition('-')
        moved = self.registry.ranges == 'wrong' and not last
        return int(first) + moved, int(last) + 1 if last else size

    def _found(self) -> tuple[int, str, bytes]:
        found = self.registry.documents.get(self.path)
        return (200, *found) if found else (200 if self.path == '/v2/' else 404, 'application/json', b'{}')

    def _head(self, status: int, media_type: str, body: bytes, headers: Sequence[tuple[str, str]] = ()) -> None:
        self.send_response(status)
        for name, value in [('Content-Type', media_type), ('Content-Length', str(len(body))), *headers]:
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Write no log."""
