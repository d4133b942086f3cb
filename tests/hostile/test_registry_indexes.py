"""Row 37: indexes that do not fit, name each other or themselves, and what is no image at all."""
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from occystrap_core import ImageIndex, ImageNotFound, InvalidImage, Settings
from occystrap_core.files import ImageError
from occystrap_core.image import manifest_reader as index_reader
from occystrap_core.oci import Descriptor, Digest, Index, Manifest, Platform, media_types, referrers_tag
from occystrap_core.pipeline.index_copy import copy_of
from occystrap_core.testing.sample import sample_image
from occystrap_registry.input import RegistryInput
from occystrap_registry.writer import RegistryOutput
from tests.unit.registry.images import serve
from tests.unit.registry.scripted import Request, Answer, Scripted, location

SAMPLE = sample_image()
assert SAMPLE.manifest
MANIFEST = SAMPLE.manifest


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No credentials of whoever runs the tests."""
    monkeypatch.setenv('DOCKER_CONFIG', str(tmp_path))


@pytest.fixture
def server() -> Iterator[Scripted]:
    """A server that has the sample image, and whatever else a test puts there."""
    with Scripted() as started:
        serve(started, SAMPLE)
        yield started


def opened(server: Scripted, **options: object) -> Any:
    """Open `app:v1`."""
    images = RegistryInput(location(f'{server.host}/app:v1', **options), Settings(retries=0))
    reference, = images.references()
    return images.open(reference)


def put(server: Scripted, raw: bytes, name: str = '', media_type: str = media_types.OCI_INDEX) -> Descriptor:
    """Let the server have a manifest under its digest and `name`."""
    for each in (Digest.of(raw), name):
        server.routes[f'GET /v2/app/manifests/{each}'] = Answer(200, raw, [('Content-Type', media_type)])
    return Descriptor(media_type, Digest.of(raw), len(raw))


def index(*entries: dict[str, Any]) -> bytes:
    return json.dumps({'schemaVersion': 2, 'mediaType': media_types.OCI_INDEX, 'manifests': entries}).encode()


def entry(pointer: Descriptor = MANIFEST.descriptor, platform: str = '') -> dict[str, Any]:
    fields: dict[str, Any] = pointer.to_json()
    return {**fields, 'platform': Platform.parse(platform).to_json()} if platform else fields


CHOICES = ['linux/s390x', 'linux/amd64,linux/s390x']


@pytest.mark.parametrize('choice', CHOICES)
def test_no_match_lists_what_there_is(choice: str, server: Scripted) -> None:
    put(server, index(entry(platform='linux/arm64'), entry(platform='linux/amd64'), entry()), 'v1')
    with pytest.raises(ImageNotFound, match=f'{server.host}/app:v1: .*s390x; available: linux/amd64, linux/arm64$'):
        opened(server, platform=choice)


def test_entries_without_platform_are_what_the_config_says(server: Scripted) -> None:
    put(server, index(entry()), 'v1')
    assert opened(server, platform='linux/amd64').diff_ids == SAMPLE.diff_ids
    for choice in CHOICES:
        with pytest.raises(ImageNotFound, match='available: linux/amd64'):
            opened(server, platform=choice)
    assert isinstance(opened(server, platform='all'), ImageIndex)


def test_an_index_in_an_index_is_searched_for_one_image(server: Scripted) -> None:
    inner = put(server, index(entry(platform='linux/amd64')))
    put(server, index(entry(inner, 'linux/amd64')), 'v1')
    assert opened(server, platform='linux/amd64').diff_ids == SAMPLE.diff_ids
    assert len(opened(server, platform='all').layers) == 3


@pytest.mark.parametrize('choice', ['all', 'linux/amd64', 'linux/amd64,linux/arm64'])
def test_an_index_that_names_itself(choice: str, server: Scripted) -> None:
    """No honest index can: the server serves one thing and says it is another."""
    itself = Digest.of(b'an index that names itself')
    raw = index(*({'mediaType': media_types.OCI_INDEX, 'digest': itself, 'size': 500,
                   'platform': Platform.parse(name).to_json()} for name in ('linux/amd64', 'linux/arm64')))
    for name in ('v1', itself):
        server.routes[f'GET /v2/app/manifests/{name}'] = Answer(200, raw, [('Content-Type', media_types.OCI_INDEX)])
    with pytest.raises(InvalidImage, match=f'has digest {Digest.of(raw)}, expected {itself}'):
        opened(server, platform=choice)


@pytest.mark.parametrize('deep', [2, 8, 9, 3000])
def test_indexes_within_indexes_end_somewhere(deep: int, server: Scripted) -> None:
    pointer = MANIFEST.descriptor
    for _ in range(deep):
        pointer = put(server, index(entry(pointer)), 'v1')
    if deep <= 8:
        assert len(opened(server, platform='all').layers) == 3
        return
    before = len(server.requests)
    with pytest.raises(InvalidImage, match='has indexes nested more than 8 deep'):
        opened(server, platform='all')
    assert len(server.requests) - before < 15


def test_a_fan_of_indexes_is_read_once_each(server: Scripted) -> None:
    """Eight levels that each name the next eight times: sixteen million ways, nine manifests."""
    pointer = MANIFEST.descriptor
    for _ in range(8):
        pointer = put(server, index(*[entry(pointer)] * 8), 'v1')
    before = len(server.requests)
    image = opened(server, platform='all')
    assert len(image.layers) == 3 and len({id(child.content) for child in image.children}) == 1
    assert len(server.requests) - before <= 12


def test_too_many_manifests_are_refused_before_they_are_asked_for(server: Scripted, monkeypatch: pytest.MonkeyPatch,
                                                                  ) -> None:
    monkeypatch.setattr(index_reader, '_MOST', 100)
    put(server, index(*(entry(Descriptor(media_types.OCI_MANIFEST, Digest.of(b'%d' % number), 9))
                        for number in range(101))), 'v1')
    with pytest.raises(InvalidImage, match='app:v1 has more than 100 manifests'):
        opened(server, platform='all')
    assert len(server.requests) <= 3


@pytest.mark.parametrize('choice', ['all', 'linux/amd64'])
@pytest.mark.parametrize(('raw', 'words'), [
    (b'{"schemaVersion": 1, "fsLayers": []}', 'obsolete schema version 1'), (b'{}', 'no schemaVersion 2'),
    (b'{"artifactType": "a/sbom", "blobs": []}', 'an artifact manifest, a form that OCI has withdrawn'),
    (b'[]', 'not a JSON object'), (b'\xff', 'not valid JSON'),
    (b'{"schemaVersion": 2, "layers": [], "config": {}, "manifests": []}', 'both layers and manifests'),
    (b'{"schemaVersion": 2, "layers": [], "config": {}, "FSLayers": []}', 'fsLayers.*ambiguous'),
    (b'{"schemaVersion": 2, "mediaType": "application/vnd.oci.artifact.manifest.v1+json", "blobs": []}', 'media type')])
def test_a_child_that_is_no_manifest(raw: bytes, words: str, choice: str, server: Scripted) -> None:
    child = put(server, raw, media_type='application/json')
    put(server, index(entry(child, 'linux/amd64')), 'v1')
    with pytest.raises(InvalidImage, match=f'{server.host}/app.*{words}'):
        opened(server, platform=choice)


@pytest.mark.parametrize('choice', ['all', 'linux/amd64', 'linux/amd64,linux/arm64'])
def test_a_child_with_other_bytes_or_none(choice: str, server: Scripted) -> None:
    put(server, index(entry(platform='linux/amd64'), entry(platform='linux/arm64')), 'v1')
    path = f'GET /v2/app/manifests/{MANIFEST.digest}'
    for say, words in [(Answer(200, MANIFEST.raw + b' '), 'expected'), (Answer(404), 'does not exist')]:
        server.routes[path] = say
        with pytest.raises(ImageError, match=f'app@{MANIFEST.digest} .*{words}'):
            opened(server, platform=choice)


@pytest.mark.parametrize('config', [b'{}', b'[]', b'{"rootfs": {"diff_ids": []}}', b'x'])
def test_a_child_with_a_config_that_does_not_fit_is_named(config: bytes, server: Scripted) -> None:
    pointer = Descriptor(media_types.OCI_CONFIG, Digest.of(config), len(config))
    child = put(server, Manifest.build(pointer, MANIFEST.layers).raw, media_type=media_types.OCI_MANIFEST)
    server.routes[f'GET /v2/app/blobs/{pointer.digest}'] = Answer(200, config)
    put(server, index(entry(), entry(child)), 'v1')
    with pytest.raises(InvalidImage, match=f'^{server.host}/app@{child.digest}'):
        opened(server, platform='all')


def test_a_foreign_layer_is_not_fetched_from_its_urls(server: Scripted) -> None:
    foreign = Descriptor('application/vnd.docker.image.rootfs.foreign.diff.tar.gzip', Digest.of(b'elsewhere'), 9,
                         urls=(f'http://{server.host}/elsewhere',))
    manifest = Manifest.build(MANIFEST.config, [*MANIFEST.layers[:2], foreign])
    child = put(server, manifest.raw, media_type=media_types.OCI_MANIFEST)
    put(server, index(entry(child, 'windows/amd64')), 'v1')
    server.routes['PUT /v2/other/manifests/v1'] = Answer(201)
    server.routes['POST /v2/other/blobs/uploads/'] = Answer(202, headers=[('Location', '/upload')])
    server.routes['PUT /upload'] = _drained
    settings = Settings(retries=0)
    target = RegistryOutput(location(f'{server.host}/other:v1'), settings)
    with pytest.raises(InvalidImage, match=f'{foreign.digest} is a foreign layer, .* urls are not followed'):
        copy_of(opened(server, platform='all'), target, settings, 'source').run()
    assert not server.received('GET', '/elsewhere') and not server.received('PUT', '/v2/other/manifests/v1')


def _drained(request: Request) -> Answer:
    return Answer(201)


def test_an_artifact_is_no_image(server: Scripted) -> None:
    config = Descriptor('application/vnd.cncf.helm.config.v1+json', Digest.of(b'{}'), 2)
    put(server, Manifest.build(config, []).raw, 'v1', media_types.OCI_MANIFEST)
    for choice in ('', 'linux/amd64', 'linux/amd64,linux/arm64'):
        with pytest.raises(InvalidImage, match='is not a container image: its config is application/vnd.cncf.helm'):
            opened(server, platform=choice)


def test_referrers_that_go_round_in_circles_end(server: Scripted) -> None:
    """Lists of referrers are the registry's word: each may name what it was asked about, or what was seen."""
    first = Manifest.parse(json.dumps({**json.loads(MANIFEST.raw), 'subject': entry()}).encode())
    pointer = put(server, first.raw, media_type=media_types.OCI_MANIFEST)
    for digest in (MANIFEST.digest, first.digest):
        put(server, Index.build([pointer]).raw, referrers_tag(digest))
    with pytest.raises(InvalidImage, match=f'{first.digest} is listed as a referrer of {first.digest}, but'):
        opened(server, referrers=True, platform='linux/amd64')
    put(server, Index.build([]).raw, referrers_tag(first.digest))
    image = opened(server, referrers=True, platform='linux/amd64')
    assert [each.subject for each in image.referrers] == [MANIFEST.digest]


def test_a_listed_referrer_of_another_size(server: Scripted) -> None:
    first = Manifest.parse(json.dumps({**json.loads(MANIFEST.raw), 'subject': entry()}).encode())
    put(server, first.raw, media_type=media_types.OCI_MANIFEST)
    wrong = Descriptor(media_types.OCI_MANIFEST, first.digest, 1)
    put(server, Index.build([wrong]).raw, referrers_tag(MANIFEST.digest))
    with pytest.raises(InvalidImage, match='bytes, expected 1'):
        opened(server, referrers=True, platform='linux/amd64')
