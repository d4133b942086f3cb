from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.directories import service_directory
from tests.unit.docker.fake_daemon import FakeDaemon, fake_daemon


@pytest.fixture
def directory() -> Iterator[Path]:
    """A directory whose path is short enough for sockets."""
    with service_directory('fake') as directory:
        yield directory


@pytest.fixture
def daemon(directory: Path) -> Iterator[FakeDaemon]:
    """A daemon without images."""
    with fake_daemon(directory / 'docker.sock') as daemon:
        yield daemon
