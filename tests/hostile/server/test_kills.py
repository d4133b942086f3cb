"""A registry that is killed at any moment, and started again: what is visible is whole, and nothing named is gone."""
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from occystrap_core.oci import Descriptor, Digest, Manifest, media_types, parse_manifest_or_index
from occystrap_registry.server.garbage import collect
from occystrap_registry.server.storage import Storage
from occystrap_registry.server.opened_storage import open_storage
from tests.hostile.server import nursery
from tests.services.requirements import EVERYTHING
from tests.unit.registry.images import HTTP

KILLS = 1000 if EVERYTHING else 20


class Nursery:
    """Registries to be killed, one after the other."""

    def __init__(self, process: 'subprocess.Popen[str]', root: Path) -> None:
        self._process, self.root = process, root

    def start(self, at: int, job: str = 'serve') -> str:
        """Start one that is killed at a call; return where it listens, the number of its calls, or how it ended."""
        self._say(json.dumps({'root': str(self.root), 'at': at, 'job': job}))
        return self._hear()

    def stop(self) -> int | None:
        """Stop it, unless it was killed; return the number of its calls."""
        self._say('')
        if (said := self._hear()).startswith('ended'):
            return None
        self._hear()
        return int(said)

    def ended(self) -> str:
        return self._hear()

    def _say(self, text: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(f'{text}\n')
        self._process.stdin.flush()

    def _hear(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline().strip()


@pytest.fixture
def registries(tmp_path: Path) -> Iterator[Nursery]:
    with subprocess.Popen([sys.executable, '-m', nursery.__name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as process:
        yield Nursery(process, tmp_path / 'storage')
        process.kill()


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


def moments(calls: int) -> list[int]:
    """Return at which calls to kill, all through the work."""
    count = min(KILLS, calls)
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
