"""The ground, for every destination that unpacks, and for root and an ordinary user."""
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from tests.conftest import require_service
from tests.hostile.extraction.ground import DESTINATIONS, NOBODY, OWN, Ground, User
from tests.services.folders import service_folder
from tests.services.requirements import require_root


def _params(*users: str) -> list[str]:
    return [f'{kind}-{user}' for kind in DESTINATIONS for user in users]


@pytest.fixture(params=_params('root', 'ordinary'))
def ground(request: pytest.FixtureRequest, program: Callable[..., str]) -> Iterator[Ground]:
    """A fresh ground with its victims planted."""
    with _ground(request.param, program) as ground:
        yield ground


@pytest.fixture(params=_params('root'))
def roots_ground(request: pytest.FixtureRequest, program: Callable[..., str]) -> Iterator[Ground]:
    """The ground of root, for what only root can have, or is the same for everybody."""
    with _ground(request.param, program) as ground:
        yield ground


@pytest.fixture(params=_params('ordinary'))
def ordinary_ground(request: pytest.FixtureRequest, program: Callable[..., str]) -> Iterator[Ground]:
    """The ground of an ordinary user, for what root has no trouble with."""
    with _ground(request.param, program) as ground:
        yield ground


@pytest.fixture
def measured_ground(roots_ground: Ground, program: Callable[..., str]) -> Ground:
    """The ground of root, where each run leaves its peak resident memory in `home/memory`."""
    report = roots_ground.folder / OWN / 'memory'
    wrapper = (*roots_ground.user.wrapper, program('time'), '-f', '%M', '-o', str(report))
    return replace(roots_ground, user=replace(roots_ground.user, wrapper=wrapper))


@contextmanager
def _ground(param: str, program: Callable[..., str]) -> Iterator[Ground]:
    kind, _, name = param.partition('-')
    user = _user(name, program)
    with service_folder('ground') as folder:
        folder.chmod(0o755)
        ground = Ground(folder, DESTINATIONS[kind], user)
        ground.plant()
        try:
            yield ground
        finally:
            _open_folders(folder)


def _open_folders(folder: Path) -> None:
    """Make removable what a user who is not root left with modes that lock himself out."""
    for path in [folder, *folder.rglob('*')] if os.geteuid() else []:
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)


def _user(name: str, program: Callable[..., str]) -> User:
    if name == 'root':
        with require_service(lambda: nullcontext(require_root('owning what is unpacked'))):
            return User(name, 0)
    if os.geteuid():
        return User(name, os.geteuid())
    user = User(name, NOBODY, (program('setpriv', 'util-linux'), f'--reuid={NOBODY}', f'--regid={NOBODY}',
                               '--clear-groups', '--'))
    if not _can_run(user.wrapper):
        pytest.skip('an ordinary user cannot read the interpreter or this checkout: put them where he can')
    return user


@cache
def _can_run(wrapper: tuple[str, ...]) -> bool:
    program = 'import occystrap_core.cli.main, occystrap_dir.plugin, occystrap_tar.plugin'
    return not subprocess.run([*wrapper, sys.executable, '-c', program], cwd='/', capture_output=True).returncode
