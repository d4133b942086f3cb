"""Loads `occystrap proxy` without a filter and with one: `python -m benchmarks.proxy_load`.

Clients pull images that only upstream has while others push theirs, all at once. Every blob that a client gets is
hashed, and afterwards every image is read from downstream itself, and hashed. Printed are megabytes a second, the
processor time of the proxy, and its highest resident memory. TMPDIR says where the storages lie.
"""
import argparse
import gzip
import hashlib
import http.client
import io
import json
import os
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from benchmarks.registry_load import CHUNK, MANIFEST, Blob, Server, answers, command_of, manifest_of, push, request
from tests.services.ports import free_port
from tests.services.processes import running

UPSTREAM_IMAGES = 5
"""Several clients pull the same image, which is fetched once."""
FILES = 200
"""The number of files in a layer."""


class Load(NamedTuple):
    """How much work a proxy gets."""

    pulls: int
    pushes: int


class Carried(NamedTuple):
    """The figures of one run."""

    rate: float
    """Megabytes a second that clients have sent and received."""
    cpu: float
    memory: float


def layer_of(path: Path, size: int, diff_ids: list[str]) -> Blob:
    """Write a layer with files of random bytes and of text, new ones for each call; return its blob."""
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode='w') as layer:
        for number in range(FILES):
            data = os.urandom(size // FILES // 2) + b'the same line of text, again and again\n' * (size // FILES // 80)
            entry = tarfile.TarInfo(f'srv/{path.name}/{number}')
            entry.size, entry.mtime = len(data), time.time()
            layer.addfile(entry, io.BytesIO(data))
    diff_ids.append(f'sha256:{hashlib.sha256(tar.getbuffer()).hexdigest()}')
    path.write_bytes(raw := gzip.compress(tar.getbuffer(), 1))
    return Blob(path, b'', f'sha256:{hashlib.sha256(raw).hexdigest()}')


def images_of(directory: Path, count: int, size: int) -> list[list[Blob]]:
    """Return so many images, whose first layer is the same, the second one its own; config first."""
    base_ids: list[str] = []
    base, found = layer_of(directory / 'base', size, base_ids), []
    for number in range(count):
        diff_ids = [*base_ids]
        own = layer_of(directory / f'own-{number}', size, diff_ids)
        config = json.dumps({'architecture': 'amd64', 'os': 'linux', 'config': {}, 'rootfs': {
            'type': 'layers', 'diff_ids': diff_ids}}).encode()
        (directory / f'config-{number}').write_bytes(config)
        digest = f'sha256:{hashlib.sha256(config).hexdigest()}'
        found.append([Blob(directory / f'config-{number}', b'', digest), base, own])
    return found


def read(host: str, repository: str) -> tuple[int, bytes]:
    """Pull an image, and hash all of it; return its bytes, and its manifest."""
    connection = http.client.HTTPConnection(host, timeout=1200)
    status, _, raw = request(connection, 'GET', f'/v2/{repository}/manifests/v1', None, {'Accept': MANIFEST})
    assert status == 200, raw
    manifest = json.loads(raw)
    for blob in [manifest['config'], *manifest['layers']]:
        connection.request('GET', f'/v2/{repository}/blobs/{blob["digest"]}')
        answer, hashed, size = connection.getresponse(), hashlib.sha256(), 0
        assert answer.status == 200, answer.read()
        while piece := answer.read(CHUNK):
            hashed.update(piece)
            size += len(piece)
        assert f'sha256:{hashed.hexdigest()}' == blob['digest'] and size == blob['size'], blob
    return sum(each['size'] for each in [manifest['config'], *manifest['layers']]), raw


@contextmanager
def serving(command: Sequence[str], host: str, directory: Path) -> Iterator[Server]:
    """Run a server."""
    with running(command, log=directory / 'log', ready=partial(answers, host)) as process:
        yield Server(host, process.pid)


@contextmanager
def proxying(filters: Sequence[str]) -> Iterator[tuple[Server, Server, Server]]:
    """Run a proxy between two empty registries; give upstream, the proxy, and downstream."""
    with ExitStack() as stack:
        servers: list[Server] = []
        for _ in range(2):
            place, host = Path(stack.enter_context(tempfile.TemporaryDirectory())), f'127.0.0.1:{free_port()}'
            servers.append(stack.enter_context(serving(command_of('occystrap', host, place), host, place)))
        up, down = servers
        place, host = Path(stack.enter_context(tempfile.TemporaryDirectory())), f'127.0.0.1:{free_port()}'
        command = [command_of('occystrap', host, place)[0], 'proxy', '--downstream', f'registry://{down.host}/mirror',
                   '--upstream', f'registry://{up.host}', '--storage', f'{place}/proxy', '--listen', host]
        command += [word for each in filters for word in ('--filter', each)]
        yield up, stack.enter_context(serving(command, host, place)), down


def carry(filters: Sequence[str], load: Load, images: Sequence[Sequence[Blob]]) -> Carried:
    """Let clients pull and push at once, then read all images downstream."""
    with proxying(filters) as (up, proxy, down), ThreadPoolExecutor(load.pulls + load.pushes) as threads:
        for number in range(UPSTREAM_IMAGES):
            push(up.host, f'up/{number}', images[number])
        pushed = images[UPSTREAM_IMAGES:UPSTREAM_IMAGES + load.pushes]
        before, begun = proxy.cpu, time.monotonic()
        pushing = [threads.submit(push, proxy.host, f'pushed/{number}', each) for number, each in enumerate(pushed)]
        pulling = [threads.submit(read, proxy.host, f'up/{number % UPSTREAM_IMAGES}') for number in range(load.pulls)]
        size = sum(each.result() for each in pushing) + sum(each.result()[0] for each in pulling)
        carried = Carried(size / 1e6 / (time.monotonic() - begun), proxy.cpu - before, proxy.memory)
        for name, blobs in [(f'pushed/{number}', each) for number, each in enumerate(pushed)] + [
                (f'up/{number}', images[number]) for number in range(min(UPSTREAM_IMAGES, load.pulls))]:
            assert (read(down.host, f'mirror/{name}')[1] == manifest_of(blobs)) is not bool(filters), name
    return carried


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--pulls', type=int, default=50)
    parser.add_argument('--pushes', type=int, default=20)
    parser.add_argument('--megabytes', type=int, default=60, help='of each of the two layers of an image, uncompressed')
    parser.add_argument('--filter', default='normalize-timestamps')
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        images = images_of(Path(name), UPSTREAM_IMAGES + given.pushes, given.megabytes * 1_000_000)
        print(f'| {given.pulls} pull, {given.pushes} push {2 * given.megabytes} MB | MB/s | CPU s of the proxy | '
              'resident MB |\n| --- | --- | --- | --- |', flush=True)
        for filters in ([], [given.filter]):
            carried = carry(filters, Load(given.pulls, given.pushes), images)
            print(f'| {", ".join(filters) or "no filter"} | {carried.rate:.0f} | {carried.cpu:.1f} | '
                  f'{carried.memory:.0f} |', flush=True)


if __name__ == '__main__':
    main()
