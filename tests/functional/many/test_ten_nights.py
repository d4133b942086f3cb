"""A mirror over ten nights: tags move, vanish and come, the network fails, a run is killed; nothing stale is current.

What is at the destination is read from its files, and in the end by skopeo; OCCYSTRAP_TEST_SEEDS=20 tries more seeds.
"""
import hashlib
import json
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.functional.images import skopeo
from tests.services.command_line import CommandLine
from tests.services.faults import FaultProxy, Faults
from tests.services.registry import Registry
from tests.services.registry_storage import RegistryStorage
from tests.services.tagged_images import TaggedImages

NIGHTS, AT_FIRST, KILLED = 10, 6, 6
REPOSITORY = 'mirror/app'
SEEDS = range(int(os.environ.get('OCCYSTRAP_TEST_SEEDS', '1')))
BAD = (2, 4, 8)
"""Nights of a bad network; in the last of them there is none at all."""


class Mirror:
    """The source behind a proxy, what a user wants of it, and the destination."""

    def __init__(self, source: Registry, proxy: FaultProxy, destination: Path | Registry, seed: int,
                 occystrap: CommandLine) -> None:
        """`destination` is a layout's directory or a registry."""
        self.place, self.proxy, self.occystrap = destination, proxy, occystrap
        self.destination = (f'layout://{destination}:' if isinstance(destination, Path) else
                            f'registry://{destination.host}/{REPOSITORY}:') + '{tag}'
        self.images, self.chances = TaggedImages(RegistryStorage(source.root)), random.Random(seed)
        self.there: dict[str, str] = {}
        """The digest of each tag at the source."""
        self.wanted: list[str] = []
        self.ever: list[str] = []
        self._made = 0

    def new_day(self) -> None:
        """Let tags come, move and vanish; the user notices a day later that one has vanished."""
        self.wanted = [tag for tag in self.wanted if tag in self.there]
        for _ in range(self.chances.randint(1, 2) if self.wanted else AT_FIRST):
            self.ever.append(f'v{len(self.ever)}')
            self.wanted.append(self.ever[-1])
            self._put(self.ever[-1])
        for tag in self.chances.sample(sorted(self.there), 2):
            self._put(tag)
        if len(self.there) > AT_FIRST:
            gone = self.chances.choice(sorted(self.there))
            self.images.storage.unlink_tag('team/app', gone)
            del self.there[gone]
        (self.occystrap.directory / 'images').write_text(''.join(
            f'registry://{self.proxy.host}/team/app:{tag}\n' for tag in self.wanted))

    def _put(self, tag: str) -> None:
        self._made += 1
        self.there[tag] = self.images.put('team/app', tag, f'content {self._made}', ('base', ))

    def words(self, command: str, *more: str) -> list[str]:
        """Return the words of a command of the mirror."""
        return [command, 'list://images', self.destination, '-O', 'json', *more]

    def at_destination(self) -> dict[str, str]:
        """Return the digest of each tag that is there; fails unless all that its image needs is there and whole."""
        found = in_layout(self.place) if isinstance(self.place, Path) else in_registry(self.place)
        for digest in found.values():
            manifest = json.loads(self._whole(digest))
            for blob in (manifest['config'], *manifest['layers']):
                assert len(self._whole(blob['digest'])) == blob['size']
        return found

    def _whole(self, digest: str) -> bytes:
        path = (self.place / 'blobs' / digest.replace(':', '/') if isinstance(self.place, Path) else
                self.place.blob_path(digest))
        content = path.read_bytes()
        assert f'sha256:{hashlib.sha256(content).hexdigest()}' == digest
        return content

    def seen_by_skopeo(self) -> dict[str, str]:
        """Return the digest of each tag that is there, as skopeo sees it."""
        named = f'oci:{self.place}' if isinstance(self.place, Path) else f'docker://{self.place.host}/{REPOSITORY}'
        return {tag: skopeo('inspect', '--tls-verify=false', '--format', '{{.Digest}}', f'{named}:{tag}').strip()
                for tag in self.at_destination()}

    def expected_states(self, found: dict[str, str]) -> dict[str, str]:
        """Return the state of each image, from what was found and what was put at the source."""
        states = {}
        for tag in self.wanted:
            if tag not in self.there:
                states[tag] = 'extra' if tag in found else 'missing'
            else:
                states[tag] = ('missing' if tag not in found else
                               'current' if found[tag] == self.there[tag] else 'stale')
        return states


def in_layout(layout: Path) -> dict[str, str]:
    """Return the digest of each tag in a layout."""
    if not layout.exists():
        return {}
    listed = json.loads((layout / 'index.json').read_text())['manifests']
    return {each['annotations']['org.opencontainers.image.ref.name']: each['digest'] for each in listed}


def in_registry(registry: Registry) -> dict[str, str]:
    """Return the digest of each tag in the registry's storage."""
    if not (registry.root / 'docker/registry/v2/repositories' / REPOSITORY).exists():
        return {}
    return {tag: registry.tag_digest(REPOSITORY, tag) for tag in registry.tags(REPOSITORY)}


def by_tag(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {image['reference'].rpartition(':')[2]: image for image in report['images']}


def assert_report(mirror: Mirror, report: dict[str, Any], before: dict[str, str], after: dict[str, str], bad: bool,
                  ) -> None:
    """Fail unless the run's report is what was there before and after it."""
    images = by_tag(report)
    assert set(images) == set(mirror.wanted)
    for tag, image in images.items():
        is_good = image['failure'] is None and image['outcome'] == 'verified'
        if is_good:
            assert after.get(tag) == mirror.there.get(tag) == image['manifest_digest'], tag
            assert image['done_before'] is (before.get(tag) == mirror.there[tag]) or bad, tag
        else:
            assert bad or tag not in mirror.there, (tag, image)
            assert after.get(tag) in (before.get(tag), mirror.there.get(tag)), tag
    counts = report['counts']
    assert counts['changed'] + counts['unchanged'] + counts['failed'] == len(images)
    assert counts['failed'] == sum(image['failure'] is not None or image['outcome'] != 'verified'
                                   for image in images.values())


def kill(mirror: Mirror) -> None:
    """Begin a run and kill it at some moment."""
    begun, stop = len(mirror.proxy.requests), mirror.chances.randint(1, 12)
    process = mirror.occystrap.start_fork(*mirror.words('process'))
    while len(mirror.proxy.requests) - begun < stop and process.poll() is None:
        time.sleep(0.001)
    process.kill()
    assert process.wait() in (-signal.SIGKILL, 0, 1)


@pytest.mark.parametrize('seed', SEEDS)
@pytest.mark.parametrize('kind', ['layout', 'registry'])
def test_every_night_is_told_as_it_was(kind: str, seed: int, registry_factory: Callable[..., Registry], tmp_path: Path,
                                       fault_proxy: Callable[..., FaultProxy], occystrap: CommandLine,
                                       program: Callable[..., str]) -> None:
    program('skopeo')
    source = registry_factory()
    proxy = fault_proxy(source.host, latency=0.002)
    destination = tmp_path / 'mirror' if kind == 'layout' else registry_factory()
    mirror = Mirror(source, proxy, destination, seed, occystrap)
    found: dict[str, str] = {}
    for night in range(NIGHTS):
        mirror.new_day()
        before, bad = found, night in BAD
        if bad:
            proxy.faults = Faults(refused=1.0 if night == BAD[-1] else 0.2, cut=0.1, seed=seed * 100 + night)
        if night == KILLED:
            kill(mirror)
        else:
            words = mirror.words('process', '--retries', '1' if bad else '4', '--longest-wait', '0.1')
            report = occystrap(*words).json()
        found = mirror.at_destination()
        if night != KILLED:
            assert_report(mirror, report, before, found, bad)
        proxy.faults = Faults()
        status = occystrap(*mirror.words('status'))
        states = {tag: image['state'] for tag, image in by_tag(status.json()).items()}
        expected = mirror.expected_states(found)
        assert {tag: state for tag, state in states.items() if tag in expected} == expected, night
        assert {state for tag, state in states.items() if tag not in expected} <= {'extra'}
        assert status.code == (0 if set(states.values()) == {'current'} else 1)
        assert mirror.at_destination() == found, 'status moves nothing'
    assert mirror.seen_by_skopeo() == found
