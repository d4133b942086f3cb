"""docker:// with each real daemon: what goes in comes out, and damage is found."""
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from occystrap_core import Location, OutgoingLayer, ServiceUnavailable, Settings, WrittenLayer
from occystrap_core.oci import Digest
from occystrap_core.pipeline.image_copy import ImageCopy
from occystrap_core.testing.sample import sample_config, sample_image
from occystrap_docker.input import DockerInput
from occystrap_docker.writer import DockerWriter
from tests.conftest import require_service
from tests.functional.archives import write_archive_of_noise, write_docker_archive
from tests.functional.docker.marked_image import tars, uri
from tests.functional.test_layout import put_index
from tests.services.command_line import CommandLine
from tests.services.directories import small_disk
from tests.services.docker_daemon import DockerDaemon
from tests.services.real_image import RealImage
from tests.services.registry import Registry
from tests.unit.docker.layouts import make_tar

LEVELS = ['fast', 'full']


def test_there_and_back(daemon: DockerDaemon, archive: Path, target: str, mark: str, occystrap: CommandLine,
                        tmp_path: Path) -> None:
    occystrap('process', f'tar://{archive}', uri(target, daemon), '--verify=fast').assert_success()
    daemon.run('rmi', '-f', target)
    occystrap('process', f'tar://{archive}', uri(target, daemon), '--verify=full').assert_success()
    back = f'tar://{tmp_path}/back.tar'
    occystrap('process', uri(target, daemon), back, '--verify=full', '--receipt', 'receipt').assert_success()
    layers = tars(mark)
    again = occystrap('-O', 'json', 'verify', 'receipt', '--verify=full').assert_success().json()
    assert again['images'][0]['image_id'] == Digest.of(sample_config(layers))
    assert again['images'][0]['reference'] == target


def test_a_receipt_of_another_place_proves_the_image_in_a_daemon(daemon: DockerDaemon, archive: Path, target: str,
                                                                 occystrap: CommandLine, tmp_path: Path) -> None:
    occystrap('process', f'tar://{archive}', f'layout://{tmp_path}/layout', '--receipt', 'receipt').assert_success()
    assert 'is missing' in occystrap('verify', 'receipt', '--at', uri(target, daemon)).assert_code(1).err
    occystrap('process', f'tar://{archive}', uri(target, daemon)).assert_success()
    for level in LEVELS:
        occystrap('verify', 'receipt', f'--verify={level}', '--at', uri(target, daemon)).assert_success()
    occystrap('process', f'tar://{archive}', uri(target, daemon), '-f', 'normalize-timestamps').assert_success()
    moved = occystrap('verify', 'receipt', '--at', uri(target, daemon)).assert_code(1)
    assert f'tag {target}: ' in moved.err


def test_a_daemon_against_its_source_and_a_copy_against_the_daemon(daemon: DockerDaemon, archive: Path, target: str,
                                                                   occystrap: CommandLine, tmp_path: Path) -> None:
    here = uri(target, daemon)
    occystrap('process', f'tar://{archive}', here).assert_success()
    occystrap('process', here, f'layout://{tmp_path}/layout').assert_success()
    for place, source in ((here, f'tar://{archive}'), (f'layout://{tmp_path}/layout', here)):
        for level in LEVELS:
            occystrap('verify', place, '--against', source, f'--verify={level}').assert_success()
    occystrap('process', f'tar://{archive}', here, '-f', 'normalize-timestamps').assert_success()
    for place, source in ((here, f'tar://{archive}'), (f'layout://{tmp_path}/layout', here)):
        assert '1 FAILED' in occystrap('verify', place, '--against', source).assert_code(1).err


def test_from_one_daemon_to_another_under_the_same_name(daemon: DockerDaemon, docker_daemon: DockerDaemon,
                                                        archive: Path, target: str, occystrap: CommandLine) -> None:
    occystrap('process', f'tar://{archive}', uri(target, docker_daemon)).assert_success()
    result = occystrap('process', uri(target, docker_daemon), uri(target, daemon), '--verify=full')
    if daemon is docker_daemon:
        assert 'the same place' in result.assert_code(2).err
        return
    result.assert_success()
    docker_daemon.run('rmi', '-f', target)


@pytest.mark.parametrize('name', ['plain', 'team/app:v1', 'localhost/team/app:v1', 'registry.example.com:5000/x/y:v2'])
def test_names_go_in_and_come_out(name: str, daemon: DockerDaemon, archive: Path, occystrap: CommandLine,
                                  tmp_path: Path) -> None:
    occystrap('process', f'tar://{archive}', uri(name, daemon)).assert_success()
    occystrap('process', uri(name, daemon), f'dir://{tmp_path}/out').assert_success()
    daemon.run('rmi', '-f', name)


def test_a_removed_image_is_found(daemon: DockerDaemon, archive: Path, target: str, occystrap: CommandLine) -> None:
    occystrap('process', f'tar://{archive}', uri(target, daemon), '--receipt', 'receipt').assert_success()
    daemon.run('rmi', '-f', target)
    for level in LEVELS:
        result = occystrap('verify', 'receipt', f'--verify={level}').assert_code(1)
        assert f'tag {target}: is missing' in result.err and '1 FAILED' in result.err


def test_a_moved_tag_is_found(daemon: DockerDaemon, archive: Path, target: str, mark: str, occystrap: CommandLine,
                              tmp_path: Path) -> None:
    occystrap('process', f'tar://{archive}', uri(target, daemon), '--receipt', 'receipt').assert_success()
    other = tars(f'{mark} other')
    write_docker_archive(tmp_path / 'other.tar', sample_config(other), other, 'other:v1')
    occystrap('process', f'tar://{tmp_path}/other.tar', uri(target, daemon), '--no-verify').assert_success()
    for level in LEVELS:
        result = occystrap('verify', 'receipt', f'--verify={level}').assert_code(1)
        assert f'tag {target}: points at sha256:' in result.err and ', expected sha256:' in result.err


def test_a_changed_layer_is_found_by_full(daemon: DockerDaemon, archive: Path, target: str, mark: str,
                                          occystrap: CommandLine) -> None:
    occystrap('process', f'tar://{archive}', uri(target, daemon), '--receipt', 'receipt').assert_success()
    places = list(stored(daemon, f'mark {mark}\n'.encode()))
    assert places
    for path, offset in places:
        with open(path, 'r+b') as file:
            file.seek(offset)
            file.write(b'M')
    result = occystrap('verify', 'receipt', '--verify=full').assert_code(1)
    assert '1 FAILED' in result.err


def stored(daemon: DockerDaemon, content: bytes) -> Iterator[tuple[Path, int]]:
    """Every place below the daemon's data root where this content is, with its offset."""
    for path in (daemon.socket.parent / 'data').rglob('*'):
        small = path.is_file() and not path.is_symlink() and path.stat().st_size < 1 << 20
        if small and (offset := path.read_bytes().find(content)) >= 0:
            os.chmod(path, 0o644)
            yield path, offset


def test_a_stopped_daemon_proves_nothing(killable: tuple[DockerDaemon, Callable[[], None]], archive: Path,
                                         occystrap: CommandLine) -> None:
    daemon, kill = killable
    occystrap('process', f'tar://{archive}', uri('x:v1', daemon), '--receipt', 'receipt').assert_success()
    kill()
    result = occystrap('verify', 'receipt').assert_code(1)
    assert '1 UNVERIFIED' in result.err and str(daemon.socket) in result.err


def location(daemon: DockerDaemon) -> Location:
    return Location('docker', 'big:v1', {'socket': str(daemon.socket)}, {})


def test_a_daemon_stopped_in_mid_export(killable: tuple[DockerDaemon, Callable[[], None]], occystrap: CommandLine,
                                        tmp_path: Path) -> None:
    daemon, kill = killable
    layers = [make_tar([('random', os.urandom(64 << 20))])]
    big = write_docker_archive(tmp_path / 'big.tar', sample_config(layers), layers, 'big:v1')
    occystrap('process', f'tar://{big}', uri('big:v1', daemon)).assert_success()
    images = DockerInput(location(daemon), Settings())
    with (images.open(next(iter(images.references()))) as image,
          pytest.raises(ServiceUnavailable, match='the export of big:v1 ends in the middle: see the log')):
        for layer in image.arrivals():
            with layer.tar() as tar:
                tar.readinto(memoryview(bytearray(1 << 20)))
                kill()
                tar.drain()


def test_a_daemon_stopped_in_mid_load(killable: tuple[DockerDaemon, Callable[[], None]], tmp_path: Path,
                                      monkeypatch: pytest.MonkeyPatch) -> None:
    daemon, kill = killable
    output = DockerWriter(location(daemon), settings := Settings(temporary=str(tmp_path)))
    write_layer = output.write_layer

    def kill_and_write(layer: OutgoingLayer) -> WrittenLayer:
        written = write_layer(layer)
        kill()
        return written

    monkeypatch.setattr(output, 'write_layer', kill_and_write)
    with pytest.raises(ServiceUnavailable, match='failed while loading|no Docker or Podman daemon'):
        ImageCopy(sample_image(), output, settings, 'sample').run()
    assert not list(tmp_path.iterdir())


def test_the_real_image_needs_no_room_and_runs(docker26_daemon: DockerDaemon, real_registry: Registry,
                                               real_image: RealImage, occystrap: CommandLine, tmp_path: Path) -> None:
    daemon = docker26_daemon
    with require_service(lambda: small_disk(tmp_path / 'small', '1m')) as temporary:
        occystrap('process', f'registry://{real_registry.host}/real:v1', uri('written/real:v1', daemon),
                  '--temp-dir', temporary, '--verify=full').assert_success()
        occystrap('process', f'tar://{write_archive_of_noise(tmp_path, 12 << 20)}', uri('written/noise:v1', daemon),
                  '--no-verify').assert_success()
        occystrap('process', uri('written/noise:v1', daemon), 'tar://back.tar', '--temp-dir', temporary, '--no-verify'
                  ).assert_success()
    daemon.run('rmi', '-f', 'written/noise:v1')
    assert daemon.run('run', '--rm', '--network', 'none', 'written/real:v1') == real_image.greeting
    daemon.run('rmi', '-f', 'written/real:v1')


def test_only_what_the_daemon_lacks_is_sent(docker_daemon: DockerDaemon, archive: Path, mark: str,
                                            occystrap: CommandLine, tmp_path: Path) -> None:
    occystrap('process', f'tar://{archive}', uri('written/lower:v1', docker_daemon)).assert_success()
    upper = [*tars(mark), make_tar([('etc/upper', b'upper')])]
    write_docker_archive(tmp_path / 'upper.tar', sample_config(upper), upper, 'upper:v1')
    printed = occystrap('-O', 'json', 'process', f'tar://{tmp_path}/upper.tar', uri('written/upper:v1', docker_daemon),
                        '--verify=full', '--receipt', 'receipt').assert_success()
    found = [each['evidence'] for each in json.loads((occystrap.directory / 'receipt').read_text())['expectations']
             if each['kind'] == 'layer']
    assert found.count('streamed') == 1 and found.count('descriptor') == 4, printed
    docker_daemon.run('rmi', 'written/lower:v1', 'written/upper:v1')


def test_an_image_for_two_platforms(containerd_daemon: DockerDaemon, registry: Registry, occystrap: CommandLine,
                                    ) -> None:
    """An image of which containerd's store has both, and Docker exports both at once."""
    name = f'{registry.host}/two/app:v1'
    put_index(registry, 'two/app')
    for architecture in ('arm64', 'amd64'):
        containerd_daemon.run('pull', '-q', '--platform', f'linux/{architecture}', name)
    for scheme in ('docker', 'dockerpush'):
        for choice, architecture in ((), 'amd64'), (('--platform', 'linux/arm64'), 'arm64'):
            target = f'{scheme}-{architecture}'
            occystrap('process', *choice, f'{scheme}://{name}?socket={containerd_daemon.socket}',
                      f'dir://{target}', '--verify=full').assert_success()
            found = occystrap('-O', 'json', 'info', f'dir://{target}').assert_success().json()
            assert found['images'][0]['platform'] == f'linux/{architecture}'
            occystrap('search', f'dir://{target}', 'hello').assert_success()
    lost = occystrap('process', uri(name, containerd_daemon), 'tar://out.tar', '--platform', 'linux/s390x')
    assert 'available: linux/amd64, linux/arm64' in lost.assert_code(1).err
    containerd_daemon.run('rmi', '-f', name)


def test_info_shows_what_a_daemon_knows_without_an_export(daemon: DockerDaemon, archive: Path, target: str, mark: str,
                                                          occystrap: CommandLine) -> None:
    """Compared with the daemon's own commands, and with what the same image says in an archive."""
    occystrap('process', f'tar://{archive}', uri(target, daemon)).assert_success()
    theirs, = json.loads(daemon.run('inspect', target))
    archived, = occystrap('-O', 'json', 'info', f'tar://{archive}').assert_success().json()['images']
    for scheme in ('docker', 'dockerpush'):
        source = uri(target, daemon).replace('docker://', f'{scheme}://')
        shown, = occystrap('-O', 'json', 'info', source).assert_success().json()['images']
        same = ('platform', 'command', 'environment', 'labels')
        assert {name: shown[name] for name in same} == {name: archived[name] for name in same}
        assert [each['diff_id'] for each in shown['layers'] if 'diff_id' in each] == theirs['RootFS']['Layers']
        assert shown['size'] == theirs['Size'] and shown['digests'] == (theirs.get('RepoDigests') or [])
        named = theirs['Id'] if theirs['Id'].startswith('sha256:') else f'sha256:{theirs["Id"]}'
        by_manifest = named != archived['image_id']
        assert (shown['digest'], shown['image_id']) == ((named, None) if by_manifest else (None, named))
        assert 'are not known without an export' in shown['note'] and ('image ID' in shown['note']) == by_manifest
        text = occystrap('info', source).assert_success()
        assert target in text.out and 'ADD layer 0' in text.out and not text.err
    assert 'has no image missing:latest' in occystrap('info', uri('missing', daemon)).assert_code(1).err


def test_check_reads_the_export_of_a_daemon(daemon: DockerDaemon, archive: Path, target: str,
                                            occystrap: CommandLine) -> None:
    occystrap('process', f'tar://{archive}', uri(target, daemon)).assert_success()
    expected = occystrap('-O', 'json', 'check', f'tar://{archive}').json()
    for scheme in ('docker', 'dockerpush'):
        source = uri(target, daemon).replace('docker://', f'{scheme}://')
        found = occystrap('-O', 'json', 'check', source)
        assert found.code == 0, found
        assert {each['id'] for image in found.json()['images'] for each in image['findings']} <= {
            each['id'] for image in expected['images'] for each in image['findings']}
        assert 'provides its metadata only together with all layers: leave out --fast' in occystrap(
            'check', '--fast', source).assert_code(2).err
