"""Daemons, or what sits on their sockets, that are silent or never end an answer: each ends in time, in one line."""
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from occystrap_core import Location, OccystrapError, ServiceError, ServiceUnavailable, Settings
from occystrap_core.oci import Digest, Reference
from occystrap_core.testing.sample import sample_image
from occystrap_docker.connection.answers import lines_of
from occystrap_docker.daemon.daemon import Daemon
from occystrap_docker.input import DockerInput
from tests.services.raw_server import RawServer, again, plain, raw_server
from tests.services.silent_listener import listener
from tests.unit.docker.fake_daemon import ENDLESS, FakeDaemon
from tests.unit.docker.layouts import legacy
from tests.unit.docker.runs import SETTINGS, pushed, read, write

HEADS = ['hang', 'trickling head', 'interim answers']
IN_TIME = 3.0
"""Seconds in which an answer that may take 0.3 must be given up, on a machine that does much else."""


LATE = 'did not answer in time while '
CLOSED = {'interim answers': '|the connection was closed|failed while pushing'}
"""Newer versions of Python take 100 interim answers and then give up."""


def ends_in_time(act: Callable[[], object], words: str = LATE, seconds: float = IN_TIME,
                 ) -> None:
    """Do something that must fail with one line, and soon."""
    before = time.monotonic()
    with pytest.raises(OccystrapError, match=words) as error:
        act()
    assert time.monotonic() - before < seconds and '\n' not in str(error.value)


@pytest.mark.parametrize('fault', HEADS)
@pytest.mark.parametrize('where', ['version', 'ping', 'tag'])
def test_heads_of_the_answers_to_a_copy(where: str, fault: str, daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.faults[where], daemon.hang = fault, 6.0
    ends_in_time(lambda: write(daemon, tmp_path), LATE + CLOSED.get(fault, ''))
    assert not daemon.tags


@pytest.mark.parametrize('where', ['ping', 'tag'])
@pytest.mark.parametrize('fault', ['trickling body', 'trickling chunk'])
def test_bodies_that_trickle(where: str, fault: str, daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.faults[where], daemon.hang = fault, 6.0
    ends_in_time(lambda: write(daemon, tmp_path))


@pytest.mark.parametrize('fault', HEADS)
def test_removing_has_the_time_that_it_is_given(fault: str, daemon: FakeDaemon) -> None:
    image = daemon.add(legacy(), 'sample:v1')
    daemon.tags['sample:v2'] = image.id
    daemon.faults['untag'], daemon.hang = fault, 6.0
    asked = Daemon({'socket': str(daemon.socket)}, Settings(timeout=60))
    ends_in_time(lambda: asked.untag(image.id, Reference('sample', 'v2'), 0.5), 'removing the tag sample:v2')


@pytest.mark.parametrize('fault', ['trickling head', 'interim answers', 'line without end'])
def test_a_push_that_never_begins(fault: str, daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.add(legacy(), 'sample:v1')
    daemon.faults['push'], daemon.hang = fault, 6.0
    ends_in_time(lambda: read(pushed(daemon, tmp_path)), 'stopped while pushing|a line of more than 1 MiB' +
                 CLOSED.get(fault, ''))
    assert not list(tmp_path.iterdir())


def test_a_line_without_end_after_a_load(daemon: FakeDaemon, tmp_path: Path) -> None:
    daemon.faults['load'], daemon.hang = 'line without end', 6.0
    ends_in_time(lambda: write(daemon, tmp_path), 'a line of more than 1 MiB', 9.0)  # it looks for what may be left


def test_lines_may_come_in_any_pieces() -> None:
    text = b'{"a": 1}\r\n\n{"b": 2}'
    for size in range(1, len(text) + 1):
        pieces = [text[start:start + size] for start in range(0, len(text), size)]
        assert list(lines_of(pieces)) == [b'{"a": 1}\r', b'', b'{"b": 2}']
    with pytest.raises(ServiceUnavailable, match='more than 1 MiB'):
        list(lines_of([b'x' * 100_000] * 20))


def test_an_archive_that_nobody_takes(daemon: FakeDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(self: Daemon, archive: object) -> Digest:
        time.sleep(6)
        raise ServiceError('too late')
    monkeypatch.setattr(Daemon, 'load', hang)
    ends_in_time(lambda: write(daemon, tmp_path, sample_image()), seconds=9.0)


def found_at(options: dict[str, str]) -> Callable[[], object]:
    """Return a call that reads the image x:v1 of the daemon there."""
    images = DockerInput(Location('docker', 'x:v1', options, {}), Settings(sync=False, timeout=SETTINGS.timeout))

    def act() -> object:
        try:
            return read(images.open(Reference('x', 'v1')))
        finally:
            images.close()
    return act


@pytest.mark.parametrize('tls', [{}, {'tls_verify': 'true'}], ids=['plain', 'tls'])
def test_a_host_that_accepts_and_says_nothing(tls: dict[str, str]) -> None:
    with listener(holds=True) as silent:
        ends_in_time(found_at({'host': f'tcp://{silent.host}', **tls}))


def test_a_tls_handshake_that_trickles() -> None:
    with raw_server() as server:
        server.greeting = again(b'\x16\x03\x03\x40\x00\x02', b'\x00', 0.02)
        ends_in_time(found_at({'host': f'tcp://{server.host}', 'tls_verify': 'true'}))


def answering(server: RawServer, path: str, fault: str) -> None:
    """Answer what is asked of a daemon, but for one path."""
    facts = b'{"Id": "sha256:%s", "RootFS": {"Layers": []}, "GraphDriver": {"Data": {"a": "b"}}}' % (b'a' * 64)
    server.answers = {'GET /version': plain(b'{"ApiVersion": "1.41"}'), 'GET /images/x:v1/json': plain(facts),
                      'GET /info': plain(b'{}'), f'GET /{path}': again(*ENDLESS[fault])}


@pytest.mark.parametrize('fault', ['trickling head', 'interim answers', 'trickling body', 'trickling chunk'])
@pytest.mark.parametrize('path', ['version', 'images/x:v1/json', f'images/sha256:{"a" * 64}/get'])
def test_reading_through_the_sdk_has_a_time_limit(path: str, fault: str) -> None:
    with raw_server() as server:
        answering(server, path, fault)
        ends_in_time(found_at({'host': f'tcp://{server.host}'}), LATE + CLOSED.get(fault, ''))


def test_no_redirect_is_followed() -> None:
    with raw_server() as server, raw_server() as other:
        answering(server, 'nothing', 'trickling head')
        server.answers['GET /version'] = plain(b'', {'Location': f'http://{other.host}/version'}, '307 Moved')
        ends_in_time(found_at({'host': f'tcp://{server.host}'}), 'refused connecting: status 307')
        assert not other.connections


@pytest.mark.parametrize('answer', ['', r'HTTP/1.1 100 Continue\r\n\r\n', 'x'], ids=['silent', 'interim', 'trickle'])
def test_ssh_that_goes_on_and_does_not_end_when_asked(answer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                      ) -> None:
    ssh = tmp_path / 'bin/ssh'
    ssh.parent.mkdir()
    ssh.write_text(f"#!/bin/bash\ntrap '' TERM\necho $$ >{tmp_path}/pid\n"
                   f"while :; do printf '{answer}'; sleep 0.02; done\n")
    ssh.chmod(0o755)
    monkeypatch.setenv('PATH', f'{ssh.parent}:{os.environ["PATH"]}')
    ends_in_time(found_at({'host': 'ssh://me@build'}), 'did not answer in time|failed while connecting')
    pid, until = int((tmp_path / 'pid').read_text()), time.monotonic() + 5
    while Path(f'/proc/{pid}').exists() and 'Z' not in Path(f'/proc/{pid}/stat').read_text().split()[2]:
        assert time.monotonic() < until, 'ssh goes on'
        time.sleep(0.05)
