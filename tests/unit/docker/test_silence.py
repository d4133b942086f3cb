"""A daemon that is frozen: a long list does not wait for it image by image."""
import pytest

from occystrap_core import ServiceUnavailable, Settings
from occystrap_core.testing.sample import sample_image
from occystrap_docker.connection import silence
from occystrap_docker.daemon.daemon import Daemon
from occystrap_docker.writer import DockerWriter
from tests.unit.docker.fake_daemon import FakeDaemon
from tests.unit.docker.layouts import legacy
from tests.unit.docker.runs import at, source


def test_a_frozen_daemon_is_not_asked_for_each_image(daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(timeout=0.2)
    daemon.add(legacy(), 'sample:v1')
    Daemon(at(daemon, 'sample:v1').options, settings).ping()  # the client is there now
    daemon.faults.update(ping='hang', inspect='hang')
    for _ in range(3):
        with pytest.raises(ServiceUnavailable, match='did not answer in time while'):
            source(daemon, settings=settings)
    before = len(daemon.requests)
    for _ in range(20):
        with pytest.raises(ServiceUnavailable, match='the last 3 requests in time, and was not asked again'):
            DockerWriter(at(daemon, 'new:v1'), settings).prepare(sample_image())
        with pytest.raises(ServiceUnavailable, match='the last 3 requests in time, and was not asked again'):
            source(daemon, settings=settings)
    assert len(daemon.requests) == before
    daemon.faults.clear()
    monkeypatch.setattr(silence, '_PAUSE', 0.0)
    daemon.faults['inspect'] = '500 busy'
    record = silence.Silence.of(Daemon(at(daemon, 'sample:v1').options, settings).address, settings)
    record._next = 0.0
    with pytest.raises(ServiceUnavailable, match='busy'):
        source(daemon, settings=settings)
    daemon.faults.clear()
    assert source(daemon, settings=settings)


def test_timeouts_that_are_not_in_a_row_do_not_count(daemon: FakeDaemon) -> None:
    settings = Settings(timeout=0.2)
    daemon.add(legacy(), 'sample:v1')
    for _ in range(5):
        daemon.faults['inspect'] = 'hang'
        with pytest.raises(ServiceUnavailable, match='did not answer in time while inspecting'):
            source(daemon, settings=settings)
        daemon.faults.clear()
        assert source(daemon, settings=settings)
