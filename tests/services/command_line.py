"""The `occystrap` command, run as its users run it: as a process of its own, which need not have started by itself."""
import atexit
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from io import FileIO
from pathlib import Path
from threading import Lock
from typing import Any

from tests.services import warm_server
from tests.services.requirements import EVERYTHING


@dataclass(frozen=True)
class CommandResult:
    """What the command left: exit code, standard output and standard error as text."""

    arguments: tuple[str, ...]
    code: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        """The lines of standard error but for the end of a run: its summary, and how to resume."""
        return errors_in(self.err)

    def assert_success(self) -> 'CommandResult':
        """Fails the test, with all output, unless the exit code is 0."""
        return self.assert_code(0)

    def assert_code(self, code: int) -> 'CommandResult':
        """Fails the test, with all output, unless the exit code is `code`."""
        assert self.code == code, f'exit code {self.code} instead of {code}\n{self}'
        return self

    def json(self) -> Any:
        """Standard output as JSON; fails the test, with all output, if it is none."""
        try:
            return json.loads(self.out)
        except ValueError as problem:
            raise AssertionError(f'no JSON on standard output: {problem}\n{self}') from problem

    def __str__(self) -> str:
        command = ' '.join(['occystrap', *self.arguments])
        return f'$ {command}\n--- standard output\n{self.out}\n--- standard error\n{self.err}'


def errors_in(text: str) -> list[str]:
    """The lines of what was printed on standard error but for the end of a run: its summary, and how to resume."""
    return [line for line in text.splitlines() if not line.startswith(('Summary: ', 'Resume: '))]


@dataclass(frozen=True)
class CommandLine:
    """Runs `occystrap` in `directory`, with a home of its own and none of the caller's OCCYSTRAP_… variables.

    A run is in the fork of a process that has started already, which is all that a start would be, but for the start;
    `fresh` runs start by themselves, and so does what is run under a wrapper, or with variables for the interpreter.
    """

    directory: Path

    def __call__(
        self, *arguments: str | Path, input: str = '', env: Mapping[str, str] | None = None, timeout: float = 300.0,
        wrapper: tuple[str, ...] = (), fresh: bool = False,
    ) -> CommandResult:
        """Runs `occystrap` with the arguments, under `wrapper`; `env` adds variables, `timeout` is in seconds."""
        words = tuple(map(str, arguments))
        environment = {**self.environment(), **(env or {})}
        if not (wrapper or fresh or any(name.startswith(_OF_THE_INTERPRETER) for name in env or {})):
            with _idle_process() as idle:
                if idle:
                    return idle.captured(words, self.directory, environment, input, timeout)
        done = subprocess.run(
            [*wrapper, sys.executable, '-m', 'occystrap_core', *words], cwd=self.directory, env=environment,
            input=input, capture_output=True, encoding='utf-8', errors='backslashreplace', timeout=timeout,
        )
        return CommandResult(words, done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str | Path, stderr: int = subprocess.DEVNULL) -> 'subprocess.Popen[bytes]':
        """Starts `occystrap` with the arguments, its output nowhere, or `stderr` where asked, for a test to end it."""
        return subprocess.Popen(
            [sys.executable, '-m', 'occystrap_core', *map(str, arguments)], cwd=self.directory, env=self.environment(),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr)

    def start_fork(self, *arguments: str | Path) -> 'WarmRun':
        """The same as the fork of a process that has started already, for a test to kill it where it works."""
        process, lock = process_of_all()
        with lock:
            return process.start(tuple(map(str, arguments)), self.directory, self.environment(), lock)

    def environment(self) -> dict[str, str]:
        """Return the variables: the machine's, but for a home of its own."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(('OCCYSTRAP_', 'XDG_'))}
        home = self.directory / 'home'
        home.mkdir(parents=True, exist_ok=True)
        return {**kept, 'HOME': str(home), 'DOCKER_CONFIG': str(home / '.docker')}


_OF_THE_INTERPRETER = ('PYTHON', 'LC_', 'LANG')


@dataclass(frozen=True)
class WarmCommandLine:
    """Runs `occystrap` by forks of the process `server`, one after the other; see `warm_server.py`.

    A fork is kept for the next run if the last one has left it as it was, unless each is to have its own. With `user`
    it is that user's.
    """

    server: 'subprocess.Popen[bytes]'
    kept: bool
    user: int | None = None

    def __call__(self, directory: Path, home: Path, *arguments: str | Path, input: str = '') -> CommandResult:
        """Run `occystrap` in a directory; `home` is one that its user may write to, input and output go through it."""
        words, (given, out, err) = tuple(map(str, arguments)), (home / name for name in ('in', 'out', 'err'))
        given.write_text(input)
        code = self._run(words, directory, CommandLine(directory).environment(), (given, out, err))
        return CommandResult(words, code, *(path.read_text('utf-8', 'backslashreplace') for path in (out, err)))

    def captured(self, words: tuple[str, ...], directory: Path, environment: Mapping[str, str], input: str,
                 timeout: float) -> CommandResult:
        """Run `occystrap` in a directory, with its streams in memory; raises TimeoutExpired after `timeout` seconds."""
        with ExitStack() as stack:
            files = [stack.enter_context(open(os.memfd_create(name), 'rb+', 0)) for name in ('in', 'out', 'err')]
            files[0].write(input.encode())
            code = self._run(words, directory, environment, list(map(_shown, files)), timeout)
            written = [os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0) for file in files[1:]]
        return CommandResult(words, code, *(text.decode('utf-8', 'backslashreplace') for text in written))

    def start(self, words: tuple[str, ...], directory: Path, environment: Mapping[str, str], lock: Lock) -> 'WarmRun':
        """Start `occystrap` in a directory, its standard error in memory; `lock` is for whoever uses the server."""
        errors = open(os.memfd_create('err'), 'rb+', 0)
        nothing = Path(os.devnull)
        self._ask(words, directory, environment, (nothing, nothing, _shown(errors)), under_way=True)
        return WarmRun(self, self._number(), errors, lock)

    def code_of(self, child: int) -> int:
        """Return the exit code of a process that was started, and has ended."""
        assert self.server.stdin
        self.server.stdin.write(json.dumps({'ended': child}).encode() + b'\n')
        return self._number()

    def _ask(self, words: tuple[str, ...], directory: Path, environment: Mapping[str, str], streams: Sequence[Path],
             **more: bool) -> None:
        request = {'arguments': words, 'directory': str(directory), 'environment': dict(environment),
                   'streams': list(map(str, streams)), 'user': self.user, **more}
        assert self.server.stdin
        self.server.stdin.write(json.dumps(request).encode() + b'\n')

    def _run(self, words: tuple[str, ...], directory: Path, environment: Mapping[str, str], streams: Sequence[Path],
             timeout: float = 300.0) -> int:
        self._ask(words, directory, environment, streams, kept=self.kept)
        child = self._number()
        assert self.server.stdout
        if select.select([self.server.stdout], [], [], timeout)[0]:
            return self._number()
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        self._number()
        raise subprocess.TimeoutExpired(['occystrap', *words], timeout)

    def _number(self) -> int:
        """Return the number on the next line, of which no more is read: select does not see what is in a buffer."""
        assert self.server.stdout
        line = self.server.stdout.readline()
        assert line, f'the process that runs occystrap ended with code {self.server.wait()}'
        return int(line)


class WarmRun:
    """A run of `occystrap` that is under way: what tests use of Popen. Whoever starts it must wait for it."""

    def __init__(self, command: WarmCommandLine, number: int, errors: FileIO, lock: Lock) -> None:
        self._command, self._number, self._errors, self._lock = command, number, errors, lock
        self._handle = os.pidfd_open(number)
        self._code: int | None = None

    def kill(self) -> None:
        """Kill it, if it has not come to its end."""
        self.send(signal.SIGKILL)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it has not come to its end."""
        if self.poll() is None:
            signal.pidfd_send_signal(self._handle, number)

    def poll(self) -> int | None:
        """Return the exit code, None while it runs."""
        return self.wait() if self._code is not None or select.select([self._handle], [], [], 0)[0] else None

    def wait(self) -> int:
        """Wait for its end, and return the exit code; that of a killed one is negative."""
        if self._code is None:
            select.select([self._handle], [], [])
            with self._lock:
                self._code = self._command.code_of(self._number)
            os.close(self._handle)
        return self._code

    def errors(self) -> str:
        """Wait for its end, and return what it wrote to standard error."""
        self.wait()
        with self._errors:
            return self.said()

    def said(self) -> str:
        """Return what it has written to standard error so far."""
        number = self._errors.fileno()
        return os.pread(number, os.fstat(number).st_size, 0).decode('utf-8', 'backslashreplace')


def _shown(file: FileIO) -> Path:
    """Return a path by which another process opens a file that has none."""
    return Path(f'/proc/{os.getpid()}/fd/{file.fileno()}')


@contextmanager
def warm_command_line(wrapper: tuple[str, ...] = (), kept: bool = not EVERYTHING) -> Iterator[WarmCommandLine]:
    """Start the process that runs the command, under `wrapper`, and end it; `kept`: see WarmCommandLine."""
    command = [*wrapper, sys.executable, warm_server.__file__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd='/', bufsize=0) as server:
        yield WarmCommandLine(server, kept)
        assert server.stdin
        server.stdin.close()


def shared_command_line(user: int | None = None) -> WarmCommandLine:
    """Return the process that all tests of this one share, whose forks are those of `user`."""
    return replace(process_of_all()[0], user=user)


@cache
def process_of_all() -> tuple[WarmCommandLine, Lock]:
    """Return the process that all tests of this one share, and the lock for whoever has it run something."""
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(warm_command_line()), Lock()


@contextmanager
def _idle_process() -> Iterator[WarmCommandLine | None]:
    """Give the one process that all tests of this one share, or None while another thread's run is under way in it."""
    process, lock = process_of_all()
    is_mine = lock.acquire(blocking=False)
    try:
        yield process if is_mine else None
    finally:
        if is_mine:
            lock.release()
