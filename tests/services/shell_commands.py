"""`occystrap` for shells: a program in PATH whose words are run by forks of the process that all tests share."""
import json
import os
import re
import signal
import socket
import struct
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.services.command_line import CommandResult, WarmRun, process_of_all, shared_command_line

LISTENS = re.compile(r'^(Serving|A proxy for) .* at https?://', re.MULTILINE)
"""What a server says once it listens."""


class ShellCommands:
    """Runs what it is told by the program `occystrap` in `directory`, which belongs into PATH.

    `serve` and `proxy` stay under way, as in a terminal of their own, until another one is started, which would want
    the same port, or `gc`, which wants the storage for itself. It may take `seconds` to start, and to stop.
    """

    def __init__(self, directory: Path, seconds: float = 20.0) -> None:
        self.directory = directory
        self.seconds = seconds
        self.server: WarmRun | None = None

    def run(self, words: tuple[str, ...], place: Path, environment: Mapping[str, str], given: str, user: int,
            ) -> CommandResult:
        """Run a command of a user, with `given` as its input."""
        process, lock = process_of_all()
        if words[:1] in (('serve',), ('proxy',), ('gc',)):
            self.stop()
            if words[0] != 'gc':
                with lock:
                    self.server = process.start(words, place, environment, lock)
                return self._when_it_listens(self.server, words)
        with lock:
            if user != os.getuid():
                return shared_command_line(user)(place, Path(environment['HOME']), *words, input=given)
            return process.captured(words, place, environment, given, 300.0)

    def stop(self) -> None:
        """Stop the server, if there is one, as Ctrl-C does; fails unless it exits with 0, and in time."""
        server, self.server = self.server, None
        if server:
            server.send(signal.SIGINT)
            self._wait_until(lambda: server.poll() is not None)
            server.kill()
            said = server.errors()
            assert server.wait() == 0, f'the server was stopped, and ended with {server.wait()}:\n{said}'

    def _when_it_listens(self, server: WarmRun, words: tuple[str, ...]) -> CommandResult:
        self._wait_until(lambda: LISTENS.search(server.said()) or server.poll() is not None)
        if server.poll() is None and LISTENS.search(server.said()):
            return CommandResult(words, 0, '', server.said())
        self.server, ended = None, server.poll()
        server.kill()
        why = f'no server after {self.seconds:.0f} s' if ended is None else f'no server: it ended with {ended}'
        return CommandResult(words, ended or 1, '', f'{server.errors()}{why}\n')

    def _wait_until(self, true: Callable[[], object]) -> None:
        until = time.monotonic() + self.seconds
        while not true() and time.monotonic() < until:
            time.sleep(0.01)


@contextmanager
def shell_commands(directory: Path, seconds: float = 20.0) -> Iterator[ShellCommands]:
    """Make `directory`, with a program `occystrap` that works until the end of the block.

    The program tells its words, directory, variables and, behind a pipe, its input to a thread of this process.
    """
    directory.mkdir()
    commands = ShellCommands(directory, seconds)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(directory / 'socket'))
        listening.listen()
        (directory / 'socket').chmod(0o777)
        program, python = directory / 'occystrap', os.path.realpath(sys.executable)
        program.write_text(_PROGRAM.format(python=python, socket=str(directory / 'socket')))
        program.chmod(0o755)
        threading.Thread(target=_serve, args=(listening, commands), daemon=True).start()
        try:
            yield commands
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            commands.stop()


_PROGRAM = '''#!{python} -IS
import json, os, socket, stat, sys
given = sys.stdin.read() if stat.S_ISFIFO(os.fstat(0).st_mode) else ''
with socket.socket(socket.AF_UNIX) as asked:
    asked.connect({socket!r})
    asked.sendall(json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ), given]).encode() + b'\\n')
    code, out, err = json.loads(asked.makefile().readline())
sys.stdout.write(out)
sys.stderr.write(err)
sys.exit(code)
'''


def _serve(listening: socket.socket, commands: ShellCommands) -> None:
    while True:
        try:
            asked = listening.accept()[0]
        except OSError:  # it was shut down
            return
        with asked, suppress(OSError):
            try:
                done = _answer(asked, commands)
            except Exception:  # whatever it is, the next command gets its answer
                done = CommandResult((), 1, '', traceback.format_exc())
            asked.sendall(json.dumps([done.code, done.out, done.err]).encode() + b'\n')


def _answer(asked: socket.socket, commands: ShellCommands) -> CommandResult:
    with asked.makefile() as lines:
        words, directory, environment, given = json.loads(lines.readline())
    user = struct.unpack('3i', asked.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1]
    return commands.run(tuple(words), Path(directory), environment, given, user)
