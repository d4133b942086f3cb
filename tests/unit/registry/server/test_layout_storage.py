"""A registry of an image layout that is there already: its images by their names, read only, byte for byte."""
import json
import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from occystrap_core import OutputError
from occystrap_core.oci import Digest
from occystrap_core.testing.sample import sample_config, sample_layers
from occystrap_registry.server.access import Rules
from occystrap_registry.server.layout_storage import LayoutStorage
from occystrap_registry.server.server_thread import RegistryServer, ServerSettings
from tests.functional.archives import write_docker_archive
from tests.hostile.in_process import run_here
from tests.unit.registry.images import HTTP

NAMES = {'quay.example/team/app': ['v1', 'v2'], 'other.example/team/app': ['v1'], 'docker.example/tool': ['latest']}


def add(layout: Path, name: str, text: str) -> None:
    """Put an image into the layout."""
    layers = sample_layers(text)
    archive = layout.parent / 'one.tar'
    write_docker_archive(archive, sample_config(layers), layers, name if '/' in name else 'app:v1')
    run_here('process', f'tar://{archive}', f'layout://{layout}{"" if "/" in name else f":{name}"}').assert_success()


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    """A mirror of four images of three registries."""
    for repository, tags in NAMES.items():
        for tag in tags:
            add(tmp_path / 'mirror', f'{repository}:{tag}', f'{repository} {tag}')
    return tmp_path / 'mirror'


@pytest.fixture
def place(layout: Path) -> Iterator[str]:
    """A registry of it."""
    with RegistryServer(LayoutStorage(layout), settings=ServerSettings(rules=Rules(read_only=True))) as server:
        yield f'http://{server.host}/v2'


def listed(layout: Path) -> dict[str, str]:
    """Return the digests in index.json by name."""
    parsed = json.loads((layout / 'index.json').read_bytes())
    return {each['annotations']['org.opencontainers.image.ref.name']: each['digest'] for each in parsed['manifests']}


def test_images_have_the_names_that_are_clear(place: str, layout: Path) -> None:
    found = HTTP.get(f'{place}/_catalog').json()['repositories']
    assert found == ['other.example/team/app', 'quay.example/team/app', 'tool']
    assert HTTP.get(f'{place}/quay.example/team/app/tags/list').json()['tags'] == ['v1', 'v2']
    for name in ('tool', 'docker.example/tool'):
        answer = HTTP.get(f'{place}/{name}/manifests/latest')
        assert answer.headers['docker-content-digest'] == listed(layout)['docker.example/tool:latest']
        assert Digest.of(answer.content) == answer.headers['docker-content-digest']
    assert HTTP.get(f'{place}/team/app/manifests/v1').status_code == 404


def test_all_of_an_image_comes_as_it_lies(place: str, layout: Path, tmp_path: Path) -> None:
    host = place.removeprefix('http://').removesuffix('/v2')
    run_here('process', f'registry://{host}/quay.example/team/app:v2', f'layout://{tmp_path}/copy:v2',
             '--verify=full').assert_success()
    blobs = {path.name for path in (tmp_path / 'copy/blobs/sha256').iterdir()}
    assert blobs <= {path.name for path in (layout / 'blobs/sha256').iterdir()} and len(blobs) == 5
    assert listed(tmp_path / 'copy')['v2'] == listed(layout)['quay.example/team/app:v2']


def test_nothing_is_written(place: str, layout: Path) -> None:
    before = sorted((path, path.stat().st_mtime_ns) for path in layout.rglob('*'))
    digest = Digest.of(b'new')
    assert HTTP.post(f'{place}/tool/blobs/uploads/', params={'digest': digest}, content=b'new').status_code == 405
    assert HTTP.delete(f'{place}/tool/manifests/latest').status_code == 405
    HTTP.get(f'{place}/tool/manifests/latest')
    assert sorted((path, path.stat().st_mtime_ns) for path in layout.rglob('*')) == before


def test_images_mirrored_meanwhile_are_served(place: str, layout: Path) -> None:
    assert HTTP.get(f'{place}/tool/manifests/new').status_code == 404
    add(layout, 'docker.example/tool:new', 'new')
    assert HTTP.get(f'{place}/tool/manifests/new').status_code == 200


def test_missing_and_damaged_manifests_are_not_found(place: str, layout: Path) -> None:
    digest = Digest(listed(layout)['docker.example/tool:latest'])
    path = layout / 'blobs/sha256' / digest.hex
    whole = json.loads(path.read_bytes())
    path.write_bytes(path.read_bytes() + b' ')
    answer = HTTP.get(f'{place}/tool/manifests/latest')
    assert answer.status_code == 500 and 'is damaged' in answer.json()['errors'][0]['message']
    path.unlink()
    assert HTTP.get(f'{place}/tool/manifests/latest').status_code == 404
    config = whole['config']['digest']
    assert HTTP.get(f'{place}/tool/manifests/{config}').status_code == 404, 'no manifest'
    blob = layout / 'blobs/sha256' / config.partition(':')[2]
    for plant in (lambda: blob.symlink_to('/etc/passwd'), lambda: os.mkfifo(blob), blob.mkdir):
        blob.unlink()
        plant()
        answer = HTTP.get(f'{place}/tool/blobs/{config}')
        assert (answer.status_code, answer.json()['errors'][0]['code']) == (404, 'BLOB_UNKNOWN')


def test_an_image_without_a_repository_has_the_name_of_the_directory(tmp_path: Path) -> None:
    add(tmp_path / 'My_App', 'v1', 'x')
    assert LayoutStorage(tmp_path / 'My_App').tags('my-app') == ['v1']


def test_invalid_layouts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match='is not a readable image layout'):
        LayoutStorage(tmp_path)


def test_referrers_are_listed(place: str, layout: Path) -> None:
    digest = listed(layout)['docker.example/tool:latest']
    answer: httpx.Response = HTTP.get(f'{place}/tool/referrers/{digest}')
    assert answer.status_code == 200 and answer.json()['manifests'] == []
