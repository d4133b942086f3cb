"""A registry, or a proxy, that is killed at any moment and started again: what is visible is whole, nothing is gone."""
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from signal import SIGKILL

import httpx
import pytest

from occystrap_core import Settings
from occystrap_core.oci import Descriptor, Digest, Manifest, media_types, parse_manifest_or_index
from occystrap_core.testing.sample import sample_config, sample_image, sample_layers
from occystrap_registry.server.garbage import collect
from occystrap_registry.server.storage import Storage
from occystrap_registry.server.opened_storage import open_storage
from tests.hostile.server import nursery
from tests.services.proxied import ACCEPT, Registry, proxied, started
from tests.services.requirements import EVERYTHING
from tests.unit.registry.images import HTTP
from tests.unit.registry.images import push as push_sample

KILLS = 1000 if EVERYTHING else 20
HALF_WRITTEN = """
import os, sqlite3, sys
file = sqlite3.connect(sys.argv[1], isolation_level=None)
file.execute('PRAGMA cache_size = 1')
file.execute('BEGIN')
file.execute("UPDATE tags SET stored = 'sha256:0'")
file.executemany("INSERT INTO replaced VALUES (?, '', '', '')", [(f'{number:0>999}',) for number in range(999)])
os.kill(os.getpid(), 9)
"""


class Nursery:
    """Registries to be killed, one after the other."""

    def __init__(self, process: 'subprocess.Popen[str]', root: Path) -> None:
        self._process, self.root = process, root
        self.process = ''
        """The number of the process that was started last."""

    def start(self, at: int, job: str = 'serve') -> str:
        """Start one that is killed at a call; return where it listens, the number of its calls, or how it ended."""
        self._say(json.dumps({'root': str(self.root), 'at': at, 'job': job}))
        first, _, self.process = self._hear().partition(' ')
        return first if first != 'ended' else f'{first} {self.process}'

    def stop(self) -> int | None:
        """Stop it, unless it was killed; return the number of its calls."""
        self._say('')
        if (first := self._hear()).startswith('ended'):
            return None
        self._hear()
        return int(first)

    def ended(self) -> str:
        return self._hear()

    def _say(self, text: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(f'{text}\n')
        self._process.stdin.flush()

    def _hear(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline().strip()


@pytest.fixture(scope='module')
def process() -> Iterator['subprocess.Popen[str]']:
    """The process of all tests."""
    with subprocess.Popen([sys.executable, '-m', nursery.__name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as started_process:
        yield started_process
        started_process.kill()


@pytest.fixture
def registries(process: 'subprocess.Popen[str]', tmp_path: Path) -> Nursery:
    """Registries and proxies of one test, whose last one has ended."""
    return Nursery(process, tmp_path / 'storage')


def push(host: str, number: int, tag: str = 'v1') -> None:
    """Push an image with one layer, signed; raises httpx.HTTPError if the registry is killed."""
    layer, config = b'layer %d' % number * 1000, b'{"architecture":"amd64","os":"linux","number":%d}' % number
    parts = [Descriptor(kind, Digest.of(data), len(data)) for kind, data in [
        (media_types.OCI_CONFIG, config), (media_types.OCI_LAYER, layer)]]
    manifest = Manifest.build(parts[0], parts[1:])
    subject = {'mediaType': media_types.OCI_MANIFEST, 'digest': manifest.digest, 'size': len(manifest.raw)}
    signature = json.dumps({**json.loads(manifest.raw), 'subject': subject}).encode()
    place = f'http://{host}/v2/app'
    for data in (config, layer):
        HTTP.post(f'{place}/blobs/uploads/', params={'digest': Digest.of(data)}, content=data).raise_for_status()
    for raw, reference in ((manifest.raw, tag), (signature, Digest.of(signature))):
        HTTP.put(f'{place}/manifests/{reference}', content=raw,
                 headers={'Content-Type': media_types.OCI_MANIFEST}).raise_for_status()


def require_sound(storage: Storage) -> None:
    """All that is visible is whole, and what names something has it."""
    for path in storage.files.root.rglob('blobs/*/*'):
        assert Digest.of(path.read_bytes()).hex == path.name
    for repository in storage.repositories():
        for digest in storage.manifests(repository):
            _, kind, raw = storage.manifest(repository, digest)
            parsed = parse_manifest_or_index(raw, kind)
            assert isinstance(parsed, Manifest)
            assert all(storage.has_blob(repository, each.digest) for each in (parsed.config, *parsed.layers))
        for tag in storage.tags(repository):
            assert storage.manifest(repository, tag)


def require_true(known: Path, storage: Storage) -> None:
    """What a proxy remembers can be read, and is so downstream."""
    with closing(sqlite3.connect(known)) as file:
        assert file.execute('PRAGMA integrity_check').fetchall() == [('ok',)]
        for repository, stored in file.execute('SELECT repository, stored FROM tags UNION '
                                               'SELECT repository, stored FROM replaced').fetchall():
            assert storage.manifest(f'mirror/{repository}', Digest(stored))[0] == stored


def moments(calls: int, most: int = KILLS) -> list[int]:
    """Return at which calls to kill, all through the work."""
    count = min(most, calls)
    return sorted({number * calls // count for number in range(count)})


def test_a_push_that_was_killed_can_be_repeated(registries: Nursery) -> None:
    for number, tag in enumerate(('kept', 'v1')):  # the second makes no directories
        push(registries.start(-1), number, tag)
        calls = registries.stop() or 0
    killed = 0
    for number, at in enumerate(moments(calls), 2):
        host = registries.start(at)
        with pytest.raises(httpx.HTTPError):
            push(host, number)
        killed += registries.ended() == 'ended 9'
        with open_storage(registries.root) as storage:
            require_sound(storage)
            assert storage.tags('app')[:1] == ['kept'] and not list(storage.temporary.iterdir())
        push(registries.start(-1), number)
        registries.stop()
        with open_storage(registries.root) as storage:
            require_sound(storage)
            assert json.loads(storage.manifest('app', 'v1')[2])['config']['size'] == len(
                b'{"architecture":"amd64","os":"linux","number":%d}' % number)
    assert killed >= min(KILLS, calls)


def test_a_collection_that_was_killed_does_no_harm(registries: Nursery) -> None:
    def fill(number: int) -> None:
        host = registries.start(-1)
        for each in range(2):
            push(host, number * 2 + each)
        registries.stop()
    fill(0)
    calls = int(registries.start(-1, 'collect'))
    assert registries.ended() == 'ended 0' and calls >= 10
    for number, at in enumerate(moments(calls), 1):
        fill(number)
        assert registries.start(at, 'collect') == 'ended 9'
        with open_storage(registries.root) as storage:
            require_sound(storage)
            assert collect(storage, untagged=True, grace=-1) and len(storage.manifests('app')) == 2
            require_sound(storage)
    assert os.listdir(registries.root / 'temporary') == []


class Downstream(Registry):
    """A registry that kills a process instead of hearing one of its requests."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.prey, self.left = 0, 0

    def _observe(self, method: str, path: str, status: int) -> None:
        super()._observe(method, path, status)
        self.left -= 1
        if not self.left and self.prey:
            os.kill(self.prey, SIGKILL)


@pytest.fixture
def downstream(tmp_path: Path) -> Iterator[Downstream]:
    with started(Downstream(tmp_path / 'down')) as running:
        yield running


def send(host: str, number: int) -> str:
    """Push an image through a proxy; return its digest downstream. Raises httpx.HTTPError if the proxy is killed."""
    tars = sample_layers(f'{number}')
    blobs = [sample_config(tars), *tars]
    for data in blobs:
        HTTP.post(f'http://{host}/v2/app/blobs/uploads/', params={'digest': Digest.of(data)}, content=data
                  ).raise_for_status()
    config, *layers = [Descriptor(kind, Digest.of(data), len(data)) for data, kind in zip(
        blobs, [media_types.OCI_CONFIG, *[media_types.OCI_LAYER] * len(tars)], strict=True)]
    answer = HTTP.put(f'http://{host}/v2/app/manifests/v1', content=Manifest.build(config, layers).raw,
                      headers={'Content-Type': media_types.OCI_MANIFEST}).raise_for_status()
    return answer.headers['occystrap-stored-digest']


def require_repaired(downstream: Downstream, host: str, number: int, before: str) -> str:
    """What a kill left is whole, and the push succeeds when it is repeated; return the digest of the image."""
    require_sound(downstream.storage)
    tagged = downstream.storage.tagged('mirror/app', 'v1')
    seen = HTTP.get(f'http://{host}/v2/app/manifests/v1')
    assert Digest.of(seen.content) == tagged, seen.text
    after = send(host, number)
    assert downstream.storage.tagged('mirror/app', 'v1') == after != before and tagged in (before, after)
    require_sound(downstream.storage)
    return after


def test_a_proxy_that_is_killed_as_it_asks_downstream(registries: Nursery, downstream: Downstream) -> None:
    """Instead of a request that a push makes there: every other one, all where all is tried."""
    host = registries.start(-1, downstream.host)
    before = send(host, 0)
    downstream.requests.clear()
    before = send(host, 1)
    requests = downstream.requests.total()
    assert requests >= 10
    for number in range(1, requests + 1, 1 if EVERYTHING else 2):
        downstream.prey, downstream.left = int(registries.process), number
        with pytest.raises(httpx.HTTPError):
            send(host, number + 1)
        assert registries.ended() == 'ended 9'
        require_true(registries.root / 'known.sqlite', downstream.storage)
        host = registries.start(-1, downstream.host)
        before = require_repaired(downstream, host, number + 1, before)
    registries.stop()


def pull(host: str) -> bytes:
    """Pull an image through a proxy; return its manifest. Raises httpx.HTTPError if the proxy is killed."""
    found = HTTP.get(f'http://{host}/v2/app/manifests/v1', headers=ACCEPT).raise_for_status().content
    for each in Manifest.parse(found).layers:
        blob = HTTP.get(f'http://{host}/v2/app/blobs/{each.digest}').raise_for_status()
        assert Digest.of(blob.content) == each.digest
    return found


def test_a_proxy_that_is_killed_as_it_pulls_through(registries: Nursery, downstream: Downstream, tmp_path: Path,
                                                    ) -> None:
    """Instead of each request that it makes downstream: what it remembers is true, and the pull can be repeated."""
    with started(Registry(tmp_path / 'up')) as up:
        place = f'{downstream.host} {up.host}'
        host = registries.start(-1, place)
        push_sample(up.host, Settings())
        pull(host)
        for number in count(1, 1 if EVERYTHING else 3):
            push_sample(up.host, Settings(), sample_image(variant=f'{number}'))
            downstream.prey, downstream.left = int(registries.process), number
            try:
                pull(host)
                break  # it makes no more requests
            except httpx.HTTPError:
                assert registries.ended() == 'ended 9'
            require_sound(downstream.storage)
            require_true(registries.root / 'known.sqlite', downstream.storage)
            host = registries.start(-1, place)
            assert Digest.of(pull(host)) == downstream.storage.tagged('mirror/app', 'v1')
        assert number >= 10
        registries.stop()


def test_unfinished_writes_of_a_killed_proxy_are_undone(tmp_path: Path) -> None:
    """Half a change to what it remembers is in the file, and what was there before in SQLite's journal."""
    with started(Registry(tmp_path / 'down')) as down:
        with proxied(tmp_path, down=down) as proxy:
            push_sample(proxy.host, Settings())
        known = tmp_path / 'proxy/known.sqlite'
        before = known.read_bytes()
        assert subprocess.run([sys.executable, '-c', HALF_WRITTEN, known]).returncode == -SIGKILL
        assert known.read_bytes() != before and known.with_name('known.sqlite-journal').stat().st_size
        with proxied(tmp_path, down=down) as proxy:
            assert proxy.manifest('app').status_code == 200
        require_true(known, down.storage)


def test_a_proxy_that_is_killed_as_it_works(registries: Nursery, downstream: Downstream) -> None:
    """At calls to the system, most of which are about its staging area."""
    host = registries.start(-1, downstream.host)
    before = send(host, 0)
    calls = registries.stop()
    assert calls and calls >= 10
    for number, at in enumerate(moments(calls, KILLS // 3), 1):
        host = registries.start(at, downstream.host)
        with pytest.raises(httpx.HTTPError):
            send(host, number)
        assert registries.ended() == 'ended 9'
        before = require_repaired(downstream, host := registries.start(-1, downstream.host), number, before)
        registries.stop()
