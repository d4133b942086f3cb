"""The program under the shim, and the ground for a copy into each format."""
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from tests.conftest import require_service
from tests.hostile.faults.images import write_archives
from tests.hostile.faults.shim import Plan, compiled
from tests.services.directories import service_directory
from tests.services.command_line import WarmCommandLine, warm_command_line


@pytest.fixture(scope='session')
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """The plan that the program under the shim has."""
    with require_service(lambda: nullcontext(compiled())) as library:
        return Plan(tmp_path_factory.mktemp('faults') / 'plan', library)


@pytest.fixture(scope='session')
def run(plan: Plan) -> Iterator[WarmCommandLine]:
    """The program under the shim."""
    with warm_command_line(('env', *plan.environment)) as command:
        yield command


@pytest.fixture
def directory(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory with `root`, and a home without settings or logins."""
    with service_directory('faults') as directory:
        for name in ('HOME', 'DOCKER_CONFIG'):
            monkeypatch.setenv(name, str(directory / 'home'))
        (directory / 'root').mkdir()
        yield directory


@pytest.fixture
def archives(directory: Path) -> dict[str, str]:
    """The sources OLD and NEW as archives."""
    return write_archives(directory)
