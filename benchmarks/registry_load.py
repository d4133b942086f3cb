"""Loads `occystrap serve` and Debian's docker-registry in turn: `python -m benchmarks.registry_load [ONLY]`.

Clients pull the real image of 600 MB while others push one like it; then small requests, of each kind alone.
Every byte that is pulled is compared with what was pushed, and every pushed image is pulled again. Printed are medians,
the highest resident memory of the server, and ours divided by theirs. TMPDIR says where the storages lie.
"""
import argparse
import asyncio
import hashlib
import http.client
import json
import mmap
import multiprocessing
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tests.services.ports import free_port
from tests.services.processes import running
from tests.services.real_image import real_image
from tests.services.real_layers import LARGE
from tests.services.registry_storage import RegistryStorage
from tests.services.requirements import require_program

KINDS = ('occystrap', 'docker-registry')
MANIFEST = 'application/vnd.docker.distribution.manifest.v2+json'
CHUNK = 1 << 18
PROCESSES = 2
SECONDS = 6
"""How long each kind of small requests lasts."""


class Server(NamedTuple):
    """A running registry: its address, and its process."""

    host: str
    pid: int

    @property
    def memory(self) -> float:
        """Return the highest resident memory so far in MB."""
        found = re.search(r'VmHWM:\s+(\d+) kB', Path(f'/proc/{self.pid}/status').read_text())
        assert found
        return int(found[1]) * 1024 / 1e6

    @property
    def cpu(self) -> float:
        """Return the seconds of processor time so far."""
        fields = Path(f'/proc/{self.pid}/stat').read_text().rpartition(')')[2].split()
        return (int(fields[11]) + int(fields[12])) / 100


class Blob(NamedTuple):
    """The file of a blob, and its digest with a tail, by which each pushed image is another one."""

    path: Path
    tail: bytes
    digest: str

    @property
    def size(self) -> int:
        """Return the size in bytes."""
        return self.path.stat().st_size + len(self.tail)


def command_of(kind: str, host: str, directory: Path) -> list[str]:
    """Return how a registry is started, with what it does by default."""
    if kind == 'occystrap':
        return [str(Path(sys.executable).with_name('occystrap')), 'serve', '--storage', f'{directory}/storage',
                '--listen', host]
    config = {'version': 0.1, 'log': {'level': 'warn', 'accesslog': {'disabled': True}}, 'storage': {
        'filesystem': {'rootdirectory': f'{directory}/storage'}, 'cache': {'blobdescriptor': 'inmemory'}},
        'http': {'addr': host, 'secret': 'not secret'}}
    (directory / 'config.yml').write_text(json.dumps(config))
    return [require_program('docker-registry', 'docker-registry'), 'serve', f'{directory}/config.yml']


@contextmanager
def serving(kind: str) -> Iterator[Server]:
    """Run a registry on an empty storage."""
    with tempfile.TemporaryDirectory() as name:
        directory, host = Path(name), f'127.0.0.1:{free_port()}'
        with running(command_of(kind, host, directory), log=directory / 'log', ready=lambda: answers(host)) as process:
            yield Server(host, process.pid)


def answers(host: str) -> bool:
    """Return whether a registry has started."""
    try:
        return request(http.client.HTTPConnection(host, timeout=5), 'GET', '/v2/')[0] == 200
    except OSError:
        return False


def request(connection: http.client.HTTPConnection, method: str, path: str, body: object = None,
            headers: dict[str, str] | None = None) -> tuple[int, str, bytes]:
    """Return status, Location and body of an answer."""
    connection.request(method, path, body, headers or {})  # type: ignore[arg-type]
    answer = connection.getresponse()
    return answer.status, answer.headers.get('Location', ''), answer.read()


def blobs_of_image(number: int) -> list[Blob]:
    """Return config and layers of the real image, those of another image for each number; 0 is the image itself."""
    image = real_image(LARGE)
    storage, tail = RegistryStorage(image.registry_root), f'{number}'.encode() if number else b''
    found = []
    for digest in (image.config_digest, *image.layer_digests):
        path = storage.blob_path(digest)
        with path.open('rb') as file:
            hashed = hashlib.file_digest(file, 'sha256')
        hashed.update(tail)
        found.append(Blob(path, tail, f'sha256:{hashed.hexdigest()}'))
    return found


def manifest_of(blobs: Sequence[Blob]) -> bytes:
    """Return the manifest of such an image."""
    config, *layers = [{'mediaType': f'application/vnd.docker.{kind}', 'digest': blob.digest, 'size': blob.size}
                       for blob, kind in zip(blobs, ['container.image.v1+json', *(
                           ['image.rootfs.diff.tar.gzip'] * (len(blobs) - 1))], strict=True)]
    return json.dumps({'schemaVersion': 2, 'mediaType': MANIFEST, 'config': config, 'layers': layers}).encode()


def push(host: str, repository: str, blobs: Sequence[Blob]) -> int:
    """Push an image; return its bytes."""
    connection = http.client.HTTPConnection(host, timeout=600)
    for blob in blobs:
        status, place, _ = request(connection, 'POST', f'/v2/{repository}/blobs/uploads/')
        assert status == 202, status
        place = place.removeprefix(f'http://{host}')
        with blob.path.open('rb') as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            pieces = (data[start:start + CHUNK] for start in range(0, len(data), CHUNK))
            status, place, _ = request(connection, 'PATCH', place, pieces, {'Content-Length': str(len(data))})
        assert status == 202, status
        place = place.removeprefix(f'http://{host}')
        status, _, said = request(connection, 'PUT', f'{place}{"&" if "?" in place else "?"}digest={blob.digest}',
                                  blob.tail)
        assert status == 201, said
    status, _, said = request(connection, 'PUT', f'/v2/{repository}/manifests/v1', manifest_of(blobs),
                              {'Content-Type': MANIFEST})
    assert status == 201, said
    return sum(blob.size for blob in blobs)


def pull(host: str, repository: str, blobs: Sequence[Blob]) -> int:
    """Pull an image, and compare each byte; return their number."""
    connection = http.client.HTTPConnection(host, timeout=600)
    status, _, raw = request(connection, 'GET', f'/v2/{repository}/manifests/v1', None, {'Accept': MANIFEST})
    assert status == 200 and raw == manifest_of(blobs), status
    for blob in blobs:
        connection.request('GET', f'/v2/{repository}/blobs/{blob.digest}')
        answer = connection.getresponse()
        assert answer.status == 200, answer.status
        with blob.path.open('rb') as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            at = 0
            while at < len(data):
                piece = answer.read(min(CHUNK, len(data) - at))
                assert piece and piece == data[at:at + len(piece)], f'{blob.digest} at {at}'
                at += len(piece)
        assert answer.read() == blob.tail
    return sum(blob.size for blob in blobs)


def client(host: str, work: tuple[str, str, Sequence[Blob]]) -> int:
    """Do what one client does."""
    kind, repository, blobs = work
    return (push if kind == 'push' else pull)(host, repository, blobs)


def clients(host: str, work: Sequence[tuple[str, str, Sequence[Blob]]]) -> int:
    """Do the work of several clients at once, a thread each."""
    with ThreadPoolExecutor(len(work)) as threads:
        return sum(threads.map(partial(client, host), work))


class Answered(NamedTuple):
    """How many requests a second were answered, and how many microseconds of the server's processor time each took."""

    rate: float
    cost: float


class Transferred(NamedTuple):
    """The figures of one round."""

    rate: float
    """Megabytes a second."""
    memory: float
    cpu: float


def transfer(kind: str, pulls: int, pushes: int, pool: 'multiprocessing.pool.Pool', images: Sequence[Sequence[Blob]],
             ) -> Transferred:
    """Let clients pull and push at once, then pull what was pushed."""
    with serving(kind) as server:
        push(server.host, 'real', images[0])
        work = [('pull', 'real', images[0])] * pulls + [
            ('push', f'pushed/{number}', images[number]) for number in range(1, pushes + 1)]
        before, begun = server.cpu, time.monotonic()
        size = sum(pool.map(partial(clients, server.host), [work[each::PROCESSES] for each in range(PROCESSES)]))
        taken = Transferred(size / 1e6 / (time.monotonic() - begun), server.memory, server.cpu - before)
        for number in range(1, pushes + 1):
            pull(server.host, f'pushed/{number}', images[number])
        return taken


class Asker(asyncio.Protocol):
    """A connection that asks for one thing again and again, until told to stop."""

    def __init__(self, ask: bytes) -> None:
        self.ask, self.answers, self._length = ask, 0, 0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the first time."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self.ask)

    def data_received(self, data: bytes) -> None:
        """Ask again when the answer is complete, which is of one length always."""
        assert self._transport
        self._length -= len(data)
        if self._length < 0:
            head, end, _ = data.partition(b'\r\n\r\n')
            found = re.search(rb'(?i)content-length: (\d+)', head)
            assert end and b' 200 ' in head and found, data
            self._length += len(head) + 4 + (int(found[1]) if self.ask.startswith(b'GET') else 0)
        if not self._length:
            self.answers += 1
            self._transport.write(self.ask)

    def stop(self) -> None:
        """Close the connection."""
        assert self._transport
        self._transport.close()


async def ask_for(host: str, method: str, path: str, connections: int) -> float:
    """Return how many requests a second are answered."""
    address, _, port = host.partition(':')
    ask = f'{method} {path} HTTP/1.1\r\nHost: {host}\r\nAccept: {MANIFEST}\r\n\r\n'.encode()
    askers = [Asker(ask) for _ in range(connections)]
    for asker in askers:
        await asyncio.get_running_loop().create_connection(lambda made=asker: made, address, int(port))
    await asyncio.sleep(0.5)
    before, begun = sum(each.answers for each in askers), time.monotonic()
    await asyncio.sleep(SECONDS)
    count, took = sum(each.answers for each in askers) - before, time.monotonic() - begun
    for asker in askers:
        asker.stop()
    return count / took


def small_requests(kind: str, connections: int, image: Sequence[Blob]) -> dict[str, Answered]:
    """Return how many requests of each kind a second are answered."""
    config = f'blobs/{image[0].digest}'
    rates = {}
    with serving(kind) as server:
        push(server.host, 'real', image)
        for method, path in (('GET', 'manifests/v1'), ('HEAD', 'manifests/v1'), ('HEAD', config), ('GET', config),
                             ('GET', 'tags/list')):
            before, begun = server.cpu, time.monotonic()
            rate = asyncio.run(ask_for(server.host, method, f'/v2/real/{path}', connections))
            cost = (server.cpu - before) / (time.monotonic() - begun) / rate * 1e6
            rates[f'{method} {path.partition(":")[0]}'] = Answered(rate, cost)
    return rates


def compare_transfers(rounds: int, pulls: int, pushes: int) -> None:
    """Print a table of large transfers."""
    images = [blobs_of_image(number) for number in range(pushes + 1)]
    taken: dict[str, list[Transferred]] = {kind: [] for kind in KINDS}
    with multiprocessing.get_context('spawn').Pool(PROCESSES) as pool:
        for number in range(rounds):
            for kind in KINDS if number % 2 else KINDS[::-1]:
                taken[kind].append(transfer(kind, pulls, pushes, pool, images))
                print(f'{kind}: {taken[kind][-1]}', flush=True)
    print(f'\n| {pulls} pull, {pushes} push | MB/s | resident MB | CPU s of the server |\n| --- | --- | --- | --- |')
    for kind, each in taken.items():
        middle = [statistics.median(values) for values in zip(*each, strict=True)]
        print(f'| {kind} | {middle[0]:.0f} | {middle[1]:.0f} | {middle[2]:.1f} |')
    print(f'ratio {statistics.median(a.rate / b.rate for a, b in zip(*taken.values(), strict=True)):.2f}', flush=True)


def compare_small_requests(rounds: int, connections: int) -> None:
    """Print a table of small requests."""
    image = blobs_of_image(0)
    rates: dict[str, list[dict[str, Answered]]] = {kind: [] for kind in KINDS}
    for number in range(rounds):
        for kind in KINDS if number % 2 else KINDS[::-1]:
            rates[kind].append(small_requests(kind, connections, image))
    print(f'\n| requests a second (CPU µs each), {connections} connections | {" | ".join(KINDS)} | ratio |\n'
          '| --- | --- | --- | --- |')
    for name in rates[KINDS[0]][0]:
        ours, theirs = (Answered(*(statistics.median(values) for values in zip(
            *(each[name] for each in rates[kind]), strict=True))) for kind in KINDS)
        print(f'| {name} | {ours.rate:.0f} ({ours.cost:.0f}) | {theirs.rate:.0f} ({theirs.cost:.0f}) | '
              f'{ours.rate / theirs.rate:.2f} |', flush=True)


def main() -> None:
    """Compare `transfers`, `small` requests, or both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('only', nargs='?', choices=['transfers', 'small'])
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument('--pulls', type=int, default=100)
    parser.add_argument('--pushes', type=int, default=20)
    parser.add_argument('--connections', type=int, default=32)
    arguments = parser.parse_args()
    if arguments.only != 'transfers':
        compare_small_requests(arguments.rounds, arguments.connections)
    if arguments.only != 'small':
        compare_transfers(arguments.rounds, arguments.pulls, arguments.pushes)


if __name__ == '__main__':
    main()
