"""What real daemons have: listed, and copied by pattern and from lists, several in parallel."""
from pathlib import Path

import pytest

from occystrap_core.oci import Digest
from occystrap_core.testing.sample import sample_config, sample_layers
from tests.functional.archives import write_docker_archive
from tests.services.command_line import CommandLine
from tests.services.docker_daemon import DockerDaemon
from tests.services.registry import Registry
from tests.services.requirements import EVERYTHING
from tests.unit.docker.layouts import make_tar

NAMES = ['app:v1', 'app:v2', 'tool:v1']
MANY = 50 if EVERYTHING else 8  # more than run in parallel


@pytest.fixture(params=['docker_daemon', 'podman'])
def filled(request: pytest.FixtureRequest, tmp_path: Path) -> DockerDaemon:
    """A daemon with an image of three names below `many`."""
    daemon: DockerDaemon = request.getfixturevalue(request.param)
    archive = write_docker_archive(tmp_path / 'sample.tar', sample_config(), sample_layers(), f'many/{NAMES[0]}')
    daemon.run('load', '-i', archive)
    for name in NAMES[1:]:
        daemon.run('tag', f'many/{NAMES[0]}', f'many/{name}')
    return daemon


def test_listed_and_copied_by_pattern(filled: DockerDaemon, occystrap: CommandLine) -> None:
    where = f'?socket={filled.socket}'
    document = occystrap('images', f'docker://many/*{where}', '-O', 'json').assert_success().json()
    witness = filled.run('images', '--no-trunc', '--format', '{{.Repository}}:{{.Tag}} {{.ID}}').splitlines()
    shown = [f'{each["name"]} {each["id"]}'.removeprefix('docker.io/') for each in document['images']]
    assert len(shown) == 3 and set(shown) == {line for line in witness if 'many/' in line}
    assert {each['id'] for each in document['images']} == {Digest.of(sample_config())}
    assert {each['platform'] for each in document['images']} == {'linux/amd64'}
    (occystrap.directory / 'list').write_text(f'docker://many/*:v1{where}\ndocker://many/app:v2{where}\n')
    result = occystrap('process', 'list://list', 'dir://out?unique_names=true', '-J', '2', '--verify=full')
    assert 'Summary: 3/3 images' in result.assert_success().err
    nothing = occystrap('process', f'docker://many/*:v9{where}', 'dir://nothing?unique_names=true').assert_code(1)
    assert 'many/*:v9: no image of the daemon at ' in nothing.err and len(nothing.errors) == 1


def test_many_images_there_and_back(docker_daemon: DockerDaemon, registry: Registry, occystrap: CommandLine,
                                    tmp_path: Path) -> None:
    base = sample_layers('fifty')
    for number in range(MANY):
        layers = [*base, make_tar([('etc/number', f'{number}'.encode())])]
        archive = write_docker_archive(tmp_path / f'{number}.tar', sample_config(layers), layers, f'fifty/{number}:v1')
        docker_daemon.run('load', '-q', '-i', archive)
    ids = image_ids(docker_daemon, 'fifty')
    assert len(set(ids.values())) == MANY
    occystrap('process', f'docker://fifty/*:v1?socket={docker_daemon.socket}',
              f'registry://{registry.host}/{{repository}}:{{tag}}', '-J', '4', '--verify=full').assert_success()
    docker_daemon.run('rmi', *(f'{name}:v1' for name in ids))
    assert not image_ids(docker_daemon, 'fifty')
    result = occystrap('process', f'registry://{registry.host}/fifty/*:v1',
                       f'docker://{{repository}}:{{tag}}?socket={docker_daemon.socket}', '-J', '4', '--verify=full')
    assert result.assert_success().err.splitlines()[-1].endswith(f', {MANY}/{MANY} verified')
    assert image_ids(docker_daemon, 'fifty') == ids
    docker_daemon.run('rmi', *(f'{name}:v1' for name in ids))


def image_ids(daemon: DockerDaemon, team: str) -> dict[str, str]:
    """The IDs of a team's images by their names."""
    lines = daemon.run('images', '--no-trunc', '--format', '{{.Repository}} {{.ID}}', f'{team}/*').splitlines()
    return dict((line.split()[0], line.split()[1]) for line in lines)
