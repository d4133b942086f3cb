"""Archives between occystrap and programs that know nothing of it: each reads what the other wrote."""
import gzip
import hashlib
import json
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from occystrap_core.oci import Digest, media_types
from occystrap_core.testing.sample import sample_config, sample_layers
from tests.functional.archives import write_docker_archive
from tests.functional.images import raw_manifest, skopeo
from tests.services.command_line import CommandLine
from tests.services.docker_daemon import DockerDaemon
from tests.services.podman import PodmanService
from tests.services.registry import Registry
from tests.services.sample import put_sample_image
from tests.services.trixie import run_in_trixie
from tests.services.uploads import put_blob, put_manifest

FORMATS = {'docker': 'docker-archive', 'oci': 'oci-archive'}
COMPRESSIONS = ['gzip', 'gzip-fast', 'zstd']


@pytest.fixture
def mark(request: pytest.FixtureRequest) -> str:
    """A name of the test's own, fit for a repository."""
    return ''.join(letter if letter.isalnum() else '-' for letter in request.node.name.lower()).strip('-')


@pytest.fixture
def tars(mark: str) -> list[bytes]:
    """Layers that no other test has, one of them twice."""
    layers = sample_layers(mark)
    return [*layers, layers[1]]


@pytest.fixture
def archive(mark: str, tars: list[bytes], tmp_path: Path) -> Path:
    """An archive with the image of `tars`."""
    return write_docker_archive(tmp_path / 'source.tar', sample_config(tars), tars, f'made/{mark}:v1')


@pytest.fixture
def image_id(tars: list[bytes]) -> str:
    """The digest of the image's config."""
    return Digest.of(sample_config(tars))


def copied_to_directory(source: str, directory: Path) -> Any:
    """Let skopeo copy an image to a directory, which checks every digest, and return the manifest it has there."""
    skopeo('copy', source, f'dir:{directory}')
    manifest = json.loads((directory / 'manifest.json').read_text())
    for layer in manifest['layers']:
        name = layer['digest'].removeprefix('sha256:')
        assert hashlib.sha256((directory / name).read_bytes()).hexdigest() == name
    return manifest


def read_image_id(source: str, occystrap: CommandLine) -> str:
    """Let occystrap read the source in full, and return the image ID it found."""
    occystrap('process', source, f'tar://{occystrap.directory}/read.tar', '--verify=full').assert_success()
    with tarfile.open(occystrap.directory / 'read.tar') as read:
        member = read.extractfile('manifest.json')
        assert member
        return 'sha256:' + str(json.load(member)[0]['Config']).removesuffix('.json')


def test_skopeo_copies_a_docker_archive(archive: Path, image_id: str, tars: list[bytes], occystrap: CommandLine,
                                        tmp_path: Path) -> None:
    occystrap('process', f'tar://{archive}', 'tar://out.tar?tag=witness/app:v1', '--verify=full').assert_success()
    inspected = json.loads(skopeo('inspect', f'docker-archive:{tmp_path}/out.tar:witness/app:v1'))
    assert inspected['Layers'] == [Digest.of(tar) for tar in tars]
    manifest = copied_to_directory(f'docker-archive:{tmp_path}/out.tar', tmp_path / 'witness')
    assert manifest['config']['digest'] == image_id and len(manifest['layers']) == len(tars)


@pytest.mark.parametrize('compression', COMPRESSIONS)
def test_skopeo_copies_an_oci_archive(compression: str, archive: Path, image_id: str, tars: list[bytes],
                                      occystrap: CommandLine, tmp_path: Path) -> None:
    target = f'tar://out.tar?format=oci&tag=witness/app:v1&compression={compression}'
    occystrap('process', f'tar://{archive}', target, '--verify=full').assert_success()
    manifest = copied_to_directory(f'oci-archive:{tmp_path}/out.tar:witness/app:v1', tmp_path / 'witness')
    assert manifest['config']['digest'] == image_id and len(manifest['layers']) == len(tars)
    assert read_image_id(f'tar://{tmp_path}/out.tar', occystrap) == image_id


@pytest.mark.parametrize('family', ['oci', 'docker'])
def test_skopeo_reads_the_manifest_of_either_family_as_it_was(family: str, registry: Registry, mark: str,
                                                              occystrap: CommandLine, tmp_path: Path) -> None:
    put_of_family(family, registry, mark)
    source = f'registry://{registry.host}/{mark}:v1'
    occystrap('process', source, 'tar://out.tar?format=oci', '--verify=full').assert_success()
    origin = raw_manifest(registry, f'{mark}:v1')
    done = subprocess.run(['skopeo', 'inspect', '--raw', f'oci-archive:{tmp_path}/out.tar'], capture_output=True)
    assert done.stdout == origin, done.stderr
    skopeo('copy', '--dest-tls-verify=false', f'oci-archive:{tmp_path}/out.tar',
           f'docker://{registry.host}/{mark}-back:v1')
    assert raw_manifest(registry, f'{mark}-back:v1') == origin


def put_of_family(family: str, registry: Registry, name: str) -> None:
    """Put the sample image into the registry with an OCI manifest, or with Docker's."""
    if family == 'oci':
        put_sample_image(registry, name, 'v1')
        return
    layers = sample_layers()
    document = {'schemaVersion': 2, 'mediaType': media_types.DOCKER_MANIFEST,
                'config': put_blob(registry, name, sample_config(layers), media_types.DOCKER_CONFIG),
                'layers': [put_blob(registry, name, gzip.compress(layer, mtime=0), f'{media_types.DOCKER_LAYER}.gzip')
                           for layer in layers]}
    put_manifest(registry, name, json.dumps(document, indent=3).encode(), media_types.DOCKER_MANIFEST, 'v1')


@pytest.mark.parametrize('kind', FORMATS)
def test_archives_by_skopeo_are_read(kind: str, archive: Path, mark: str, occystrap: CommandLine,
                                     tmp_path: Path) -> None:
    witness = f'{FORMATS[kind]}:{tmp_path}/witness.tar'
    skopeo('copy', f'docker-archive:{archive}', f'{witness}:named/{mark}:v1')
    image_id = Digest.of(skopeo('inspect', '--config', '--raw', witness).encode())  # skopeo reformats configs
    assert read_image_id(f'tar://{tmp_path}/witness.tar', occystrap) == image_id
    assert read_image_id(f'tar://{tmp_path}/witness.tar?image=named/{mark}:v1', occystrap) == image_id


@pytest.mark.parametrize('kind', FORMATS)
def test_newer_skopeo_reads_and_writes(kind: str, archive: Path, image_id: str, occystrap: CommandLine,
                                       docker26_daemon: DockerDaemon, tmp_path: Path) -> None:
    occystrap('process', f'tar://{archive}', f'tar://out.tar?format={kind}&tag=witness/app:v1').assert_success()
    run_in_trixie(tmp_path, 'skopeo', '--insecure-policy', 'copy', f'{FORMATS[kind]}:/srv/out.tar',
                  f'{FORMATS[kind]}:/srv/witness.tar:named/app:v2')
    assert read_image_id(f'tar://{tmp_path}/witness.tar', occystrap) == image_id


@pytest.mark.parametrize('service', ['docker_daemon', 'docker26_daemon', 'containerd_daemon', 'podman'])
def test_daemons_load_what_occystrap_writes_and_save_what_it_reads(
        service: str, request: pytest.FixtureRequest, archive: Path, mark: str, image_id: str, occystrap: CommandLine,
        tmp_path: Path) -> None:
    daemon: DockerDaemon = request.getfixturevalue(service)
    name = f'witness/{mark}:v1'
    occystrap('process', f'tar://{archive}', f'tar://out.tar?tag={name}', '--verify=full').assert_success()
    try:
        assert name in daemon.run('load', '-i', tmp_path / 'out.tar')
        daemon.run('save', '-o', tmp_path / 'saved.tar', name)
    finally:
        daemon.run('rmi', '-f', name)
    assert read_image_id(f'tar://{tmp_path}/saved.tar', occystrap) == image_id


def test_containerd_gives_its_manifest_and_blobs_as_they_are(containerd_daemon: DockerDaemon, archive: Path, mark: str,
                                                             occystrap: CommandLine, tmp_path: Path) -> None:
    """Its `docker save` has a manifest.json beside the layout; the layout is what keeps the digests."""
    name = f'witness/{mark}:v1'
    oci = f'tar://in.tar?format=oci&tag=docker.io/{name}'
    occystrap('process', f'tar://{archive}', oci, '--receipt', 'written').assert_success()
    try:
        containerd_daemon.run('load', '-i', tmp_path / 'in.tar')
        containerd_daemon.run('save', '-o', tmp_path / 'saved.tar', name)
    finally:
        containerd_daemon.run('rmi', '-f', name)
    with tarfile.open(tmp_path / 'saved.tar') as saved:
        assert {'manifest.json', 'index.json'} <= set(saved.getnames())
    occystrap('process', 'tar://saved.tar', 'tar://again.tar?format=oci', '--receipt', 'again').assert_success()
    digests = [json.loads((tmp_path / receipt).read_text())['manifest_digest'] for receipt in ('written', 'again')]
    assert digests[0] == digests[1]


@pytest.mark.parametrize('kind', FORMATS)
def test_podman_loads_and_saves(kind: str, podman: PodmanService, archive: Path, mark: str, image_id: str,
                                occystrap: CommandLine, tmp_path: Path) -> None:
    name = f'localhost/witness/{mark}:v1'
    target = f'tar://out.tar?format={kind}&tag={name}'
    occystrap('process', f'tar://{archive}', target, '--verify=full').assert_success()
    try:
        assert name in podman.podman('load', '-i', tmp_path / 'out.tar')
        podman.podman('save', '--format', FORMATS[kind], '-o', tmp_path / 'saved.tar', name)
    finally:
        podman.podman('rmi', '-f', name)
    assert read_image_id(f'tar://{tmp_path}/saved.tar?image={name.removeprefix("localhost/")}', occystrap) == image_id


@pytest.mark.parametrize('service', ['docker_daemon', 'docker26_daemon', 'containerd_daemon'])
def test_one_of_several_saved_images_is_chosen(service: str, request: pytest.FixtureRequest, mark: str,
                                               tmp_path: Path, occystrap: CommandLine) -> None:
    daemon: DockerDaemon = request.getfixturevalue(service)
    names, ids = [f'witness/{mark}:{number}' for number in (1, 2)], []
    for number, name in enumerate(names):
        layers = sample_layers(f'{mark} {number}')
        made = write_docker_archive(tmp_path / f'{number}.tar', sample_config(layers), layers, name)
        daemon.run('load', '-i', made)
        ids.append(Digest.of(sample_config(layers)))
    daemon.run('save', '-o', tmp_path / 'both.tar', *names)
    daemon.run('rmi', '-f', *names)
    for name, expected in zip(names, ids, strict=True):
        assert read_image_id(f'tar://{tmp_path}/both.tar?image={name}', occystrap) == expected
    refused = occystrap('process', 'tar://both.tar', 'dir://out').assert_code(2)
    assert all(name in refused.err for name in names) and len(refused.errors) == 1


def test_a_pipe_is_read(archive: Path, image_id: str, occystrap: CommandLine, tmp_path: Path,
                        program: Callable[..., str]) -> None:
    shell = (program('sh', 'dash'), '-c', f'gzip -c {archive} | "$@"', 'sh')
    occystrap('process', 'tar:///dev/stdin', 'tar://out.tar', '--verify=full', wrapper=shell).assert_success()
    assert read_image_id(f'tar://{tmp_path}/out.tar', occystrap) == image_id
