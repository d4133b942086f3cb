"""A registry that sends a part of each layer, and the rest when it is told to: what progress shows meanwhile stands
still."""
import hashlib
import io
import json
import random
import tarfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from tests.services.threaded_server import stop
from tests.services.tiny_image import CONFIG_TYPE, MANIFEST_TYPE


@dataclass
class HeldRegistry:
    """A running registry; `release` lets a layer (by its number) or all of them go on."""

    host: str
    names: list[str] = field(default_factory=list)
    documents: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    """Type and body of what is at each path."""
    layers: dict[str, tuple[int, float, threading.Event]] = field(default_factory=dict)
    """Of each blob that is a layer: its number, the part that is sent at once, and what it then waits for."""

    def add(self, name: str, layers: Sequence[tuple[int, float]]) -> None:
        """Add an image `repository:tag`; of each layer the size in bytes, and the part that is sent at once."""
        self.names.append(name)
        repository, _, tag = name.partition(':')
        descriptors, diff_ids = [], []
        for size, part in layers:
            body = _layer(size, seed=len(self.layers))
            digest = self._put(repository, '', body)
            self.layers[digest] = len(self.layers), part, threading.Event()
            media_type = 'application/vnd.oci.image.layer.v1.tar'
            descriptors.append({'mediaType': media_type, 'digest': digest, 'size': len(body)})
            diff_ids.append(digest)
        config = json.dumps({'os': 'linux', 'architecture': 'amd64', 'config': {},
                             'rootfs': {'type': 'layers', 'diff_ids': diff_ids}}).encode()
        self._put_manifest(repository, tag, config, descriptors)

    def release(self, number: int | None = None) -> None:
        """Let one layer go on, or all."""
        for each, _, event in self.layers.values():
            if number in (None, each):
                event.set()

    def _put_manifest(self, repository: str, tag: str, config: bytes, layers: list[dict[str, object]]) -> None:
        described = {'mediaType': CONFIG_TYPE, 'digest': self._put(repository, '', config), 'size': len(config)}
        manifest = json.dumps({'schemaVersion': 2, 'mediaType': MANIFEST_TYPE, 'config': described,
                               'layers': layers}).encode()
        self.documents[f'/v2/{repository}/manifests/{_digest(manifest)}'] = MANIFEST_TYPE, manifest
        self.documents[f'/v2/{repository}/manifests/{tag}'] = MANIFEST_TYPE, manifest

    def _put(self, repository: str, media_type: str, body: bytes) -> str:
        self.documents[f'/v2/{repository}/blobs/{_digest(body)}'] = media_type or 'application/octet-stream', body
        return _digest(body)


@contextmanager
def held_registry() -> Iterator[HeldRegistry]:
    """Run one on loopback; at the end everything is released."""
    class Handler(_Handler):
        registry: HeldRegistry

    with ThreadingHTTPServer(('127.0.0.1', 0), Handler) as server:
        registry = Handler.registry = HeldRegistry(f'127.0.0.1:{server.server_port}')
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield registry
        registry.release()
        stop(server)


class _Handler(BaseHTTPRequestHandler):
    """Answers reads."""

    registry: HeldRegistry
    protocol_version = 'HTTP/1.1'

    def handle(self) -> None:
        """Serve a connection until its client is gone."""
        with suppress(ConnectionError):
            super().handle()

    def do_HEAD(self) -> None:
        """Answer without a body."""
        self._head()

    def do_GET(self) -> None:
        """Answer, in the case of a layer with a part, and the rest when that is released."""
        body = self._head()
        _, part, released = self.registry.layers.get(self.path.rpartition('/')[2], (0, 1.0, None))
        now = int(len(body) * part)
        self.wfile.write(body[:now])
        if released:
            released.wait()
        self.wfile.write(body[now:])

    def _head(self) -> bytes:
        media_type, body = self.registry.documents.get(self.path, ('application/json', b'{}'))
        self.send_response(200 if self.path in (*self.registry.documents, '/v2/') else 404)
        for name, value in (('Content-Type', media_type), ('Content-Length', str(len(body))),
                            ('Docker-Content-Digest', _digest(body))):
            self.send_header(name, value)
        self.end_headers()
        return body

    def log_message(self, format: str, *args: object) -> None:
        """Write no log."""


def _layer(size: int, seed: int) -> bytes:
    """Return a tar of `size` bytes, a multiple of 10240, that does not compress."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode='w', format=tarfile.PAX_FORMAT) as layer:
        member = tarfile.TarInfo('data')
        member.size = size - 3 * 512
        layer.addfile(member, io.BytesIO(random.Random(seed).randbytes(member.size)))
    return buffer.getvalue()


def _digest(body: bytes) -> str:
    return f'sha256:{hashlib.sha256(body).hexdigest()}'
