"""`occystrap` for shells: a program in PATH whose words are run by forks of the process that all tests share."""
import json
import os
import signal
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.services.command_line import CommandResult, WarmRun, process_of_all, shared_command_line

SECONDS = 20.0
"""How long a server may take to start, and to stop."""


class ShellCommands:
    """Runs what it is told by the program `occystrap` in `directory`, which belongs into PATH.

    `serve` and `proxy` stay under way, as in a terminal of their own, until another one is started, which would want
    the same port, or `gc`, which wants the storage for itself.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._server: WarmRun | None = None

    def run(self, words: tuple[str, ...], place: Path, environment: Mapping[str, str], given: str, user: int,
            ) -> CommandResult:
        """Run a command of a user, with `given` as its input."""
        process, lock = process_of_all()
        if words[:1] in (('serve',), ('proxy',), ('gc',)):
            self.stop()
            if words[0] != 'gc':
                with lock:
                    self._server = process.start(words, place, environment, lock)
                return _when_it_listens(self._server, words)
        with lock:
            if user != os.getuid():
                return shared_command_line(user)(place, Path(environment['HOME']), *words, input=given)
            return process.captured(words, place, environment, given, 300.0)

    def stop(self) -> None:
        """Stop the server, if there is one, as Ctrl-C does."""
        server, self._server = self._server, None
        if server:
            server.send(signal.SIGINT)
            _wait_until(lambda: server.poll() is not None)
            server.kill()
            server.errors()


@contextmanager
def shell_commands(directory: Path) -> Iterator[ShellCommands]:
    """Make `directory`, with a program `occystrap` that works until the end of the block.

    The program tells its words, directory, variables and, behind a pipe, its input to a thread of this process.
    """
    directory.mkdir()
    commands = ShellCommands(directory)
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
    with suppress(OSError):
        while True:
            asked = listening.accept()[0]
            with asked, asked.makefile() as lines:
                words, directory, environment, given = json.loads(lines.readline())
                user = struct.unpack('3i', asked.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[1]
                done = commands.run(tuple(words), Path(directory), environment, given, user)
                asked.sendall(json.dumps([done.code, done.out, done.err]).encode() + b'\n')


def _when_it_listens(server: WarmRun, words: tuple[str, ...]) -> CommandResult:
    _wait_until(lambda: ' at http' in server.said() or server.poll() is not None)
    return CommandResult(words, server.poll() or 0, '', server.said())


def _wait_until(true: Callable[[], bool]) -> None:
    until = time.monotonic() + SECONDS
    while not true() and time.monotonic() < until:
        time.sleep(0.01)
