from collections.abc import Iterator
from pathlib import Path

import pytest

from occystrap_core import Receipt, Settings
from occystrap_registry.server.server_thread import RegistryServer
from occystrap_registry.transport import retries
from tests.unit.registry.images import push
from tests.unit.registry.scripted import Scripted


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No credentials of whoever runs the tests, and no long waits."""
    for name in ('OCCYSTRAP_USERNAME', 'OCCYSTRAP_PASSWORD', 'HTTP_PROXY', 'HTTPS_PROXY', 'ALL_PROXY',
                 'REGISTRY_AUTH_FILE'):
        monkeypatch.delenv(name, raising=False)
    for name, directory in (('DOCKER_CONFIG', 'docker'), ('XDG_RUNTIME_DIR', 'run'), ('XDG_CONFIG_HOME', 'config')):
        monkeypatch.setenv(name, str(tmp_path / directory))
    monkeypatch.setattr(retries, '_FIRST', 0.001)


@pytest.fixture
def settings() -> Settings:
    """Settings with short deadlines."""
    return Settings(timeout=5.0, retries=3)


@pytest.fixture(scope='session')
def stored_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a registry would store the sample image; copy it before a registry serves it."""
    return tmp_path_factory.mktemp('registry')


@pytest.fixture(scope='session')
def receipt_elsewhere(stored_image: Path) -> Receipt:
    """A receipt for the sample image in a registry that has stopped."""
    with RegistryServer(stored_image) as real:
        return push(real.host, Settings())


@pytest.fixture
def server() -> Iterator[Scripted]:
    """A scripted server."""
    with Scripted() as started:
        yield started
