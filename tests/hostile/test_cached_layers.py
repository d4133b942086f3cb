"""What filters made of a layer is used again only for an image that lists the same blob under the same diff_id."""
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from occystrap_core import Settings
from occystrap_core.oci import Digest, ImageConfig, media_types
from occystrap_core.testing.sample import sample_image
from occystrap_registry.server.server_thread import RegistryServer
from tests.hostile.in_process import run_here
from tests.services.command_line import CommandResult
from tests.unit.registry.images import push, put_manifest


@pytest.fixture
def host(tmp_path: Path) -> Iterator[str]:
    """A registry with the sample image at app:v1."""
    with RegistryServer(tmp_path / 'registry') as server:
        push(server.host, Settings())
        yield server.host


def push_with(host: str, tag: str, diff_ids: list[str]) -> None:
    """Push the sample's layers with a config that lists these diff_ids."""
    image = sample_image()
    assert image.manifest
    config = json.loads(image.config.raw)
    config['rootfs']['diff_ids'] = diff_ids
    raw = json.dumps(config).encode()
    uploads = f'http://{host}/v2/app/blobs/uploads/'
    httpx.post(uploads, params={'digest': Digest.of(raw)}, content=raw, trust_env=False).raise_for_status()
    manifest = json.loads(image.manifest.raw)
    manifest['config'] |= {'digest': Digest.of(raw), 'size': len(raw)}
    put_manifest(host, manifest, tag, media_types.OCI_MANIFEST)


def filtered(host: str, tag: str, cache: Path) -> CommandResult:
    """Filter an image to one name, where the results of the last one are."""
    return run_here('process', '-f', 'normalize-timestamps', '--layer-cache', cache, f'registry://{host}/app:{tag}',
                    f'registry://{host}/new:v1')


def test_a_wrong_diff_id_is_refused_though_the_blob_is_known(host: str, tmp_path: Path) -> None:
    """Docker refuses such an image, and so does a copy that reads the layer."""
    right = [str(each) for each in sample_image().diff_ids]
    push_with(host, 'wrong', [*right[:-1], f'sha256:{"0" * 64}'])
    filtered(host, 'v1', tmp_path / 'cache').assert_success()
    failed = filtered(host, 'wrong', tmp_path / 'cache').assert_code(1)
    assert f'expected sha256:{"0" * 64}' in failed.err


def test_each_image_keeps_the_algorithm_of_its_diff_ids(host: str, tmp_path: Path) -> None:
    image = sample_image()
    tars = [b''.join(map(bytes, layer.tar().chunks())) for layer in image.layers]
    push_with(host, 'long', [str(Digest.of(each, 'sha512')) for each in tars])
    for tag in ('long', 'v1'):
        filtered(host, tag, tmp_path / 'cache').assert_success()
    new = httpx.get(f'http://{host}/v2/new/manifests/v1', headers={'Accept': media_types.OCI_MANIFEST}, trust_env=False)
    config = httpx.get(f'http://{host}/v2/new/blobs/{new.json()["config"]["digest"]}', trust_env=False)
    assert {each.algorithm for each in ImageConfig.parse(config.content).diff_ids} == {'sha256'}
