from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.folders import service_folder
from tests.unit.docker.fake_daemon import FakeDaemon, fake_daemon


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose path is short enough for sockets."""
    with service_folder('fake') as folder:
        yield folder


@pytest.fixture
def daemon(folder: Path) -> Iterator[FakeDaemon]:
    """A daemon without images."""
    with fake_daemon(folder / 'docker.sock') as daemon:
        yield daemon
