"""The installed `occystrap` command, run as its users run it: as a process of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class CommandResult:
    """What the command left: exit code, standard output and standard error as text."""

    arguments: tuple[str, ...]
    code: int
    out: str
    err: str

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


@dataclass(frozen=True)
class CommandLine:
    """Runs `occystrap` in `folder`, with a home of its own and none of the caller's OCCYSTRAP_… variables."""

    folder: Path

    def __call__(
        self, *arguments: str | Path, input: str = '', env: Mapping[str, str] | None = None, timeout: float = 300.0,
        wrapper: tuple[str, ...] = (),
    ) -> CommandResult:
        """Runs `occystrap` with the arguments, under `wrapper`; `env` adds variables, `timeout` is in seconds."""
        words = tuple(map(str, arguments))
        environment = {**self.environment(), **(env or {})}
        done = subprocess.run(
            [*wrapper, sys.executable, '-m', 'occystrap_core', *words], cwd=self.folder, env=environment, input=input,
            capture_output=True, encoding='utf-8', errors='backslashreplace', timeout=timeout,
        )
        return CommandResult(words, done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str | Path, stderr: int = subprocess.DEVNULL) -> 'subprocess.Popen[bytes]':
        """Starts `occystrap` with the arguments, its output nowhere, or `stderr` where asked, for a test to end it."""
        return subprocess.Popen(
            [sys.executable, '-m', 'occystrap_core', *map(str, arguments)], cwd=self.folder, env=self.environment(),
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr)

    def environment(self) -> dict[str, str]:
        """Return the variables: the machine's, but for a home of its own."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(('OCCYSTRAP_', 'XDG_'))}
        home = self.folder / 'home'
        home.mkdir(parents=True, exist_ok=True)
        return {**kept, 'HOME': str(home), 'DOCKER_CONFIG': str(home / '.docker')}
