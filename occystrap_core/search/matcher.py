"""Matching the paths in layers: by globs or a regular expression."""
import re
import select
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import NoReturn

from occystrap_core.cancellation import Cancellation
from occystrap_core.errors import OccystrapError, UsageError
from occystrap_core.search import regex_child
from occystrap_core.search.regex_child import DONE, MEMORY, NUMBER, TOO_SLOW
from occystrap_core.settings import Settings
from occystrap_core.tar.globs import Globs

_LOOK = 0.1
_LONGEST = 30
"""Seconds for one path."""


class Regex:
    """A regular expression, searched in paths or other names by programs that can be killed.

    Python's own may take years for forty characters, and no other thread of the process runs meanwhile.
    """

    def __init__(self, pattern: str, settings: Settings) -> None:
        """Raises UsageError for an invalid regular expression."""
        try:
            re.compile(pattern)
        except (re.error, RecursionError, OverflowError) as error:
            raise UsageError(f'{pattern!r} is not a regular expression: {error}') from None
        self._pattern, self._cancellation = pattern, settings.cancellation
        self._idle: list[_Program] = []
        self._all: list[_Program] = []
        self._lock = threading.Lock()
        settings.shared.get(self, lambda: self)  # closed at the end of the run

    def which(self, paths: Sequence[bytes]) -> Sequence[int]:
        """Return for each path whether the expression matches; raises OccystrapError, Cancelled."""
        with self._lock:
            program = self._idle.pop() if self._idle else None
        if program is None:
            program = _Program(self._pattern, self._cancellation)
            self._all.append(program)
        found = program.which(paths)
        with self._lock:
            self._idle.append(program)
        return found

    def close(self) -> None:
        """End the programs."""
        for program in self._all:
            program.close()


class _Program:
    """One program; it works on one batch of paths at a time."""

    def __init__(self, pattern: str, cancellation: Cancellation) -> None:
        command = [sys.executable, '-I', '-S', regex_child.__file__]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         stderr=subprocess.DEVNULL, bufsize=0, start_new_session=True)
        self._cancellation = cancellation
        self._send(NUMBER.pack(_LONGEST) + _sized(pattern.encode('utf-8', 'surrogateescape')))

    def which(self, paths: Sequence[bytes]) -> bytes:
        """Return a byte for each path, 1 if the expression matches; raises OccystrapError, Cancelled."""
        self._send(NUMBER.pack(len(paths)) + b''.join(map(_sized, paths)))
        if (said := self._read(1)) == DONE:
            return self._read(len(paths))
        path = paths[NUMBER.unpack(self._read(NUMBER.size))[0]]
        why = f'takes more than {_LONGEST} s' if said == TOO_SLOW else f'takes more than {MEMORY >> 20} MiB of memory'
        shown = path[:100].decode('utf-8', 'backslashreplace')
        raise OccystrapError(f'the regular expression {why} for a name of {len(path)} bytes that begins with '
                             f'{shown!r}: write it with fewer repetitions, or as a pattern')

    def close(self) -> None:
        """End the program, even while it works."""
        self._process.kill()
        self._process.wait()

    def _send(self, data: bytes) -> None:
        assert self._process.stdin
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._process.stdin.write(rest) or 0:]
        except OSError:
            self._raise_gone()

    def _read(self, size: int) -> bytes:
        assert self._process.stdout
        data = b''
        while len(data) < size:
            while not select.select([self._process.stdout], [], [], _LOOK)[0]:
                self._cancellation.check()
            piece = self._process.stdout.read(size - len(data))
            if not piece:
                self._raise_gone()
            data += piece
        return data

    def _raise_gone(self) -> NoReturn:
        self._cancellation.check()
        raise OccystrapError('the program that searches the regular expression ended: is there too little memory?')


def _sized(text: bytes) -> bytes:
    return NUMBER.pack(len(text)) + text


Matches = Globs | Regex


def matcher(pattern: str, regex: bool, settings: Settings) -> Matches:
    """Return the matcher for `pattern`: one regular expression, or globs with commas between; raises UsageError.

    A regular expression may match anywhere in the path, which has no leading slash.
    """
    if regex:
        return Regex(pattern, settings)
    return Globs([glob for glob in pattern.split(',') if glob] or [pattern], below=False)
