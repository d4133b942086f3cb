"""docker:// as a source, against a daemon that does as it should, and one that does not."""
import gzip
import json
import os
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from occystrap_core import (
    AccessDenied, Cancelled, ImageNotFound, InvalidImage, Location, OccystrapError, Receipt, ServiceError,
    ServiceUnavailable, Settings, UsageError,
)
from occystrap_core.files import ImageError
from occystrap_core.oci import Digest, Reference
from occystrap_core.pipeline.image_copy import ImageCopy
from occystrap_core.testing.sample import sample_config
from occystrap_docker.input import DockerInput
from occystrap_tar.writer import tar_output
from tests.hostile.in_process import run_here
from tests.unit.docker.fake_daemon import FakeDaemon
from tests.unit.docker.layouts import LAYOUTS, Exported, blobs, containerd, double_tars, legacy, make_tar, platforms
from tests.unit.docker.runs import SETTINGS, at, read, source, write


@pytest.mark.parametrize('layout', LAYOUTS)
def test_reads_an_image(layout: Callable[[], Exported], daemon: FakeDaemon) -> None:
    expected = daemon.add(layout(), 'sample:v1')
    image = source(daemon)
    assert image.sequential and list(image.diff_ids) == expected.diff_ids
    assert read(image) == {Digest.of(tar): len(tar) for tar in expected.tars}
    assert image.config.raw == expected.config


@pytest.mark.parametrize('layout', LAYOUTS)
def test_an_archive_of_it_has_every_layer(layout: Callable[[], Exported], daemon: FakeDaemon, tmp_path: Path) -> None:
    expected = daemon.add(layout(), 'sample:v1')
    options = {'format': 'docker', 'tag': None, 'compression': 'gzip'}
    output = tar_output(Location('tar', str(tmp_path / 'out.tar'), options, {}), SETTINGS)
    with source(daemon) as image:
        receipt: Receipt = ImageCopy(image, output, SETTINGS, 'docker://sample').run()
    assert list(receipt.diff_ids) == expected.diff_ids and receipt.image_id == Digest.of(expected.config)


def test_nothing_is_exported_before_a_layer_is_requested(daemon: FakeDaemon) -> None:
    daemon.add(legacy(), 'sample:v1')
    source(daemon)
    assert not any('/get' in request for request in daemon.requests)


def test_the_export_is_by_id_so_that_a_moving_tag_does_no_harm(daemon: FakeDaemon) -> None:
    expected = daemon.add(legacy(), 'sample:v1')
    image = source(daemon)
    daemon.add(blobs([b'another'.ljust(1024, b'\0')]), 'sample:v1')
    assert len(read(image)) == 3
    assert image.config.digest == expected.id


def test_names(daemon: FakeDaemon) -> None:
    image = daemon.add(legacy(), 'sample:latest')
    assert str(source(daemon, 'sample').reference) == 'sample:latest'
    assert str(source(daemon, str(image.id)).reference) == 'sample:latest'
    assert str(source(daemon, image.id.hex[:12]).reference) == 'sample:latest'
    daemon.tags.clear()
    assert source(daemon, str(image.id)).reference.familiar == ''


def test_an_unknown_image_says_what_to_do(daemon: FakeDaemon) -> None:
    with pytest.raises(ImageNotFound, match='has no image nothing:v1: .*docker pull nothing:v1'):
        source(daemon, 'nothing:v1')
    with pytest.raises(ImageNotFound, match='; for the registry write registry://registry.example/nothing:v1$'):
        source(daemon, 'registry.example/nothing:v1')


def test_no_daemon_says_what_to_do(directory: Path) -> None:
    for name in ('missing.sock', 'abandoned.sock'):
        if name == 'abandoned.sock':
            socket.socket(socket.AF_UNIX).bind(str(directory / name))
        with pytest.raises(ServiceUnavailable) as error:
            source(str(directory / name))
        for word in (f'unix://{directory}/{name}', 'systemctl start docker', 'DOCKER_HOST', '?socket='):
            assert word in str(error.value)


@pytest.mark.skipif(os.geteuid() != 0, reason='only root can become somebody else')
def test_a_socket_of_others_says_what_to_do(daemon: FakeDaemon, directory: Path) -> None:
    daemon.add(legacy(), 'sample:v1')
    source(daemon)  # all that is imported lazily is there now
    daemon.socket.chmod(0o600)
    directory.chmod(0o755)
    os.seteuid(65534)
    try:
        with pytest.raises(AccessDenied, match=f'permission denied at unix://{daemon.socket}: .*group'):
            source(daemon)
        podman = DockerInput(Location('docker', 'a', {'socket': str(daemon.socket), 'engine': 'podman'}, {}), SETTINGS)
        with pytest.raises(AccessDenied, match='systemctl --user start podman.socket'):
            podman.open(Reference('a', 'v1'))
    finally:
        os.seteuid(0)


@pytest.mark.parametrize(('fault', 'kind', 'words'), [
    ('500 no space left', ServiceUnavailable, 'refused inspecting sample:v1: no space left'),
    ('403 not you', AccessDenied, 'refused inspecting sample:v1: not you'),
    ('400 bad name', ServiceError, 'refused inspecting sample:v1: bad name'),
    ('hang', ServiceUnavailable, 'did not answer in time while inspecting sample:v1: .*--timeout'),
    ('close', ServiceUnavailable, 'failed while inspecting sample:v1'),
    ('garbage', ServiceError, 'inspecting sample:v1'),
])
def test_faults_while_inspecting(fault: str, kind: type[OccystrapError], words: str, daemon: FakeDaemon) -> None:
    daemon.add(legacy(), 'sample:v1')
    daemon.faults['inspect'] = fault
    with pytest.raises(kind, match=words) as error:
        source(daemon)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize(('fault', 'kind', 'words'), [
    ('500 file integrity checksum failed', ServiceUnavailable, 'refused exporting sha256:.*integrity checksum failed'),
    ('close', ServiceUnavailable, 'failed while exporting'),
    ('hang', ServiceUnavailable, 'did not answer in time while exporting'),
    ('cut 40000', ServiceUnavailable, 'failed while exporting'),
    ('end 40000', ServiceUnavailable, 'the export of sample:v1 ends in the middle'),
    ('end 0', ServiceUnavailable, 'the export of sample:v1 ends in the middle'),
    ('complain blob not found', ServiceError, 'failed while exporting sha256:.*: blob not found'),
])
@pytest.mark.parametrize('layout', [legacy, blobs, containerd])
def test_faults_while_exporting(layout: Callable[[], Exported], fault: str, kind: type[OccystrapError], words: str,
                                daemon: FakeDaemon) -> None:
    image = daemon.add(layout(), 'sample:v1')
    kind_of_fault, _, count = fault.partition(' ')
    if kind_of_fault in ('cut', 'end'):
        fault = f'{kind_of_fault} {min(int(count), len(image.archive) // 2)}'
    daemon.faults['get'] = fault
    with pytest.raises(kind, match=words) as error:
        read(source(daemon))
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('config', ['[]', '{"auths": 5, "HttpHeaders": []}'])
def test_an_odd_config_of_docker_says_what_to_look_at(config: str, daemon: FakeDaemon, tmp_path: Path,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / 'config.json').write_text(config)
    monkeypatch.setenv('DOCKER_CONFIG', str(tmp_path))
    with pytest.raises(UsageError, match='config.json'):  # which the SDK alone reads, and what only reads needs no SDK
        write(daemon, tmp_path)


def test_large_images_may_take_longer(daemon: FakeDaemon) -> None:
    image = daemon.add(legacy([bytes(40 << 20)]), 'sample:v1')  # four more seconds
    daemon.faults['get'] = 'hang'
    with pytest.raises(ServiceUnavailable, match='failed while'):  # after a second, longer than our timeout
        read(source(daemon))
    assert len(image.archive) > 40 << 20


def test_a_cancelled_run_stops_in_mid_export(daemon: FakeDaemon) -> None:
    daemon.add(legacy([bytes(40 << 20)]), 'sample:v1')
    settings = Settings()
    images = DockerInput(at(daemon, 'sample:v1'), settings)
    with images.open(next(iter(images.references()))) as image:
        for layer in image.arrivals():
            with layer.tar() as tar:
                tar.readinto(memoryview(bytearray(10)))
                settings.cancellation.cancel()
                with pytest.raises(Cancelled):
                    tar.drain()
            break


@pytest.mark.parametrize(('platform', 'code'), [('linux/amd64', 1), ('linux/arm64', 0), ('windows/arm64', 1)])
def test_another_platform_than_the_asked_one_is_refused(platform: str, code: int, daemon: FakeDaemon, tmp_path: Path,
                                                        ) -> None:
    daemon.add(legacy(), 'sample:v1')
    result = run_here('process', f'docker://sample:v1?socket={daemon.socket}', f'tar://{tmp_path}/out.tar',
                      '--platform', platform)
    result.assert_code(code)
    assert not code or f'no image for platform {platform}' in result.err
    assert (tmp_path / 'out.tar').exists() == (not code)


def test_of_an_image_for_several_platforms_comes_the_daemons_own(daemon: FakeDaemon) -> None:
    daemon.containerd = True
    for expected in platforms():
        daemon.add(expected, 'sample:v1')
        image = source(daemon)
        assert read(image) == {Digest.of(tar): len(tar) for tar in expected.tars}
        assert image.config.raw == expected.config


@pytest.mark.parametrize('architecture', ['amd64', 'arm64'])
def test_of_an_image_for_several_platforms_comes_the_one_asked_for(architecture: str, daemon: FakeDaemon) -> None:
    daemon.containerd = True
    by_architecture = dict(zip(('amd64', 'arm64'), platforms()))
    daemon.add(by_architecture['amd64'], 'sample:v1')
    image = source(daemon, settings=SETTINGS.choosing(f'linux/{architecture}'))
    expected = by_architecture[architecture]
    assert str(image.platform) == f'linux/{architecture}' and list(image.diff_ids) == expected.diff_ids
    assert read(image) == {Digest.of(tar): len(tar) for tar in expected.tars}


def test_a_missing_platform_is_reported_with_the_available_ones(daemon: FakeDaemon) -> None:
    daemon.containerd = True
    daemon.add(platforms()[0], 'sample:v1')
    with pytest.raises(ImageNotFound, match='sample:v1: no image for platform linux/s390x; available: linux/amd64, '
                                            'linux/arm64'):
        source(daemon, settings=SETTINGS.choosing('linux/s390x'))


def test_an_export_without_the_manifest_of_what_the_daemon_lists(daemon: FakeDaemon) -> None:
    daemon.containerd = True
    here, other = containerd(), containerd([make_tar([('a', b'b')])])
    daemon.add(replace(other, archive=here.archive, id=here.id), 'sample:v1')
    with pytest.raises(InvalidImage, match='without the manifest of the layers that it reports'):
        read(source(daemon))


def test_a_layer_with_other_content_than_its_manifest_says(daemon: FakeDaemon) -> None:
    daemon.containerd = True
    image = platforms()[0]
    blob = gzip.compress(image.tars[0], mtime=0)
    damaged = blob[:-8] + bytes(8)
    daemon.add(replace(image, archive=image.archive.replace(blob, damaged)), 'sample:v1')
    with pytest.raises(ImageError, match='layer sha256:'):
        read(source(daemon))


@pytest.mark.parametrize('is_chosen', [True, False])
@pytest.mark.parametrize('architecture', ['amd64', 'arm64'])
def test_platforms_with_the_same_layers_keep_their_own_config(architecture: str, is_chosen: bool, daemon: FakeDaemon,
                                                              ) -> None:
    daemon.containerd = True
    for each in platforms({'amd64': double_tars(), 'arm64': double_tars()}):
        if each.architecture == architecture or is_chosen:
            daemon.add(each, 'sample:v1')
    image = source(daemon, settings=SETTINGS.choosing(f'linux/{architecture}') if is_chosen else SETTINGS)
    read(image)
    assert image.config.raw == sample_config(double_tars(), architecture)


def test_large_documents_beside_the_image_do_no_harm(daemon: FakeDaemon) -> None:
    daemon.containerd = True
    attested = [json.dumps({'predicate': str(number) * (3 << 20)}).encode() for number in range(9)]
    broken = [b'{"rootfs": null}', b'{"manifests": 5}', b'{"layers": [], "config": {"digest": "x"}}', b'{', b'[]']
    expected = daemon.add(platforms(None, *attested, *broken)[0], 'sample:v1')
    assert len(read(source(daemon))) == len(set(expected.tars))


def test_a_variant_is_not_taken_for_another(daemon: FakeDaemon) -> None:
    daemon.containerd = True
    daemon.add(platforms()[0], 'sample:v1')
    with pytest.raises(ImageNotFound, match='linux/amd64/v3; available: linux/amd64, linux/arm64'):
        source(daemon, settings=SETTINGS.choosing('linux/amd64/v3'))
