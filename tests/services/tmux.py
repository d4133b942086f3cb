"""A terminal of a given size in which a command runs, by tmux: what a user sees is read from its screen."""
import shlex
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.services.directories import service_directory
from tests.services.requirements import require_program

_PATIENCE = 20.0
"""Seconds after which a screen that should come is missed."""


@dataclass(frozen=True)
class Screen:
    """A terminal; its command has ended when the screen shows `(ended)`."""

    program: str
    socket: Path

    def text(self) -> str:
        """Return the lines on the screen, without what is blank at their end and at the end of all."""
        return self._tmux('capture-pane', '-p', '-t', 'screen').rstrip('\n')

    def resize(self, columns: int) -> None:
        """Give it another width."""
        self._tmux('resize-window', '-t', 'screen', '-x', str(columns))

    def wait_for(self, text: str, normalised: Callable[[str], str] = lambda text: text,
                 patience: float = _PATIENCE) -> None:
        """Wait until the screen, normalised, is this text; an AssertionError shows what it is instead."""
        until = time.monotonic() + patience
        while (seen := normalised(self.text())) != text and time.monotonic() < until:
            time.sleep(0.05)
        assert seen == text, f'expected:\n{text}\nseen:\n{seen}'

    def type(self, text: str) -> None:
        """Type text."""
        self._tmux('send-keys', '-t', 'screen', '-l', text)

    def wait_until(self, text: str) -> None:
        """Wait until the screen ends with this text."""
        self.wait_for(text, lambda seen: seen[-len(text):])

    def start(self, command: Sequence[str], columns: int, directory: Path, env: Mapping[str, str]) -> None:
        """Run a command."""
        line = f'{shlex.join(["env", *(f"{name}={value}" for name, value in env.items()), *command])}; echo "(ended)"'
        self._tmux('-f', '/dev/null', 'new-session', '-d', '-s', 'screen', '-x', str(columns), '-y', '24',
                   '-c', str(directory), f'{line}; exec sleep 1000')

    def close(self) -> None:
        """End it, and what runs in it."""
        self._tmux('kill-server')

    def _tmux(self, *words: str) -> str:
        return subprocess.run([self.program, '-u', '-S', self.socket, *words], check=True, capture_output=True,
                              encoding='utf-8').stdout


@contextmanager
def screen(command: Sequence[str], columns: int, directory: Path, env: Mapping[str, str]) -> Iterator[Screen]:
    """Run a command in a terminal of so many columns and 24 lines; raises ServiceUnavailable without tmux."""
    program = require_program('tmux')
    with service_directory('tmux') as place:
        found = Screen(program, place / 'socket')
        found.start(command, columns, directory, env)
        try:
            yield found
        finally:
            found.close()
