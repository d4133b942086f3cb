"""The `occystrap` command by forks of a process that has started already: for tests that run it hundreds of times."""
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.services import warm_server
from tests.services.command_line import CommandLine, CommandResult


@dataclass(frozen=True)
class WarmCommandLine:
    """Runs `occystrap` as a user: all that a start of its own would be, but for the start."""

    server: 'subprocess.Popen[str]'

    def __call__(self, folder: Path, home: Path, *arguments: str | Path, input: str = '') -> CommandResult:
        """Run `occystrap` in a folder; `home` is one that the user may write to, input and output go through it."""
        words, out, err = tuple(map(str, arguments)), home / 'out', home / 'err'
        (home / 'in').write_text(input)
        request = {'arguments': words, 'folder': str(folder), 'environment': CommandLine(folder).environment(),
                   'in': str(home / 'in'), 'out': str(out), 'err': str(err)}
        assert self.server.stdin and self.server.stdout
        self.server.stdin.write(json.dumps(request) + '\n')
        self.server.stdin.flush()
        code = self.server.stdout.readline()
        assert code, f'the process that runs occystrap ended with code {self.server.wait()}'
        return CommandResult(words, int(code), _read(out), _read(err))


@contextmanager
def warm_command_line(wrapper: tuple[str, ...]) -> Iterator[WarmCommandLine]:
    """Start the process, under `wrapper`, and end it."""
    command = [*wrapper, sys.executable, warm_server.__file__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd='/') as server:
        yield WarmCommandLine(server)
        assert server.stdin
        server.stdin.close()


def _read(path: Path) -> str:
    return path.read_text('utf-8', 'backslashreplace')
