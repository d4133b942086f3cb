"""A signal while a daemon is silent: the process ends immediately and leaves nothing behind."""
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import cycle, product
from pathlib import Path

import pytest

from tests.services.directories import service_directory
from tests.services.requirements import EVERYTHING
from tests.unit.docker.fake_daemon import fake_daemon
from tests.unit.docker.layouts import legacy


def interrupted(process: 'subprocess.Popen[str]', is_waiting: Callable[[], bool], seconds: float,
                number: signal.Signals = signal.SIGINT, code: int = 130) -> str:
    """Send a signal to a process that waits for its daemon; fail unless it ends in time, with that exit code.

    Return its standard error.
    """
    while not is_waiting() and process.poll() is None:
        time.sleep(0.05)
    time.sleep(0.3)
    process.send_signal(number)
    started = time.monotonic()
    output = process.communicate(timeout=20)[1]
    assert process.returncode == code and time.monotonic() - started < seconds, output
    return output


WAITING = [*((where, 'hang') for where in ('get', 'load', 'tag', 'inspect', 'push')),
           ('version', 'interim answers'), ('_ping', 'trickling head'), ('tag', 'interim answers')]
SIGNALS = [signal.SIGINT, signal.SIGTERM]


@pytest.mark.parametrize(('where', 'fault', 'number'), [
    (*each, number) for each, number in (product(WAITING, SIGNALS) if EVERYTHING else zip(WAITING, cycle(SIGNALS)))])
def test_a_signal_ends_it(where: str, fault: str, number: signal.Signals, tmp_path: Path) -> None:
    with service_directory('fake') as directory, fake_daemon(directory / 'docker.sock') as daemon:
        daemon.add(legacy(), 'sample:v1')
        daemon.faults[where.strip('_')], daemon.hang = fault, 30
        ends = [f'{scheme}://{name}:v1?socket={daemon.socket}'
                for scheme, name in (('dockerpush' if where == 'push' else 'docker', 'sample'), ('docker', 'other'))]
        process = subprocess.Popen([sys.executable, '-m', 'occystrap_core', 'process', *ends, '--temp-dir', tmp_path],
                                   stderr=subprocess.PIPE, text=True)
        path = '/json' if where == 'inspect' else where
        output = interrupted(process, lambda: any(path in request for request in daemon.requests), 2, number,
                             128 + number)
        assert 'occystrap: error: interrupted' in output
        assert set(daemon.tags) == {'sample:v1'} and not list(tmp_path.iterdir())


@pytest.mark.parametrize('command', [('check',), ('search',)])
def test_a_silent_daemon_does_not_hold_up_a_command_that_only_reads(command: tuple[str], tmp_path: Path) -> None:
    with service_directory('fake') as directory, fake_daemon(directory / 'docker.sock') as daemon:
        daemon.add(legacy(), 'sample:v1')
        daemon.faults.update(push='hang', untag='hang')
        daemon.hang = 30
        source = f'dockerpush://sample:v1?socket={daemon.socket}'
        process = subprocess.Popen(
            [sys.executable, '-m', 'occystrap_core', *command, source, *(['x'] if command == ('search',) else [])],
            stderr=subprocess.PIPE, text=True, env={**os.environ, 'TMPDIR': str(tmp_path)})
        output = interrupted(process, lambda: any('push' in request for request in daemon.requests), 3)
        assert 'temporary tag 127.0.0.1:' in output.splitlines()[-1] and not list(tmp_path.iterdir())


def test_a_signal_ends_ssh_that_does_not_end_when_asked(tmp_path: Path) -> None:
    ssh = tmp_path / 'bin/ssh'
    ssh.parent.mkdir()
    ssh.write_text(f"#!/bin/bash\ntrap '' TERM\necho $$ >{tmp_path}/pid\nwhile :; do sleep 0.1; done\n")
    ssh.chmod(0o755)
    env = {**os.environ, 'PATH': f'{ssh.parent}:{os.environ["PATH"]}'}
    process = subprocess.Popen([sys.executable, '-m', 'occystrap_core', 'process', 'docker://x?host=ssh://build',
                                f'tar://{tmp_path}/x.tar'], stderr=subprocess.PIPE, text=True, env=env)
    output = interrupted(process, (tmp_path / 'pid').exists, 2)
    assert 'occystrap: error: interrupted' in output
    left = Path('/proc', (tmp_path / 'pid').read_text().strip(), 'stat')
    until = time.monotonic() + 5
    while left.exists() and left.read_text().split()[2] != 'Z':
        assert time.monotonic() < until, 'ssh goes on'
        time.sleep(0.05)
