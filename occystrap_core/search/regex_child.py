"""A program that searches a regular expression in paths: it may take forever for one, and can then be killed.

Input: the limit of seconds for one path, the expression, then any number of batches of paths. Numbers have four bytes,
each text is preceded by its length, each batch by its number of paths. Output for each batch: DONE and a byte for each
path, or an error and its path.
"""
import os
import re
import resource
import signal
import struct
import sys
from types import FrameType

DONE, TOO_SLOW, TOO_MUCH = b'\0', b'\1', b'\2'
MEMORY = 512 << 20
"""The memory limit of the program, in bytes."""
NUMBER = struct.Struct('>I')


class TooSlow(Exception):
    """A path took too long."""


class Watch:
    """Checks every second, even while an expression is matched, how long a path takes and whether the parent still
    lives."""

    def __init__(self, longest: int) -> None:
        self.path, self._seen, self._ticks, self._longest = 0, 0, 0, longest
        self._parent = os.getppid()
        signal.signal(signal.SIGALRM, self._tick)
        signal.setitimer(signal.ITIMER_REAL, 1, 1)

    def _tick(self, number: int, frame: FrameType | None) -> None:
        if os.getppid() != self._parent:
            os._exit(1)
        self._ticks = self._ticks + 1 if self._seen == self.path else 0
        self._seen = self.path
        if self.path and self._ticks >= self._longest:
            raise TooSlow


def main() -> None:
    """Answer batches until there are no more."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    watch = Watch(_number())
    search = re.compile(_text()).search
    while number := sys.stdin.buffer.read(NUMBER.size):
        paths = [_text() for _ in range(NUMBER.unpack(number)[0])]
        sys.stdout.buffer.write(_answer(search, paths, watch))
        sys.stdout.buffer.flush()
        watch.path = 0


def _answer(search: 're._SearchMethod', paths: list[str], watch: Watch) -> bytes:  # type: ignore[name-defined]
    found = bytearray(len(paths))
    try:
        for place, path in enumerate(paths):
            watch.path += 1
            found[place] = search(path) is not None
    except (TooSlow, MemoryError, RecursionError) as error:
        return (TOO_SLOW if isinstance(error, TooSlow) else TOO_MUCH) + NUMBER.pack(watch.path - 1)
    return DONE + found


def _number() -> int:
    return int(NUMBER.unpack(sys.stdin.buffer.read(NUMBER.size))[0])


def _text() -> str:
    return sys.stdin.buffer.read(_number()).decode('utf-8', 'surrogateescape')


if __name__ == '__main__':
    main()
