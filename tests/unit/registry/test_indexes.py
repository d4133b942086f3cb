"""Indexes from one registry to another: every byte, every child, and damage named."""
import json
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path

import pytest

from occystrap_core import ImageIndex, ImageNotFound, InvalidImage, OutputError, Settings, VerifyLevel
from occystrap_core.files import DigestMismatch
from occystrap_core.image.artifact import Artifact
from occystrap_core.oci import Digest, Index, media_types
from occystrap_core.pipeline.content_fit import filtered
from occystrap_core.verification.results import Outcome
from occystrap_registry.server.server_thread import RegistryServer
from tests.unit.core.pipeline.memory import Without
from tests.unit.registry.images import verify
from tests.unit.registry.several import (
    copy, document_at, entry, manifest_at, open_at, put_artifact, put_index, put_many,
)

FAST, FULL = VerifyLevel.FAST, VerifyLevel.FULL
LEVELS = [FAST, FULL]


@pytest.fixture
def source(tmp_path: Path) -> Iterator[str]:
    """An empty registry to read from."""
    with RegistryServer(tmp_path / 'source') as server:
        yield server.host


@pytest.fixture
def target(tmp_path: Path) -> Iterator[str]:
    """An empty registry to write to."""
    with RegistryServer(tmp_path / 'target') as server:
        yield server.host


def test_all_of_an_index_keeps_every_digest(source: str, target: str, settings: Settings) -> None:
    entries = put_many(source, settings)
    opened = open_at(source, settings, platform='all')
    assert isinstance(opened, ImageIndex)
    assert [isinstance(child.content, Artifact) for child in opened.children] == [False, False, True, True]
    receipt = copy(opened, target, settings)
    assert manifest_at(target, 'v1').content == manifest_at(source, 'v1').content
    for each in entries:
        assert manifest_at(target, each['digest']).content == manifest_at(source, each['digest']).content
    assert [each.locator for each in receipt.of_kind('index', 'manifest')] == [
        'v1', *(each['digest'] for each in entries)]
    for level in LEVELS:
        assert not verify(receipt, settings, level).findings
    assert receipt.manifest_digest == Digest.of(manifest_at(source, 'v1').content)


def test_a_second_copy_sends_nothing(source: str, tmp_path: Path, settings: Settings) -> None:
    put_many(source, settings)
    heard: list[str] = []
    with RegistryServer(tmp_path / 'other', observer=lambda method, path, status: heard.append(method)) as target:
        copy(open_at(source, settings, platform='all'), target.host, settings)
        assert 'PUT' in heard
        heard.clear()
        receipt = copy(open_at(source, settings, platform='all'), target.host, settings)
    assert set(heard) <= {'GET', 'HEAD'}
    assert {each.evidence.value for each in receipt.of_kind('layer')} == {'descriptor'}


def test_a_list_writes_a_new_index_with_the_attestations(source: str, target: str, settings: Settings) -> None:
    entries = put_many(source, settings)
    receipt = copy(open_at(source, settings, platform='linux/arm64,linux/arm64/v8'), target, settings)
    document = json.loads(manifest_at(target, 'v1').content)
    assert document['manifests'] == [entries[1], entries[3]] and document['extra'] == [1]
    assert manifest_at(target, entries[0]['digest']).status_code == 404
    assert not verify(receipt, settings).findings
    assert verify(receipt, settings).outcome is Outcome.VERIFIED


@pytest.mark.parametrize('how', ['option', 'settings'])
def test_the_choice_comes_from_the_option_or_the_run(how: str, source: str, settings: Settings) -> None:
    put_many(source, settings)
    if how == 'option':
        opened = open_at(source, settings.choosing('linux/s390x'), platform='all')
    else:
        opened = open_at(source, settings.choosing('all'))
    assert isinstance(opened, ImageIndex) and len(opened.children) == 4
    assert not isinstance(open_at(source, settings.choosing('all'), platform='linux/arm64'), ImageIndex)


def test_a_platform_of_the_list_that_is_missing(source: str, settings: Settings) -> None:
    put_many(source, settings)
    with pytest.raises(ImageNotFound, match=f'{source}/many:v1: .*linux/s390x; available: linux/amd64, linux/arm64/v8'):
        open_at(source, settings, platform='linux/amd64,linux/s390x')
    with pytest.raises(ImageNotFound, match='many:amd64: no image for platform linux/arm64; available: linux/amd64'):
        open_at(source, settings, 'many:amd64', platform='linux/amd64,linux/arm64')
    assert not isinstance(open_at(source, settings, 'many:amd64', platform='all'), ImageIndex)


def test_nested_indexes_arrive_as_they_are(source: str, target: str, settings: Settings) -> None:
    entries = put_many(source, settings)
    inner = put_index(source, entries[:2], '')
    put_index(source, [entry(inner), entries[0], entry(inner)], 'outer')
    receipt = copy(open_at(source, settings, 'many:outer', platform='all'), target, settings, 'many:outer')
    for name in ('outer', str(inner.digest)):
        assert manifest_at(target, name).content == manifest_at(source, name).content
    assert not verify(receipt, settings).findings
    assert [each.locator for each in receipt.of_kind('index')] == ['outer', inner.digest]


def test_an_index_by_digest(source: str, target: str, settings: Settings) -> None:
    put_many(source, settings)
    digest = document_at(source, 'v1').digest
    receipt = copy(open_at(source, settings, f'many@{digest}', platform='all'), target, settings, f'many@{digest}')
    assert receipt.of_kind('index')[0].locator == digest and not verify(receipt, settings).findings
    with pytest.raises(OutputError, match='the manifest has digest'):
        copy(open_at(source, settings, platform='linux/amd64,linux/arm64'), target, settings,
             f'many@{Digest.of(b"another")}')


def test_an_artifact_alone_is_taken_by_all_only(source: str, target: str, settings: Settings) -> None:
    artifact = put_artifact(source, b'a chart', 'chart', config='application/vnd.cncf.helm.config.v1+json')
    with pytest.raises(InvalidImage, match='not a container image: its config is application/vnd.cncf.helm'):
        open_at(source, settings, 'many:chart')
    receipt = copy(open_at(source, settings, 'many:chart', platform='all'), target, settings, 'many:chart')
    assert document_at(target, 'chart').digest == artifact.digest and not verify(receipt, settings).findings


def test_filters_make_a_new_index_of_the_images(source: str, target: str, settings: Settings) -> None:
    entries = put_many(source, settings)
    opened = filtered(open_at(source, settings, platform='all'), [Without({'name': 'etc/old'}, settings)])
    assert isinstance(opened, ImageIndex) and len(opened.notes) == 2
    receipt = copy(opened, target, settings)
    index = document_at(target, 'v1')
    assert isinstance(index, Index) and len(index.manifests) == 2
    assert {each.digest for each in index.manifests}.isdisjoint(each['digest'] for each in entries)
    assert not verify(receipt, settings).findings


@pytest.mark.parametrize('level', LEVELS)
def test_damage_of_any_part_is_found_and_named(level: VerifyLevel, source: str, target: str, tmp_path: Path) -> None:
    settings = Settings(retries=0)
    put_many(source, settings)
    receipt = copy(open_at(source, settings, platform='all'), target, settings)
    blobs = tmp_path / 'target/repositories/many/_layout/blobs/sha256'
    digests = sorted({each.digest for each in receipt.expectations})
    choices = [*((damage, digests[half::2]) for damage in ('flip', 'cut', 'remove') for half in (0, 1)),
               *zip(cycle(('flip', 'cut', 'remove')), ([each] for each in digests))]
    for damage, chosen in choices:
        damaged = set(chosen)
        with spoiled([blobs / each.hex for each in damaged], damage):
            results = verify(receipt, Settings(retries=0), level)
        if damage == 'flip' and level is FAST:
            damaged -= {each.digest for each in receipt.of_kind('layer')}
        assert {each.item for each in results.findings} == {
            str(each) for each in receipt.expectations if each.digest in damaged}, (damage, damaged)
        assert results.outcome is (Outcome.FAILED if damaged else Outcome.VERIFIED)
    assert not verify(receipt, settings, level).findings


@contextmanager
def spoiled(paths: list[Path], damage: str) -> Iterator[None]:
    """Damage files for a time."""
    whole = [path.read_bytes() for path in paths]
    for path in paths:
        spoil(path, damage)
    yield
    for path, content in zip(paths, whole, strict=True):
        path.write_bytes(content)


def spoil(path: Path, damage: str) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    if damage == 'remove':
        path.unlink()
    else:
        path.write_bytes(content if damage == 'flip' else path.read_bytes()[:-1])


def test_an_entry_that_contradicts_its_manifest(source: str, settings: Settings) -> None:
    image = put_many(source, settings)[0]
    for changed, error, words in [
            ({'size': image['size'] + 1}, DigestMismatch, f'has {image["size"]} bytes, expected'),
            ({'mediaType': media_types.DOCKER_MANIFEST}, InvalidImage, 'listed as application/vnd.docker')]:
        put_index(source, [{**image, **changed}], 'odd')
        with pytest.raises(error, match=words):
            open_at(source, settings, 'many:odd', platform='all')


def test_opening_asks_for_each_manifest_once(source: str, settings: Settings) -> None:
    entries = put_many(source, settings)
    before = settings.requests.requests
    put_index(source, [*entries, *entries], 'twice')
    opened = open_at(source, settings, 'many:twice', platform='all')
    assert isinstance(opened, ImageIndex) and len(opened.children) == 8
    assert settings.requests.requests - before <= 10, 'the index, four manifests, four configs, and where it is'
