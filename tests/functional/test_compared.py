"""What docs/compared.md says was tried: other programs and this one, on the same images and the same damage."""
import json
import os
import subprocess
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest

from tests.conftest import require_service
from tests.services.command_line import CommandLine
from tests.services.oras import oras_program
from tests.services.registry import Registry
from tests.services.tiny_image import put_tiny_image
from tests.services.uploads import put_manifest

INDEX = 'application/vnd.oci.image.index.v1+json'
SKOPEO, ORAS, OCCYSTRAP = 'skopeo', 'oras', 'occystrap'
Copy = Callable[[str, str, str], int]


@pytest.fixture
def copy(program: Callable[..., str], occystrap: CommandLine, tmp_path: Path) -> Copy:
    """Runs a copy by one of the programs, between a registry and a registry or a layout; returns its exit code."""
    def run(by: str, source: str, destination: str) -> int:
        to_layout = destination.startswith('layout:')
        place = destination.removeprefix('layout:')
        if by == OCCYSTRAP:
            target = f'layout://{place}' if to_layout else f'registry://{place}'
            return occystrap('process', f'registry://{source}', target, '--settle', '0').code
        if by == SKOPEO:
            target = f'oci:{place}' if to_layout else f'docker://{place}'
            words = [program('skopeo'), '--insecure-policy', 'copy', '-q', '--src-tls-verify=false',
                     '--dest-tls-verify=false', f'docker://{source}', target]
        else:
            with require_service(lambda: nullcontext(oras_program())) as path:
                kind = '--to-oci-layout' if to_layout else '--to-plain-http'
                words = [str(path), 'cp', '--from-plain-http', kind, source, place]
        return subprocess.run(words, cwd=tmp_path, capture_output=True).returncode
    return run


@pytest.mark.parametrize(('by', 'whole'), [(SKOPEO, False), (ORAS, True), (OCCYSTRAP, True)])
def test_a_tag_with_several_platforms(by: str, whole: bool, copy: Copy, registry: Registry) -> None:
    name = f'compared/{by}'
    children = [put_tiny_image(registry, name, architecture=each) for each in ('amd64', 'arm64')]
    index = json.dumps({'schemaVersion': 2, 'mediaType': INDEX, 'manifests': children}).encode()
    put_manifest(registry, name, index, INDEX, 'v1')
    assert copy(by, f'{registry.host}/{name}:v1', f'{registry.host}/{name}-copy:v1') == 0
    same = registry.tag_digest(f'{name}-copy', 'v1') == registry.tag_digest(name, 'v1')
    assert same is whole


@pytest.mark.parametrize(('by', 'code'), [(SKOPEO, 0), (ORAS, 0), (OCCYSTRAP, 1)])
def test_a_blob_at_the_destination_that_was_cut(by: str, code: int, copy: Copy, registry: Registry,
                                                registry_factory: Callable[..., Registry]) -> None:
    other, name = registry_factory(), f'compared/cut-{by}'
    put_tiny_image(registry, name, 'v1', files={'data': os.urandom(9000)})
    layer, = registry.layers_of(name, 'v1')
    assert copy(by, f'{registry.host}/{name}:v1', f'{other.host}/{name}:v1') == 0
    other.truncate_blob(layer, 9000)
    assert copy(by, f'{registry.host}/{name}:v1', f'{other.host}/{name}:v1') == code


@pytest.mark.parametrize(('by', 'mended'), [(SKOPEO, False), (ORAS, False), (OCCYSTRAP, True)])
def test_a_layout_with_a_blob_that_was_cut(by: str, mended: bool, copy: Copy, registry: Registry, tmp_path: Path,
                                           ) -> None:
    name = f'compared/layout-{by}'
    put_tiny_image(registry, name, 'v1', files={'data': os.urandom(9000)})
    layer, = registry.layers_of(name, 'v1')
    place = f'layout:{tmp_path}/out:v1'
    assert copy(by, f'{registry.host}/{name}:v1', place) == 0
    blob = tmp_path / 'out/blobs/sha256' / layer.removeprefix('sha256:')
    whole = blob.stat().st_size
    os.truncate(blob, whole - 1)
    assert copy(by, f'{registry.host}/{name}:v1', place) == 0
    assert (blob.stat().st_size == whole) is mended
