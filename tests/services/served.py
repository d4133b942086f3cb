"""`occystrap serve` and `occystrap proxy` as users run them: processes, which say where they listen."""
import re
import subprocess
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.services.command_line import CommandLine


@dataclass
class Served:
    """A running registry: `host` is its address and port, `lines` what it printed when it had started."""

    process: 'subprocess.Popen[bytes]'
    lines: list[str] = field(default_factory=list)

    @property
    def host(self) -> str:
        """Return address and port."""
        found = re.search(r' at https?://(\S+): ', self.lines[-1])
        assert found, self.lines
        return found[1]

    def hear(self) -> str:
        """Wait for the next line."""
        assert self.process.stderr
        self.lines.append(self.process.stderr.readline().decode().rstrip('\n'))
        return self.lines[-1]

    def stop(self) -> int:
        """Ask it to stop; return its exit code."""
        self.process.terminate()
        return self.process.wait(30)


def served(occystrap: CommandLine, *options: str | Path) -> AbstractContextManager[Served]:
    """Run `occystrap serve` with options on a free port, until the block ends."""
    return _running(occystrap, 'serve', *options)


def proxied(occystrap: CommandLine, *options: str | Path) -> AbstractContextManager[Served]:
    """Run `occystrap proxy` in the same way."""
    return _running(occystrap, 'proxy', *options)


@contextmanager
def _running(occystrap: CommandLine, command: str, *options: str | Path) -> Iterator[Served]:
    with occystrap.start(command, '--listen', '127.0.0.1:0', *options, stderr=subprocess.PIPE) as process:
        registry = Served(process)
        try:
            registry.hear()
            yield registry
        finally:
            process.kill()
