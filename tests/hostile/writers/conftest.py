"""Places to write to, images to write, disks that are small or read-only."""
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

import pytest

from tests.conftest import require_service
from tests.hostile.writers.images import Source, serve, write_archives
from tests.hostile.writers.places import DESTINATIONS, Grounds, Place
from tests.services.directories import service_directory, small_disk
from tests.services.faults import FaultProxy
from tests.services.registry import Registry
from tests.unit.docker.fake_daemon import FakeDaemon, fake_daemon

_numbers = count(1)
MakePlace = Callable[..., Place]


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings or logins of the user who runs the tests."""
    for name in ('HOME', 'DOCKER_CONFIG'):
        monkeypatch.setenv(name, str(tmp_path / 'home'))


@pytest.fixture(params=DESTINATIONS)
def destination(request: pytest.FixtureRequest) -> str:
    """Each kind of destination in turn, by its name in DESTINATIONS."""
    return str(request.param)


@pytest.fixture
def make_place(destination: str, registry: Registry, tmp_path: Path) -> Iterator[MakePlace]:
    """Makes places of that kind for one test: `make_place()`, or `make_place(disk)` in a given directory."""
    with ExitStack() as stack:
        daemon = stack.enter_context(own_daemon()) if destination == 'docker' else None

        def make(above: Path | None = None) -> Place:
            number = next(_numbers)
            if above is None:
                above = tmp_path / f'place-{number}'
                above.mkdir()
            return DESTINATIONS[destination](Grounds(above, registry, daemon, f'place-{number}'))
        yield make


@contextmanager
def own_daemon() -> Iterator[FakeDaemon]:
    """A daemon without images."""
    with service_directory('fake') as directory, fake_daemon(directory / 'docker.sock') as daemon:
        yield daemon


@pytest.fixture
def place(make_place: MakePlace) -> Place:
    """One place."""
    return make_place()


@pytest.fixture
def archives(tmp_path: Path) -> dict[str, str]:
    """The sources OLD and NEW as archives."""
    return write_archives(tmp_path)


@pytest.fixture
def source(registry: Registry, fault_proxy: Callable[..., FaultProxy]) -> Source:
    """The sources OLD and NEW under one name in a registry."""
    return serve(registry, fault_proxy)


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Path]:
    """The directory for `--temp-dir`, which must be empty at the end."""
    directory = tmp_path / 'spool'
    directory.mkdir()
    yield directory
    assert not list(directory.iterdir()), 'something temporary was left'


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[..., Path]]:
    """Mounts file systems of their own: `disk(size='768k')`; `subprocess.run(['mount', '-o', …])` changes them."""
    with ExitStack() as stack:
        def mount(size: str) -> Path:
            return stack.enter_context(require_service(lambda: small_disk(tmp_path / f'disk-{next(_numbers)}', size)))
        yield mount
