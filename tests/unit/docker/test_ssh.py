"""docker:// through ssh, played by a script that keeps what it was asked and leads to the daemon beside it."""
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from occystrap_core import Location, OccystrapError, ServiceUnavailable, Settings, UsageError
from occystrap_docker.connection.address import find_address
from occystrap_docker.connection.client import connect
from occystrap_docker.input import DockerInput
from tests.unit.docker.fake_daemon import FakeDaemon
from tests.unit.docker.layouts import legacy
from tests.unit.docker.runs import SETTINGS, read

RELAY = """\
import os, socket, sys, threading
server = socket.socket(socket.AF_UNIX)
server.connect(sys.argv[1])
def pour(source, target):
    while piece := os.read(source, 1 << 16):
        os.write(target, piece)
    os._exit(0)
threading.Thread(target=pour, args=(0, server.fileno()), daemon=True).start()
pour(server.fileno(), 1)
"""
MakeSsh = Callable[[str], Path]


@pytest.fixture
def make_ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeSsh:
    """Puts a script before the real ssh; returns the file with the words of each call, a line each."""
    def make(body: str) -> Path:
        script, calls = tmp_path / 'bin/ssh', tmp_path / 'calls'
        script.parent.mkdir()
        script.write_text(f'#!/bin/sh\necho "$*" >> {calls}\n{body}\n')
        script.chmod(0o755)
        monkeypatch.setenv('PATH', f'{script.parent}:/usr/bin:/bin')
        return calls
    return make


def layers_of(**options: Any) -> int:
    """Read an image of the daemon that the options lead to; return how many layers came."""
    images = DockerInput(Location('docker', 'sample:v1', options, {}), Settings(sync=False, timeout=SETTINGS.timeout))
    try:
        return len(read(images.open(next(iter(images.references())))))
    finally:
        images.close()


def test_an_image_comes_through(make_ssh: MakeSsh, daemon: FakeDaemon, tmp_path: Path) -> None:
    (tmp_path / 'relay.py').write_text(RELAY)
    calls = make_ssh(f'exec {sys.executable} {tmp_path}/relay.py {daemon.socket}')
    daemon.add(legacy(), 'sample:v1')
    assert layers_of(host='ssh://me@build:2222') == 3
    assert calls.read_text().splitlines()[0] == (
        '-T -o BatchMode=yes -o ConnectTimeout=1 -l me -p 2222 -- build docker system dial-stdio')


@pytest.mark.parametrize(('options', 'end'), [
    ({'host': 'ssh://build'}, '-- build docker system dial-stdio'),
    ({'host': 'ssh://build/run/a b.sock'}, "-- build docker --host 'unix:///run/a b.sock' system dial-stdio"),
    ({'host': 'ssh://build', 'engine': 'podman'}, '-- build podman system dial-stdio'),
    ({'host': 'ssh://[::1]/p.sock', 'engine': 'podman'}, '-- ::1 podman --url unix:///p.sock system dial-stdio'),
])
def test_the_command_run_by_ssh(options: dict[str, str], end: str, make_ssh: MakeSsh) -> None:
    calls = make_ssh('exit 255')
    with pytest.raises(ServiceUnavailable):
        connect(find_address(options), Settings(timeout=2))
    assert calls.read_text().splitlines()[0].endswith(end)


@pytest.mark.parametrize(('body', 'words'), [
    ('echo "me@build: Permission denied (publickey)." >&2; exit 255',
     r'daemon at ssh://me@build: ssh says: me@build: Permission denied \(publickey\).'),
    ('exec sleep 60', 'the daemon at ssh://me@build did not answer in time while connecting: .*--timeout'),
])
def test_errors_of_ssh_are_reported_in_one_line(body: str, words: str, make_ssh: MakeSsh) -> None:
    make_ssh(body)
    with pytest.raises(ServiceUnavailable, match=words) as error:
        layers_of(host='ssh://me@build')
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('host', ['ssh://', 'ssh://a:port', 'ssh://a?b=c'])
def test_invalid_ssh_addresses(host: str, make_ssh: MakeSsh) -> None:
    make_ssh('exit 1')
    with pytest.raises(UsageError, match=r'is malformed: give ssh://'):
        connect(find_address({'host': host}), Settings(timeout=2))


def test_without_ssh_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('PATH', str(tmp_path))
    with pytest.raises(OccystrapError, match='openssh-client'):
        connect(find_address({'host': 'ssh://build'}), Settings(timeout=2))
