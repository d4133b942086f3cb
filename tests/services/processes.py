"""Long-running processes: start, wait until ready, stop by process id."""

import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.services.requirements import ServiceUnavailable, require_program

STOP_SECONDS = 20.0
POLL_SECONDS = 0.01


@contextmanager
def running(
    command: Sequence[str],
    *,
    log: Path,
    ready: Callable[[], bool],
    seconds: float = 60.0,
    environment: Mapping[str, str] | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """Runs `command` with its output in `log`, entered once `ready()` is true, stopped at the end.

    Raises ServiceUnavailable with the log's end if the process ends early or is not ready after `seconds`.
    """
    process = _start(command, log, environment)
    try:
        _wait(process, command, log, ready, seconds)
        yield process
    finally:
        stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """Ends the process: politely, then after 20 seconds by force."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def last_lines(log: Path, count: int = 15) -> str:
    """The end of a log, for failure messages."""
    return '\n'.join(log.read_text(errors='replace').splitlines()[-count:])


def _start(command: Sequence[str], log: Path, environment: Mapping[str, str] | None) -> subprocess.Popen[bytes]:
    # The kernel ends the service with us, so that a killed test run leaves no daemon behind.
    tied = [require_program('setpriv', 'util-linux'), '--pdeathsig', 'TERM', '--', *command]
    with log.open('ab') as output:
        return subprocess.Popen(
            tied, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            env=environment, start_new_session=True,
        )


def _wait(
    process: subprocess.Popen[bytes], command: Sequence[str], log: Path, ready: Callable[[], bool], seconds: float,
) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        if process.poll() is not None:
            raise ServiceUnavailable(f'{command[0]} ended with code {process.returncode}:\n{last_lines(log)}')
        if time.monotonic() > deadline:
            raise ServiceUnavailable(f'{command[0]} was not ready after {seconds:.0f} seconds:\n{last_lines(log)}')
        time.sleep(POLL_SECONDS)
