"""Names of images for several platforms in real daemons: what they mean at a source, and what does not replace them."""
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from occystrap_core.testing.sample import sample_config
from tests.functional.docker.marked_image import uri
from tests.functional.archives import write_docker_archive
from tests.functional.test_layout import INDEX_TYPE, MANIFEST_TYPE, put_index, put_manifest
from tests.hostile.in_process import run_here
from tests.hostile.refusals import is_refused
from tests.services.command_line import CommandLine
from tests.services.docker_daemon import DockerDaemon
from tests.services.podman import PodmanService
from tests.services.registry import Registry
from tests.unit.docker.layouts import make_tar

REPLACE = '--replace-index'


@pytest.fixture
def pulled(containerd_daemon: DockerDaemon, registry: Registry, mark: str, tmp_path: Path,
           ) -> Iterator[Callable[..., str]]:
    """Puts an index of two platforms into the registry, and one or both of them into the daemon; returns the name.

    Both are loaded: of what is pulled one after the other the daemon sooner or later removes the first.
    """
    name = f'{registry.host}/several/{mark}:v1'

    def pull(*architectures: str, histories: bool = True) -> str:
        put_history_index(registry, mark, tmp_path) if histories else put_index(registry, f'several/{mark}')
        if len(architectures) == 1:
            containerd_daemon.run('pull', '-q', '--platform', f'linux/{architectures[0]}', name)
        else:
            both = tmp_path / 'both.tar'
            run_here('process', f'registry://{name}', f'tar://{both}?format=oci', '--platform=all').assert_code(0)
            containerd_daemon.run('load', '-q', '-i', both)
        return name
    yield pull
    containerd_daemon.run('rmi', '-f', name)


@pytest.fixture
def single(mark: str, tmp_path: Path) -> Path:
    """An archive of such an image, to take the place of another."""
    return archive_for('amd64', f'{mark}-new', tmp_path)


def archive_for(architecture: str, mark: str, directory: Path) -> Path:
    """Write an archive with an image of the test's own for an architecture, whose history has all layers.

    Each layer has a file with content: on a file system in memory others take no room, and do not show.
    """
    layers = [make_tar([(f'etc/{number}', f'{mark} {architecture} {number}\n'.encode() * 100)]) for number in range(4)]
    config = sample_config(layers).replace(b'"amd64"', f'"{architecture}"'.encode())
    path = directory / f'{mark}-{architecture}.tar'
    return write_docker_archive(path, config, layers, f'lists/{architecture}-{mark}:v1')


def put_history_index(registry: Registry, mark: str, directory: Path) -> None:
    """Put an index of such images."""
    entries = []
    for architecture in ('amd64', 'arm64'):
        target = f'registry://{registry.host}/several/{mark}:{architecture}'
        run_here('process', f'tar://{archive_for(architecture, mark, directory)}', target, '--receipt',
                 directory / f'{architecture}.receipt').assert_code(0)
        receipt = json.loads((directory / f'{architecture}.receipt').read_text())
        manifest, = [each for each in receipt['expectations'] if each['kind'] == 'manifest']
        entries.append({'mediaType': MANIFEST_TYPE, 'digest': manifest['digest'], 'size': manifest['size'],
                        'platform': {'os': 'linux', 'architecture': architecture}})
    raw = json.dumps({'schemaVersion': 2, 'mediaType': INDEX_TYPE, 'manifests': entries}).encode()
    put_manifest(registry, f'several/{mark}', raw, INDEX_TYPE, 'v1')


def image_id(daemon: DockerDaemon, name: str) -> str:
    """What the name means in the daemon."""
    return daemon.run('image', 'inspect', '--format', '{{.Id}}', name)


def test_a_single_image_does_not_replace_several_platforms(
        pulled: Callable[..., str], containerd_daemon: DockerDaemon, single: Path, occystrap: CommandLine) -> None:
    name = pulled('arm64', 'amd64')
    before, target = image_id(containerd_daemon, name), uri(name, containerd_daemon)
    for more in ([], ['--dry-run']):
        result = occystrap('process', f'tar://{single}', target, *more)
        assert f'{name} is an index of several platforms' in result.assert_code(1).err + result.out and REPLACE in (
            result.err + result.out)
    is_refused(occystrap('process', f'tar://{single}', target), 'is an index of several platforms', REPLACE)
    assert image_id(containerd_daemon, name) == before
    for _ in range(2):
        done = occystrap('process', f'tar://{single}', target, REPLACE).assert_success()
        assert 'does not tell' not in done.err
    occystrap('process', f'tar://{single}', target).assert_success()  # it is a single image now
    assert image_id(containerd_daemon, name) != before


def test_one_platform_of_an_index_may_be_replaced(pulled: Callable[..., str], containerd_daemon: DockerDaemon,
                                                  single: Path, occystrap: CommandLine) -> None:
    done = occystrap('process', f'tar://{single}', uri(pulled('amd64'), containerd_daemon)).assert_success()
    assert 'does not tell' not in done.err


def test_where_the_daemon_does_not_tell_a_note_says_so(pulled: Callable[..., str], containerd_daemon: DockerDaemon,
                                                       archive: Path, occystrap: CommandLine) -> None:
    target = uri(pulled('arm64', 'amd64', histories=False), containerd_daemon)
    assert 'does not tell whether the image' in occystrap('process', f'tar://{archive}', target).assert_success().err


@pytest.mark.parametrize('scheme', ['docker', 'dockerpush'])
def test_the_receipt_has_what_a_name_means_and_a_note_which_part_was_taken(
        scheme: str, pulled: Callable[..., str], containerd_daemon: DockerDaemon, occystrap: CommandLine) -> None:
    name = pulled('arm64', 'amd64')
    source = uri(name, containerd_daemon).replace('docker://', f'{scheme}://')
    done = occystrap('-O', 'json', 'process', source, 'layout://L', '--receipt', 'receipt').assert_success()
    receipt = json.loads((occystrap.directory / 'receipt').read_text())
    assert receipt['source_digest'] == image_id(containerd_daemon, name)
    image, = done.json()['images']
    assert image['platforms'] == {'taken': ['linux/amd64'], 'at_source': ['linux/amd64', 'linux/arm64']}
    assert any('1 of 2 platforms' in note for note in image['notes'])
    again = occystrap('process', source, 'layout://L', '--resume', 'receipt', '--refresh').assert_success()
    assert 'unchanged' in again.err
    occystrap('verify', 'layout://L', '--against', source).assert_success()


def test_digests_of_a_registry_count_where_they_are_of_that_name(docker_daemon: DockerDaemon, registry: Registry,
                                                                 mark: str, archive: Path, occystrap: CommandLine,
                                                                 ) -> None:
    docker_daemon.run('load', '-q', '-i', archive)
    pushed, other = f'{registry.host}/digests/{mark}:v1', f'made/{mark}:v1'
    docker_daemon.run('tag', other, pushed)
    docker_daemon.run('push', '-q', pushed)
    digest = docker_daemon.run('image', 'inspect', '--format', '{{index .RepoDigests 0}}', pushed).partition('@')[2]
    for name, expected in ((pushed, digest), (other, None), (f'{pushed.rpartition(":")[0]}@{digest}', digest)):
        occystrap('process', uri(name, docker_daemon), 'tar://out.tar', '--receipt', 'receipt', '--force'
                  ).assert_success()
        lines = (occystrap.directory / 'receipt').read_text().splitlines()
        assert json.loads(lines[-1])['source_digest'] == expected, name
    docker_daemon.run('rmi', '-f', pushed, other)


def test_a_single_image_does_not_replace_a_list_of_podman(podman: PodmanService, mark: str, archive: Path,
                                                          occystrap: CommandLine, tmp_path: Path) -> None:
    name = f'docker.io/lists/{mark}:v1'
    podman.podman('manifest', 'create', name)
    for architecture in ('amd64', 'arm64'):
        podman.podman('load', '-q', '-i', archive_for(architecture, mark, tmp_path))
        podman.podman('manifest', 'add', name, f'containers-storage:localhost/lists/{architecture}-{mark}:v1')
    target = uri(f'lists/{mark}:v1', podman)
    refused = occystrap('process', f'tar://{archive}', target)
    is_refused(refused, 'is an index of 2 platforms, linux/amd64, linux/arm64,', REPLACE)
    podman.podman('manifest', 'exists', name)
    occystrap('process', f'tar://{archive}', target, REPLACE).assert_success()
    occystrap('process', f'tar://{archive}', target).assert_success()
