"""Signals at bad moments: the process ends within two seconds, with the signal's code, and no verdict."""
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from occystrap_core import Cancelled, Image, OutputError, Settings, VerifyLevel
from occystrap_core.errors import OccystrapError
from occystrap_core.pipeline.abortion import Abortion
from occystrap_core.receipts.destination_check import verify_receipt
from occystrap_core.testing.sample import sample_config, sample_layers
from tests.functional.archives import write_docker_archive
from tests.services.command_line import errors_in
from tests.unit.core.pipeline.memory import IMAGES, memory_plugins, offer
from tests.unit.core.pipeline.test_run import process

HEAD = 'import signal, time\nfrom occystrap_core.cli import main\ndef ready(): print("ready", flush=True)\n'
RUN = '\nmain._run = run\nmain.main([])\n'
STUCK = '''
def run(arguments):
    import ctypes
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM, signal.SIGHUP})
    ready()
    ctypes.CDLL(None).sleep(30)  # no instruction of Python's, and no signal that would break it off
'''
SWALLOWED = '''
def run(arguments):
    try:
        ready()
        time.sleep(30)
    except BaseException:
        pass
    time.sleep(30)
'''
FINALIZER = '''
class Slow:
    def __del__(self):
        ready()
        time.sleep(30)
def run(arguments):
    Slow()
    time.sleep(30)
'''
WRAPPED = '''
class Slow:
    def __set_name__(self, owner, name):
        ready()
        time.sleep(0.5)
def run(arguments):
    try:
        class Made:
            field = Slow()
    except Exception as error:  # as where modules of plugins are imported
        print('occystrap: error: it cannot be loaded:', error)
        return 1
    time.sleep(30)
'''
HANGING = '''
def run(arguments):
    try:
        ready()
        time.sleep(30)
    finally:
        time.sleep(30)
'''
TELLING = '''
def run(arguments):
    ready()
    time.sleep(30)
'''
VERIFYING = '''
import occystrap_core.pipeline.image_endings as endings
def verify_receipt(plugins, receipt, level, settings):
    from occystrap_core.receipts.destination_check import verify_receipt
    ready()
    def verify(**asked):
        while True:
            settings.cancellation.wait(0.01)
    hooks = list(plugins.hooks('verify_output'))
    plugins.hooks = lambda name: ((plugin, verify) for plugin, _ in hooks)
    return verify_receipt(plugins, receipt, level, settings)
endings.verify_receipt = verify_receipt
original = main._run
def run(arguments):
    return original(['process', 'tar://HERE/i.tar', 'tar://HERE/o.tar', '-q'])
'''


def start(script: str, *wrapper: str) -> 'subprocess.Popen[str]':
    """Start a program whose command is the script's `run`; it has begun when this returns."""
    command = [*wrapper, sys.executable, '-c', HEAD + script + RUN]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout and process.stdout.readline() == 'ready\n'
    time.sleep(0.05)
    return process


def assert_ends(process: 'subprocess.Popen[str]', code: int, within: float = 2.0) -> str:
    """Fail unless the process ends in time, with the code and one line of error; return that."""
    since = time.monotonic()
    try:
        output = process.communicate(timeout=10)[1]
    finally:
        process.kill()
    assert process.returncode == code and time.monotonic() - since < within, output
    assert 'occystrap: error: interrupted' in output
    return output


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize('script', [STUCK, SWALLOWED, FINALIZER, WRAPPED, TELLING])
def test_at_bad_moments(script: str, number: signal.Signals) -> None:
    process = start(script)
    process.send_signal(number)
    assert_ends(process, 128 + number)


def test_a_second_signal_ends_what_cleans_up_forever() -> None:
    process = start(HANGING)
    process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)  # the same, sent to the group and by the shell: it is cleaning up still
    time.sleep(2)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert 'left for the next run' in assert_ends(process, 143, 1.0)


def test_nohup_is_respected(program: Callable[..., str]) -> None:
    process = start(TELLING, program('nohup', 'coreutils'))
    process.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert_ends(process, 143)


def test_while_verifying_there_is_no_verdict(tmp_path: Path) -> None:
    tars = sample_layers()
    write_docker_archive(tmp_path / 'i.tar', sample_config(tars), tars, 'a:b')
    process = start(VERIFYING.replace('HERE', str(tmp_path)))
    process.send_signal(signal.SIGINT)
    output = assert_ends(process, 130)
    line, = errors_in(output)
    assert 'verified' not in line.lower() and '0/1 verified' in output


@pytest.mark.parametrize('error', [Cancelled('interrupted'), KeyboardInterrupt()])
def test_a_verifier_that_is_cancelled_finds_nothing(error: BaseException) -> None:
    def verify_output(**request: object) -> None:
        raise error
    receipt = process(offer('one')).images[0].receipt
    plugins = memory_plugins()
    plugins.hooks = lambda name: iter([(plugins.all[0], verify_output)])  # type: ignore[method-assign]
    assert receipt
    with pytest.raises(type(error)):
        verify_receipt(plugins, receipt, VerifyLevel.FAST, Settings())


def test_a_part_that_was_given_up_fails_its_image_alone() -> None:
    def given_up() -> Image:
        raise Cancelled('writing was given up')
    source = offer('one', 'two')
    IMAGES['two'] = given_up
    report = process(source)
    assert [image.failure for image in report.images] == ['', 'writing was given up']


def test_an_abort_that_is_given_up_hides_no_reason() -> None:
    class Output:
        def abort(self) -> None:
            raise Cancelled('too late')
    reason = OutputError('the disk broke')
    Abortion(Output()).abort(reason)  # type: ignore[arg-type]
    assert 'too late' in str(reason)


def test_no_except_clause_for_failures_takes_it() -> None:
    assert not issubclass(Cancelled, Exception) and not issubclass(Cancelled, OccystrapError)
    assert Cancelled.exit_code == 130
