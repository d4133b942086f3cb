"""The ground, for root and an ordinary user, on the destinations that tests run on."""
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import require_service
from tests.hostile.extraction.ground import ALL, DESTINATIONS, NOBODY, Ground, User
from tests.services.command_line import CommandLine, CommandResult, warm_command_line
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
def users() -> Iterator[Callable[[str], User]]:
    """Gives `root` and the `ordinary` user, each with a process that runs the command as often as it takes."""
    with ExitStack() as stack:
        yield cache(lambda name: _user(name, stack))


def _user(name: str, stack: ExitStack) -> User:
    wrapper: tuple[str, ...] = ()
    number = os.geteuid()
    if name == 'root':
        with require_service(lambda: nullcontext(require_root('owning what is unpacked'))):
            pass
    elif not number:
        number = NOBODY
        with require_service(lambda: nullcontext(require_program('setpriv', 'util-linux'))) as setpriv:
            wrapper = (setpriv, f'--reuid={number}', f'--regid={number}', '--clear-groups', '--')
        if not _can_run(wrapper):
            pytest.skip('an ordinary user cannot read the interpreter or this checkout: put them where he can')
    return User(name, number, stack.enter_context(warm_command_line(wrapper)))


@cache
def _can_run(wrapper: tuple[str, ...]) -> bool:
    program = 'import occystrap_core.cli.main, occystrap_dir.plugin, occystrap_tar.plugin'
    return not subprocess.run([*wrapper, sys.executable, '-c', program], cwd='/', capture_output=True).returncode
