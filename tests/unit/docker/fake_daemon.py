"""A daemon that speaks just enough of Docker's API, on a unix socket, with faults on request."""
import io
import json
import socketserver
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from occystrap_core.oci import Digest
from tests.unit.docker.fake_push import push
from tests.unit.docker.layouts import Exported
from tests.services.threaded_server import stop

PIECE = 32 << 10
ENDLESS = {
    'trickling head': (b'HTTP/1.1 200 OK\r\nX: ', b'x', 0.02),
    'interim answers': (b'', b'HTTP/1.1 100 Continue\r\n\r\n' * 100, 0.001),
    'trickling body': (b'HTTP/1.1 200 OK\r\nContent-Length: 30000\r\n\r\n', b' ', 0.02),
    'trickling chunk': (b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;', b'x', 0.02),
    'line without end': (b'HTTP/1.1 200 OK\r\n\r\n', b'x' * (1 << 16), 0.0),
}
"""Answers that never end: what comes first, what comes again and again, and after how many seconds each time."""


@dataclass
class FakeDaemon:
    """`images` and `digests` by ID, `tags` by name; `faults` by what they hit: get, inspect, list, load, made, ping,
    push, tag, untag, version; `progress` of pushes."""

    socket: Path
    images: dict[str, Exported] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    digests: dict[str, list[str]] = field(default_factory=dict)
    faults: dict[str, str] = field(default_factory=dict)
    containerd: bool = False
    engine: str = 'Engine'
    hang: float = 1.0
    requests: list[str] = field(default_factory=list)
    progress: list[str] = field(default_factory=list)

    @property
    def address(self) -> str:
        """Where it listens."""
        return f'unix://{self.socket}'

    def add(self, image: Exported, name: str) -> Exported:
        """Have an image under a name."""
        self.images[image.id] = image
        self.tags[name] = image.id
        return image

    def find(self, name: str) -> Exported | None:
        """The image of a tag or an ID."""
        whole = self.tags.get(name, name)
        return self.images.get(whole) or next(
            (image for image in self.images.values() if len(name) >= 12 and image.id.hex.startswith(name)), None)

    def tags_of(self, image: Exported) -> list[str]:
        """The names of an image."""
        return [tag for tag, image_id in self.tags.items() if image_id == image.id]


@contextmanager
def fake_daemon(socket: Path) -> Iterator[FakeDaemon]:
    """Run one."""
    daemon = FakeDaemon(socket)

    class Server(socketserver.ThreadingUnixStreamServer):
        daemon_threads = True
        fake = daemon

    with Server(str(socket), _Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield daemon
        finally:
            stop(server)
            socket.unlink()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'

    @property
    def fake(self) -> FakeDaemon:
        return self.server.fake  # type: ignore[attr-defined, no-any-return]

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def parse_request(self) -> bool:
        understood = super().parse_request()
        if understood:
            self.fake.requests.append(f'{self.command} {unquote(self.path)}')
        return understood

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path).split('/', 2 if self.path.startswith('/v') else 1)[-1]
        if path == 'version' or path.endswith('/version'):
            if not self._fault('version'):
                self._json({'ApiVersion': '1.41', 'Components': [{'Name': self.fake.engine, 'Version': '4.3.1'}]})
        elif path == '_ping':
            if not self._fault('ping'):
                self._plain(b'OK')
        elif path == 'info':
            self._json({'DriverStatus': [['driver-type', 'io.containerd.snapshotter.v1']] if self.fake.containerd
                        else None})
        elif path.startswith('libpod/manifests/'):
            self._json({'message': 'manifest not found'}, 404)
        elif path == 'images/json':
            if not self._fault('list'):
                self._json([self._summary(image) for image in self.fake.images.values()])
        elif path.endswith('/json'):
            if not self._fault('inspect'):
                self._inspect(path.removeprefix('images/').removesuffix('/json'))
        else:
            self._export(path.removeprefix('images/').removesuffix('/get'))

    def do_POST(self) -> None:
        url = urlsplit(unquote(self.path))
        body = self._body()
        if url.path.endswith('/load'):
            if not self._fault('load'):
                self._load(body)
            return
        name, _, verb = url.path.split('/', 3)[-1].rpartition('/')
        query = {key: values[0] for key, values in parse_qs(url.query).items()}
        if verb == 'push':
            self._push(name, query['tag'])
        else:
            if self.fake.faults.get('tag') == 'pruned':
                self.fake.images.pop(name)
                self._json({'message': f'No such image: {name}'}, 404)
            elif not self._fault('tag'):
                self.fake.tags[f'{query["repo"]}:{query["tag"]}'] = name
                self._plain(b'', 201)

    def do_DELETE(self) -> None:
        """Remove a name, and the image with its last name, as daemons do."""
        if self._fault('untag'):
            return
        name = unquote(urlsplit(self.path).path).split('/', 3)[-1]
        image_id = self.fake.tags.pop(name, name)
        if image_id not in self.fake.tags.values():
            self.fake.images.pop(image_id, None)
        self._json([])

    def _push(self, name: str, tag: str) -> None:
        fault = self.fake.faults.get('push', '')
        if fault and not fault.startswith('in '):
            self._fault('push')
            return
        image = self.fake.find(f'{name}:{tag}')
        assert image and self.headers['X-Registry-Auth']
        self.send_response(200)
        self.send_header('Transfer-Encoding', 'chunked')
        self.end_headers()
        with suppress(ConnectionError):  # who asked for it has hung up, or stopped the registry
            for line in push(image, name, tag, fault.removeprefix('in ')):
                self.fake.progress.append(str(line and line.get('status')))
                if line is None:
                    time.sleep(self.fake.hang)
                else:
                    self._chunk(json.dumps(line).encode() + b'\r\n')
            if fault != 'in cut':
                self.wfile.write(b'0\r\n\r\n')
                return
        self.close_connection = True

    def _fault(self, where: str) -> bool:
        """Apply a fault, if set: `500 WORDS`, `hang`, `close`, `garbage`, one of ENDLESS; `late`: hang, then do it
        nevertheless."""
        fault = self.fake.faults.get(where)
        if fault is None:
            return False
        if fault in ('hang', 'late'):
            time.sleep(self.fake.hang)
            if fault == 'late':
                return False
        elif fault == 'garbage':
            self._plain(b'{')
        elif fault in ENDLESS:
            self._go_on(*ENDLESS[fault])
        elif fault != 'close':
            status, _, words = fault.partition(' ')
            self._json({'message': words}, int(status))
        self.close_connection = True
        return True

    def _go_on(self, start: bytes, data: bytes, seconds: float) -> None:
        """Send `start`, and `data` again and again, for longer than anybody should listen."""
        until = time.monotonic() + self.fake.hang
        with suppress(OSError):
            self.wfile.write(start)
            while time.monotonic() < until:
                self.wfile.write(data)
                time.sleep(seconds)

    def _inspect(self, name: str) -> None:
        image = self.fake.find(name)
        if image is None:
            self._json({'message': f'No such image: {name}'}, 404)
            return
        self._json({'Id': image.id, 'RepoTags': self.fake.tags_of(image), 'Size': len(image.archive),
                    'Os': 'linux', 'Architecture': image.architecture,
                    'Variant': 'v8' if image.architecture == 'arm64' else '',
                    'RootFS': {'Type': 'layers', 'Layers': image.diff_ids}})

    def _summary(self, image: Exported) -> dict[str, Any]:
        tags = self.fake.tags_of(image) or ['<none>:<none>']
        return {'Id': image.id, 'RepoTags': tags, 'RepoDigests': self.fake.digests.get(image.id, ['<none>@<none>']),
                'Size': len(image.archive), 'Created': 1_500_000_000}

    def _export(self, name: str) -> None:
        fault = self.fake.faults.get('get', '')
        if fault and not fault.startswith(('cut', 'end', 'complain')):
            self._fault('get')
            return
        image = self.fake.find(name)
        assert image
        kind, _, count = fault.partition(' ')
        archive = image.archive[:int(count)] if kind in ('cut', 'end') else image.archive
        self.send_response(200)
        self.send_header('Transfer-Encoding', 'chunked')
        self.end_headers()
        for start in range(0, len(archive), PIECE):
            self._chunk(archive[start:start + PIECE])
        if kind == 'complain':
            self._chunk(json.dumps({'errorDetail': {'message': count}, 'error': count},
                                   separators=(',', ':')).encode() + b'\r\n')
        if kind == 'cut':
            self.close_connection = True
        else:
            self.wfile.write(b'0\r\n\r\n')

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b'%x\r\n%b\r\n' % (len(data), data))

    def _load(self, body: bytes) -> None:
        with tarfile.open(fileobj=io.BytesIO(body)) as archive:
            assert len(set(archive.getnames())) == len(archive.getnames()), 'of two files daemons take one or the other'
            files = {each.name: archive.extractfile(each).read()  # type: ignore[union-attr]
                     for each in archive if each.isfile()}
        manifest = json.loads(files['manifest.json'])[0]
        assert manifest['RepoTags'] is None
        config, diff_ids = files[manifest['Config']], json.loads(files[manifest['Config']])['rootfs']['diff_ids']
        tars = [files[name] if name in files else self._layer_upon(diff_ids[:number + 1])
                for number, name in enumerate(manifest['Layers'])]
        image = Exported(Digest.of(config), config, tars, body)
        self.fake.images[image.id] = image
        if self.fake.faults.get('made') == 'another':
            image = next(iter(self.fake.images.values()))
        elif self.fake.faults.get('made') == 'pruned':
            del self.fake.images[image.id]
        self._json({'stream': f'Loaded image ID: {image.id}\n'})

    def _layer_upon(self, diff_ids: list[str]) -> bytes:
        """Return a layer that an archive left out, as Docker finds it: by itself and all that is below it."""
        images = self.fake.images.values() if self.fake.engine == 'Engine' and not self.fake.containerd else ()
        return next(image.tars[len(diff_ids) - 1] for image in images
                    if list(image.diff_ids[:len(diff_ids)]) == diff_ids)

    def _body(self) -> bytes:
        if self.headers.get('Transfer-Encoding') != 'chunked':
            return self.rfile.read(int(self.headers.get('Content-Length') or 0))
        body = b''
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _json(self, answer: object, status: int = 200) -> None:
        self._plain(json.dumps(answer).encode(), status, 'application/json')

    def _plain(self, answer: bytes, status: int = 200, kind: str = 'text/plain') -> None:
        self.send_response(status)
        self.send_header('Content-Type', kind)
        self.send_header('Content-Length', str(len(answer)))
        with suppress(ConnectionError):  # the client has gone
            self.end_headers()
            self.wfile.write(answer)
