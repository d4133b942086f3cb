"""The ground, for root and an ordinary user, on the destinations that tests run on."""
import os
import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import cache
from pathlib import Path

import occystrap_core
import occystrap_dir
import occystrap_tar
import pytest

from tests.conftest import require_service
from tests.hostile.extraction.ground import ALL, DESTINATIONS, NOBODY, Ground, User
from tests.services.command_line import CommandLine, CommandResult, shared_command_line
from tests.services.directories import service_directory
from tests.services.requirements import require_program, require_root


def _params(*users: str, kinds: Iterable[str] = DESTINATIONS) -> list[str]:
    return [f'{kind}-{user}' for kind in kinds for user in users]


@pytest.fixture(params=_params('root', 'ordinary'))
def ground(request: pytest.FixtureRequest, users: Callable[[str], User]) -> Iterator[Ground]:
    """A fresh ground with its victims planted."""
    with _ground(request.param, users) as ground:
        yield ground


@pytest.fixture(params=_params('root', 'ordinary', kinds=[name for name, each in DESTINATIONS.items() if each.merges]))
def merging_ground(request: pytest.FixtureRequest, users: Callable[[str], User]) -> Iterator[Ground]:
    """A fresh ground for what one layer does to what another brought, where they get into one tree."""
    with _ground(request.param, users) as ground:
        yield ground


@pytest.fixture(params=_params('root'))
def roots_ground(request: pytest.FixtureRequest, users: Callable[[str], User]) -> Iterator[Ground]:
    """The ground of root, for what only root can have, or is the same for everybody."""
    with _ground(request.param, users) as ground:
        yield ground


@pytest.fixture(params=_params('ordinary'))
def ordinary_ground(request: pytest.FixtureRequest, users: Callable[[str], User]) -> Iterator[Ground]:
    """The ground of an ordinary user, for what root has no trouble with."""
    with _ground(request.param, users) as ground:
        yield ground


@pytest.fixture
def measured_ground(roots_ground: Ground, program: Callable[..., str]) -> Ground:
    """The ground of root, where each run, a process of its own, leaves its peak resident memory in `home/memory`."""
    time = program('time')

    def run(directory: Path, home: Path, *arguments: str) -> CommandResult:
        return CommandLine(directory)(*arguments, wrapper=(time, '-f', '%M', '-o', str(home / 'memory')))
    return replace(roots_ground, user=replace(roots_ground.user, run=run))


@contextmanager
def _ground(param: str, users: Callable[[str], User]) -> Iterator[Ground]:
    kind, _, name = param.partition('-')
    user = users(name)
    with service_directory('ground') as directory:
        directory.chmod(0o755)
        ground = Ground(directory, ALL[kind], user)
        ground.plant()
        try:
            yield ground
        finally:
            _open_directories(directory)


def _open_directories(directory: Path) -> None:
    """Make removable what a user who is not root left with modes that lock himself out."""
    for path in [directory, *directory.rglob('*')] if os.geteuid() else []:
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)


@pytest.fixture(scope='session')
def users() -> Callable[[str], User]:
    """Gives `root` and the `ordinary` user, who run the command as often as it takes."""
    return cache(_user)


def _user(name: str) -> User:
    number = os.geteuid()
    if name == 'root':
        with require_service(lambda: nullcontext(require_root('owning what is unpacked'))):
            return User(name, number, shared_command_line())
    if number:
        return User(name, number, shared_command_line())
    with require_service(lambda: nullcontext(require_program('setpriv', 'util-linux'))) as setpriv:
        if not _can_read(setpriv):
            pytest.skip('an ordinary user cannot read the interpreter or this checkout: put them where he can')
    return User(name, NOBODY, shared_command_line(NOBODY))


def _can_read(setpriv: str) -> bool:
    """Return whether the ordinary user finds what a run imports late."""
    modules = (os.__file__, occystrap_core.__file__, occystrap_dir.__file__, occystrap_tar.__file__)
    return not any(subprocess.run([setpriv, f'--reuid={NOBODY}', f'--regid={NOBODY}', '--clear-groups', '--', 'test',
                                   '-r', str(each)]).returncode for each in modules)
