"""Inside a bundle of the real image it is as in Docker's container of it; without root it runs as well."""
import json
import os
import subprocess
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from occystrap_core.oci import ImageConfig
from occystrap_dir.bundle.runtime_config import runtime_config
from occystrap_dir.bundle.users import Accounts
from tests.conftest import require_service
from tests.services.command_line import CommandLine
from tests.services.docker_daemon import DockerDaemon
from tests.services.real_image import RealImage
from tests.services.requirements import require_root


LOOK = 'id; id -G; pwd; grep -E "^(Groups|Cap...|NoNewPrivs):" /proc/self/status; env | grep -v ^HOSTNAME= | sort'
"""The files that give a process its identity and rights."""


@pytest.fixture(scope='module')
def bundle(real_image: RealImage, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real image as a bundle; tests do not change it."""
    with require_service(lambda: nullcontext(require_root('owners of files'))):
        directory = tmp_path_factory.mktemp('bundle')
    source = f'tar://{real_image.archive}'
    CommandLine(directory)('process', source, f'oci://{directory}/bundle', '--no-sync').assert_success()
    return directory / 'bundle'


@pytest.fixture(scope='module')
def in_docker(docker_with_real_image: DockerDaemon) -> Callable[..., str]:
    """Returns what a script prints in Docker's container of the real image, run as `user` if given."""
    def run(script: str, user: str = '') -> str:
        who = ['-u', user] if user else []
        return docker_with_real_image.run('run', '--rm', '--network', 'none', *who, '--entrypoint', '/bin/sh',
                                          'real:v1', '-c', script)
    return run


@pytest.fixture
def run(bundle: Path, tmp_path: Path, program: Callable[..., str]) -> Callable[..., str]:
    """Runs a config.json with the files of the bundle: returns what runc's container prints."""
    def run(config: Any) -> str:
        config['root']['path'] = f'{bundle}/rootfs'
        (tmp_path / 'config.json').write_text(json.dumps(config))
        done = subprocess.run([program('runc'), 'run', '-b', tmp_path, f'occystrap-inside-{os.getpid()}'],
                              capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout
    return run


def shell(config: Any, script: str) -> Any:
    """The config.json with another thing to run."""
    return {**config, 'process': {**config['process'], 'args': ['/bin/sh', '-c', script]}}


def targets(mounts: str) -> set[tuple[str, str, bool]]:
    """The places of mounts, their types and whether they are read-only, but for what Docker makes for networks."""
    lines = [line.split() for line in mounts.splitlines()]
    return {(target, kind, 'ro' in options.split(',')) for _, target, kind, options, *_ in lines
            if target != '/' and not target.startswith('/etc/')}


def test_a_process_finds_what_it_finds_in_docker(
        bundle: Path, run: Callable[..., str], in_docker: Callable[..., str]) -> None:
    config = json.loads((bundle / 'config.json').read_bytes())
    assert run(shell(config, LOOK)).strip() == in_docker(LOOK)
    assert targets(run(shell(config, 'cat /proc/mounts'))) >= targets(in_docker('cat /proc/mounts'))


@pytest.mark.parametrize('user', ['0', 'www-data', '33', '4711', 'www-data:games', ':games'])
def test_users_are_those_that_docker_takes(
        bundle: Path, run: Callable[..., str], in_docker: Callable[..., str], user: str) -> None:
    accounts = Accounts.parse(*((bundle / 'rootfs/etc' / name).read_bytes() for name in ('passwd', 'group')))
    image = {'os': 'linux', 'config': {'User': user}, 'rootfs': {'diff_ids': []}}
    config = json.loads(runtime_config(ImageConfig.parse(json.dumps(image).encode()), accounts))
    look = 'id -u; id -g; grep ^Groups /proc/self/status; echo $HOME; grep ^Cap /proc/self/status'
    assert run(shell(config, look)).strip() == in_docker(look, user)


def test_in_a_user_namespace_it_says_the_same(bundle: Path, run: Callable[..., str], real_image: RealImage) -> None:
    plain = json.loads((bundle / 'config.json').read_bytes())
    image = {'os': 'linux', 'config': {'Entrypoint': plain['process']['args'], 'User': '1000:1000',
                                       'Env': ['GREETING=hello']}, 'rootfs': {'diff_ids': []}}
    config = runtime_config(ImageConfig.parse(json.dumps(image).encode()), Accounts(), rootless=True)
    assert run(json.loads(config)).strip() == real_image.greeting
