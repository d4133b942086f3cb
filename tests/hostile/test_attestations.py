"""Attestations listed beside images in one flat index.json, as BuildKit may write it: they go with their images."""
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from occystrap_core.oci import Digest
from occystrap_core.testing.sample import sample_config, sample_layers
from tests.hostile.in_process import run_here

OCI = 'application/vnd.oci.image'
NAME = {'org.opencontainers.image.ref.name': 'v1'}
Platform = dict[str, str]


def blob(layout: Path, content: bytes, media_type: str, **more: Any) -> dict[str, Any]:
    """Put a blob and return its descriptor."""
    digest = Digest.of(content)
    (layout / 'blobs/sha256' / digest.hex).write_bytes(content)
    return {'mediaType': media_type, 'digest': digest, 'size': len(content), **more}


def manifest(layout: Path, config: bytes, layers: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """Put a manifest and return its descriptor."""
    document = {'schemaVersion': 2, 'mediaType': f'{OCI}.manifest.v1+json',
                'config': blob(layout, config, f'{OCI}.config.v1+json'), 'layers': layers}
    return blob(layout, json.dumps(document).encode(), f'{OCI}.manifest.v1+json', **more)


def attestation(layout: Path, about: str, **more: Any) -> dict[str, Any]:
    """Put an attestation of an image and return its descriptor."""
    statement = json.dumps({'about': about}).encode()
    config = json.dumps({'architecture': 'unknown', 'os': 'unknown', 'config': {}, 'rootfs': {
        'type': 'layers', 'diff_ids': [Digest.of(statement)]}}).encode()
    return manifest(layout, config, [blob(layout, statement, 'application/vnd.in-toto+json')],
                    annotations={'vnd.docker.reference.digest': about}, **more)


@pytest.fixture(params=['platform unknown', 'annotation only'])
def flat(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Makes a layout, and an archive of it, with images for these architectures; returns the attestations' digests."""
    monkeypatch.chdir(tmp_path)
    unknown = {'platform': {'os': 'unknown', 'architecture': 'unknown'}} if 'platform' in request.param else {}

    def make(*architectures: str) -> list[str]:
        layout = tmp_path / 'flat'
        (layout / 'blobs/sha256').mkdir(parents=True)
        (layout / 'oci-layout').write_text('{"imageLayoutVersion": "1.0.0"}')
        layers = [blob(layout, each, f'{OCI}.layer.v1.tar') for each in sample_layers()]
        images = [manifest(layout, json.dumps({**json.loads(sample_config()), 'architecture': each}).encode(), layers,
                           annotations=NAME, platform={'os': 'linux', 'architecture': each}) for each in architectures]
        about = [attestation(layout, each['digest'], **unknown) for each in images]
        (layout / 'index.json').write_text(json.dumps({'schemaVersion': 2, 'manifests': [*images, *about]}))
        with tarfile.open('flat.tar', 'w') as archive:
            archive.add('flat', '')
        return [each['digest'] for each in about]
    return make


@pytest.mark.parametrize('source', ['tar://flat.tar', 'layout://flat:v1'])
@pytest.mark.parametrize('architectures', [['amd64'], ['amd64', 'arm64']])
def test_all_platforms_bring_their_attestations(source: str, architectures: list[str],
                                                flat: Callable[..., list[str]]) -> None:
    about = flat(*architectures)
    run_here('process', source, 'layout://out:v1', '--platform=all', '--verify=full').assert_success()
    for digest in about:
        assert Path(f'out/blobs/sha256/{digest[7:]}').exists()
    entry, = json.loads(Path('out/index.json').read_text())['manifests']
    listed = json.loads(Path(f'out/blobs/sha256/{entry["digest"][7:]}').read_text())['manifests']
    assert [each['digest'] for each in listed][len(architectures):] == about
    assert all('v1' not in str(each.get('annotations')) for each in listed)


@pytest.mark.parametrize('source', ['tar://flat.tar', 'layout://flat:v1', 'layout://flat'])
def test_a_choice_brings_what_is_about_it(source: str, flat: Callable[..., list[str]]) -> None:
    first, _, third = flat('amd64', 'arm64', 'riscv64')
    run_here('process', source, 'layout://out:v1', '--platform=linux/amd64,linux/riscv64').assert_success()
    held = {path.name for path in Path('out/blobs/sha256').iterdir()}
    assert {first[7:], third[7:]} <= held
    assert sum(b'"about": ' in path.read_bytes() for path in Path('out/blobs/sha256').iterdir()) == 2


@pytest.mark.parametrize('source', ['tar://flat.tar', 'layout://flat:v1', 'layout://flat'])
@pytest.mark.parametrize('architectures', [['amd64'], ['amd64', 'arm64']])
def test_one_platform_is_a_single_image(source: str, architectures: list[str], flat: Callable[..., list[str]]) -> None:
    flat(*architectures)
    run_here('process', source, 'layout://out:v1', '--platform=linux/amd64').assert_success()
    entry, = json.loads(Path('out/index.json').read_text())['manifests']
    assert entry['mediaType'] == f'{OCI}.manifest.v1+json'
