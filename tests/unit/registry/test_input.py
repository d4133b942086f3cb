"""Reading images from a registry: the right one, checked, or an error that says what is there."""
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from occystrap_core import ImageNotFound, InvalidImage, ServiceUnavailable, Settings, UsageError
from occystrap_core.files import DigestMismatch, ImageError
from occystrap_core.oci import Descriptor, Digest, Platform, media_types
from occystrap_core.testing.sample import sample_image
from occystrap_registry.server.server_thread import RegistryServer
from tests.unit.registry.images import index_of, pull, push, put_manifest, serve
from tests.unit.registry.scripted import Answer, Scripted

SAMPLE = sample_image()
assert SAMPLE.manifest
MANIFEST = SAMPLE.manifest


@pytest.fixture
def host(tmp_path: Path, settings: Settings) -> Iterator[str]:
    """A registry with the sample image as `app:v1`."""
    with RegistryServer(tmp_path / 'registry') as server:
        push(server.host, settings)
        yield server.host


@pytest.mark.parametrize('name', ['app:v1', f'app@{MANIFEST.digest}', f'app:v1@{MANIFEST.digest}',
                                  f'app:gone@{MANIFEST.digest}'])
def test_an_image_is_read_as_it_is(name: str, host: str, settings: Settings) -> None:
    with pull(host, settings, name) as image:
        assert image.manifest and image.manifest.raw == MANIFEST.raw and image.config.raw == SAMPLE.config.raw
        assert str(image.reference) == f'{host}/{name}'
        for found, expected in zip(image.layers, SAMPLE.layers, strict=True):
            assert found.stored().drain() == expected.descriptor.digest if expected.descriptor else False
            assert found.tar().drain() == expected.diff_id


def test_size_hints_are_asked_for_once(host: str, settings: Settings) -> None:
    layer = pull(host, settings).layers[0]
    before = settings.requests.requests
    sizes = {layer.tar_size() for _ in range(3)}
    with layer.tar() as tar:
        tar.drain()
    assert sizes == {tar.size} and settings.requests.requests == before + 2


def test_opening_reads_no_layer(server: Scripted, settings: Settings) -> None:
    serve(server, SAMPLE)
    pull(server.host, settings)
    assert [request.path for request in server.requests] == ['/v2/', '/v2/app/manifests/v1',
                                                             f'/v2/app/blobs/{MANIFEST.config.digest}']
    accepted = server.requests[1].headers['accept']
    assert all(kind in accepted for kind in (*media_types.MANIFESTS, *media_types.INDEXES))


def test_missing_tag_names_the_nearest(host: str, settings: Settings) -> None:
    for tag in ('v10', 'v11', 'latest', 'nightly', 'w'):
        push(host, settings, name=f'app:{tag}')
    words = f'{host}/app:v12 does not exist; available: v1, v1[01], v1[01], '
    with pytest.raises(ImageNotFound, match=words) as caught:
        pull(host, settings, 'app:v12')
    assert str(caught.value).count(',') == 4
    with pytest.raises(ImageNotFound, match='no such repository'):
        pull(host, settings, 'nothing:v1')
    with pytest.raises(ImageNotFound, match='available: latest'):
        pull(host, settings, f'app@{SAMPLE.config.digest}')


@pytest.mark.parametrize('tags', [Answer(500), Answer(401), Answer(200, b'[]'), Answer(200, b'{"tags": 7}'),
                                  Answer(200, b'x'),
                                  Answer(200, json.dumps({'tags': ['a\x1b[31m', 7, None, 'x' * 500]}).encode()),
                                  Answer(200, json.dumps({'tags': ['v'] * 400_000}).encode())])
def test_odd_lists_of_tags(tags: Answer, server: Scripted) -> None:
    server.routes['GET /v2/app/tags/list'] = tags
    with pytest.raises(ImageNotFound, match='app:v1 does not exist') as caught:
        pull(server.host, Settings(retries=0))
    assert '\x1b' not in str(caught.value) and len(str(caught.value)) < 200


@pytest.fixture
def several(host: str, settings: Settings) -> str:
    """The registry with an index `many:v1` of two platforms."""
    other = sample_image(variant='arm')
    entries: list[tuple[Descriptor, str | None]] = []
    for image, platform in ((sample_image(), 'linux/amd64'), (other, 'linux/arm64/v8')):
        push(host, settings, image, f'many:{platform[6:11]}')
        assert image.manifest
        entries.append((image.manifest.descriptor, platform))
    entries.append((entries[0][0], None))
    put_manifest(host, index_of(entries), 'v1', media_types.OCI_INDEX, 'many')
    return host


def test_index_by_platform(several: str, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    arm = sample_image(variant='arm')
    assert pull(several, settings, 'many:v1', platform='linux/arm64').diff_ids == arm.diff_ids
    assert pull(several, Settings(platform=Platform.parse('linux/arm64')), 'many:v1').diff_ids == arm.diff_ids
    by_option = pull(several, Settings(platform=Platform.parse('linux/arm64')), 'many:v1', platform='linux/amd64')
    assert by_option.diff_ids == SAMPLE.diff_ids
    monkeypatch.setattr(Platform, 'of_host', lambda: Platform.parse('linux/arm64'))
    assert pull(several, settings, 'many:v1').diff_ids == arm.diff_ids


def test_platforms_that_are_not_there(several: str, settings: Settings) -> None:
    with pytest.raises(ImageNotFound, match=f'{several}/many:v1.*linux/s390x.*linux/amd64, linux/arm64/v8'):
        pull(several, settings, 'many:v1', platform='linux/s390x')
    with pytest.raises(ImageNotFound, match=f'{several}/app:v1.*linux/s390x.*linux/amd64'):
        pull(several, settings, 'app:v1', platform='linux/s390x')
    with pytest.raises(UsageError, match='arm64'):
        pull(several, settings, 'many:v1', platform='arm64')


def test_index_in_an_index(several: str, settings: Settings) -> None:
    inner = put_manifest(several, index_of([(MANIFEST.descriptor, 'linux/amd64')]), 'inner', media_types.OCI_INDEX,
                         'many')
    put_manifest(several, index_of([(inner, 'linux/amd64')]), 'outer', media_types.OCI_INDEX, 'many')
    assert pull(several, settings, 'many:outer', platform='linux/amd64').diff_ids == SAMPLE.diff_ids


def test_index_with_a_wrong_size(several: str, settings: Settings) -> None:
    lying = Descriptor(MANIFEST.media_type, MANIFEST.digest, 7)
    put_manifest(several, index_of([(lying, 'linux/amd64')]), 'lying', media_types.OCI_INDEX, 'many')
    with pytest.raises(DigestMismatch, match='expected 7'):
        pull(several, settings, 'many:lying', platform='linux/amd64')


def changed(**changes: Any) -> bytes:
    """Return the sample's manifest with fields changed, or removed where None."""
    document = {**json.loads(MANIFEST.raw), **changes}
    return json.dumps({name: value for name, value in document.items() if value is not None}).encode()


CONFIG = json.loads(MANIFEST.raw)['config']
LAYERS = json.loads(MANIFEST.raw)['layers']


@pytest.mark.parametrize(('manifest', 'words'), [
    (b'', 'not valid JSON'), (b'null', 'not a JSON object'), (b'{}', 'schemaVersion'), (b'[' * 99999, 'not valid JSON'),
    (changed(schemaVersion=1), 'obsolete schema version 1'), (changed(manifests=[]), 'ambiguous'),
    (changed(config=None), 'descriptor'), (changed(layers=None), 'layers'), (changed(layers={}), 'layers'),
    (changed(mediaType=media_types.DOCKER_MANIFEST), 'served as'),
    (changed(config={**CONFIG, 'mediaType': 'application/vnd.cncf.helm.config.v1+json'}),
     'not a container image.*helm'),
    (changed(config={**CONFIG, 'mediaType': 'application/vnd.oci.empty.v1+json'}), 'not a container image'),
    (changed(layers=[{**LAYERS[0], 'mediaType': 'application/wasm'}, *LAYERS[1:]]), 'application/wasm'),
    (changed(layers=[{**LAYERS[0], 'digest': 'sha256:../../x'}]), 'not a digest'),
    (changed(config={**CONFIG, 'digest': CONFIG['digest'].upper()}), 'not a digest'),
    (changed(config={**CONFIG, 'size': 7}), 'expected .* 7'),
    (changed(config={**CONFIG, 'size': -7}), 'the invalid size -7'),
    (changed(layers=LAYERS[1:]), 'layers'), (changed(layers=[*LAYERS, LAYERS[0]]), 'layers'),
    (changed(padding='x' * (4 << 20)), 'more than the 4194304 bytes'),
])
def test_manifests_that_cannot_be_trusted(manifest: bytes, words: str, server: Scripted, settings: Settings) -> None:
    serve(server, SAMPLE, manifest=manifest)
    with pytest.raises(InvalidImage, match=words) as caught:
        pull(server.host, settings)
    assert f'{server.host}/app:v1' in str(caught.value) and len(str(caught.value)) < 400


@pytest.mark.parametrize(('config', 'words'), [(b'x' + SAMPLE.config.raw[1:], 'expected'), (b'', 'expected'),
                                               (b' ' * (9 << 20), 'more than')])
def test_configs_that_cannot_be_trusted(config: bytes, words: str, server: Scripted, settings: Settings) -> None:
    serve(server, SAMPLE, config=config)
    with pytest.raises(InvalidImage, match=f'the config of {server.host}/app:v1.*{words}'):
        pull(server.host, settings)


def test_a_config_that_is_missing(server: Scripted, settings: Settings) -> None:
    serve(server, SAMPLE)
    del server.routes[f'GET /v2/app/blobs/{MANIFEST.config.digest}']
    with pytest.raises(ImageNotFound, match=f'config.*{MANIFEST.config.digest}'):
        pull(server.host, settings)


def test_another_manifest_than_the_one_asked_for(server: Scripted, settings: Settings) -> None:
    serve(server, SAMPLE, manifest=changed(annotations={'a': 'b'}))
    with pytest.raises(DigestMismatch, match=f'expected {MANIFEST.digest}'):
        pull(server.host, settings, f'app@{MANIFEST.digest}')


@pytest.mark.parametrize(('headers', 'error'), [
    ([('Content-Type', f'{MANIFEST.media_type}; charset=utf-8')], None),
    ([('Content-Type', 'application/json')], None),
    ([('Content-Type', media_types.OCI_INDEX)], 'served as'),
    ([('Docker-Content-Digest', MANIFEST.digest)], None),
    ([('Docker-Content-Digest', Digest.of(b'other'))], 'expected'),
    ([('Docker-Content-Digest', '../../x')], None), ([('Docker-Content-Digest', '')], None),
    ([('Docker-Content-Digest', f'blake3:{"a" * 64}')], None),
    ([('Docker-Content-Digest', Digest.of(MANIFEST.raw, 'sha512'))], None),
    ([('Docker-Content-Digest', Digest.of(b'other', 'sha512'))], 'expected sha512'),
    ([('Docker-Content-Digest', Digest.of(b'other').upper())], 'expected'),
    ([('Docker-Content-Digest', MANIFEST.digest.upper())], None), ([('Docker-Content-Digest', 'sha256:1')], None),
])
@pytest.mark.parametrize('name', ['app:v1', f'app@{MANIFEST.digest}'])
def test_headers_of_manifests(headers: list[tuple[str, str]], error: str | None, name: str, server: Scripted,
                              settings: Settings) -> None:
    serve(server, SAMPLE)
    for key in ('v1', MANIFEST.digest):
        server.routes[f'GET /v2/app/manifests/{key}'] = Answer(200, MANIFEST.raw, headers)
    if error:
        with pytest.raises(InvalidImage, match=error):
            pull(server.host, settings, name)
    else:
        assert pull(server.host, settings, name).diff_ids == SAMPLE.diff_ids


def test_a_manifest_that_breaks_off_is_read_again(server: Scripted, settings: Settings) -> None:
    serve(server, SAMPLE)
    server.routes['GET /v2/app/manifests/v1'] = [Answer(200, MANIFEST.raw, cut=20), Answer(200, MANIFEST.raw)]
    assert pull(server.host, settings).diff_ids == SAMPLE.diff_ids


@pytest.mark.parametrize('status', [500, 503, 429])
def test_a_registry_in_trouble(status: int, server: Scripted) -> None:
    server.routes['GET /v2/app/manifests/v1'] = Answer(status, b'{"errors": [{"message": "out of order"}]}')
    with pytest.raises(ServiceUnavailable, match=f'{server.host}/app:v1.*out of order.*{status}') as caught:
        pull(server.host, Settings(retries=0))
    assert not isinstance(caught.value, ImageError)
