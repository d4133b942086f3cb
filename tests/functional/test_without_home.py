"""A user without a home directory, as in a container or a unit of systemd: nothing ends up in a directory named `~`."""
import subprocess
import sys
from pathlib import Path

import pytest

from tests.services.requirements import require_root

NOBODY_KNOWN = 54321
"""A user that no account has."""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory in which this user may write."""
    require_root('to run as another user')
    place = tmp_path / 'place'
    place.mkdir()
    place.chmod(0o777)
    if run(place, '-c', 'import occystrap_core').returncode:
        pytest.skip('other users cannot read this Python')
    return place


def run(place: Path, *arguments: str, given: str = '', **variables: str) -> 'subprocess.CompletedProcess[str]':
    """Run Python as that user; without HOME."""
    return subprocess.run([sys.executable, '-P', *arguments], cwd=place, user=NOBODY_KNOWN, group=NOBODY_KNOWN,
                          extra_groups=[], env={'PATH': '/usr/bin:/bin', **variables}, text=True, capture_output=True,
                          input=given, timeout=60)


def occystrap(place: Path, *arguments: str, given: str = '', **variables: str) -> 'subprocess.CompletedProcess[str]':
    """Run occystrap as that user."""
    return run(place, '-m', 'occystrap_core', *arguments, given=given, **variables)


def test_a_login_is_not_stored_where_the_command_runs(place: Path) -> None:
    login = ('login', '127.0.0.1:1', '--username', 'me', '--password-stdin')
    result = occystrap(place, *login, given='secret')
    assert (result.returncode, result.stdout) == (2, '')
    assert result.stderr == ('occystrap: error: this user has no home directory for the login: set HOME, or give '
                             '--authfile FILE\n')
    assert not list(place.iterdir())


@pytest.mark.parametrize('command', [('serve', '--listen', '127.0.0.1:0'),
                                     ('proxy', '--downstream', '127.0.0.1:1/a', '--listen', '127.0.0.1:0')])
def test_a_storage_is_not_made_where_the_command_runs(place: Path, command: tuple[str, ...]) -> None:
    result = occystrap(place, *command)
    assert result.stderr == ('occystrap: error: this user has no home directory for the storage: give --storage '
                             'PATH\n')
    assert result.returncode == 2
    assert not list(place.iterdir())


def test_a_daemon_and_a_registry_need_no_home(place: Path) -> None:
    result = occystrap(place, 'info', 'docker://app:v1?socket=/missing.sock')
    assert (result.returncode, 'no Docker or Podman daemon answers' in result.stderr) == (1, True), result.stderr
    result = occystrap(place, 'info', 'docker://app:v1', DOCKER_CONTEXT='build')
    assert (result.returncode, 'set HOME or DOCKER_CONFIG' in result.stderr) == (2, True), result.stderr
    result = occystrap(place, 'info', 'registry://127.0.0.1:1/app:v1', '--retries', '0')
    assert (result.returncode, 'connection refused' in result.stderr) == (1, True), result.stderr
    assert occystrap(place, 'info', 'docker://app:v1').returncode == 1  # whether or not a daemon is here


def test_a_home_of_somebody_else_is_named(place: Path) -> None:
    home = place.parent / 'home'
    home.mkdir(mode=0o700)
    result = occystrap(place, 'login', '127.0.0.1:1', '--username', 'me', '--password-stdin', given='x', HOME=str(home))
    assert result.stderr == f'occystrap: error: {home}/.docker/config.json cannot be read: Permission denied\n'
    assert result.returncode == 2
