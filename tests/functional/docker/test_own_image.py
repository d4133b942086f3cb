"""The container image of occystrap itself, which tools/build-image makes, in daemons as users run it.

It takes a minute, so `.ci/run` runs it by itself, and tools/test with OCCYSTRAP_TEST_ALL=1 only.
"""
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from occystrap_core.testing.sample import sample_config, sample_layers
from occystrap_core.version import __version__
from tests.functional.archives import write_docker_archive
from tests.hostile.in_process import run_here
from tests.services.docker_daemon import DockerDaemon
from tests.services.podman import PodmanService
from tests.services.requirements import EVERYTHING, require_program

pytestmark = pytest.mark.skipif(not EVERYTHING, reason='OCCYSTRAP_TEST_ALL=1 runs it')
ROOT = Path(__file__).parents[3]
NAME = f'occystrap:{__version__}'
LARGEST = 128 << 20


def build(target: Path) -> Path:
    """Run tools/build-image; skips the test where Debian's packages cannot be had."""
    require_program('apt-get', 'apt')
    done = subprocess.run([sys.executable, ROOT / 'tools/build-image', f'tar://{target}'], capture_output=True,
                          text=True)
    if done.returncode and 'apt-' in done.stderr:
        pytest.skip(f'no packages of Debian: {done.stderr[-300:]}')
    assert done.returncode == 0, done.stderr
    assert '1/1 verified' in done.stderr
    return target


@pytest.fixture(scope='module')
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp('own') / 'occystrap.tar')


def use(daemon: DockerDaemon, archive: Path, place: Path) -> None:
    """Load the image and have it copy one, as its own user, without a network."""
    write_docker_archive(place / 'a.tar', sample_config(), sample_layers(), 'app:v1')
    place.chmod(0o777)
    run = ('run', '--rm', '--network', 'none', '--read-only', '--tmpfs', '/tmp', '-v', f'{place}:/work')
    if isinstance(daemon, PodmanService):
        daemon.podman('load', '-i', archive)
        limits = ('--ulimit', 'nofile=1024:1024', '--ulimit', 'nproc=1024:1024')  # no more than the tests may have
        run = ('--runtime', require_program('runc', 'runc'), run[0], *limits, *run[1:])
        ask = daemon.podman
    else:
        daemon.run('load', '-i', archive)
        ask = daemon.run
    assert ask(*run, NAME, '--version').splitlines()[0] == f'occystrap {__version__}'
    output = ask(*run, NAME, '-O', 'json', 'process', 'tar://a.tar', 'layout://out', '--receipt', 'out.receipt')
    assert json.loads(output)['succeeded']
    assert (place / 'out/index.json').stat().st_uid == 65532, 'not root'
    run_here('verify', place / 'out.receipt', '--verify=full', '--at', f'layout://{place}/out').assert_success()


def test_in_docker(archive: Path, docker_daemon: DockerDaemon, tmp_path: Path) -> None:
    assert archive.stat().st_size < LARGEST
    run_here('check', f'tar://{archive}').assert_success()
    use(docker_daemon, archive, tmp_path)


def test_in_podman_and_the_same_bytes_again(archive: Path, podman: PodmanService, tmp_path: Path) -> None:
    use(podman, archive, tmp_path)
    again = build(tmp_path / 'again.tar')
    with tarfile.open(archive) as one, tarfile.open(again) as other:
        assert sorted(one.getnames()) == sorted(other.getnames()), 'names are digests'
