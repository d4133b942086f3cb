"""Faults below the program: a library loaded before the C library, and the plan that says which call fails, and how."""
import ctypes
import errno
import hashlib
import mmap
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path, PurePath

from tests.services.cache import built_once
from tests.services.requirements import ServiceUnavailable, require_program

SOURCE = Path(__file__).with_name('shim.c')
KINDS = ('open', 'write', 'truncate', 'sync', 'rename', 'link', 'make', 'remove', 'close', 'attribute', 'lock')
SHORT = -1
"""Instead of an errno: the call does half of what it was asked to."""
_LOG = 1 << 20
_NEVER_THE_SAME = re.compile(r'[0-9a-f]{8,}|#\d+')


class How(Enum):
    """At one call; at it and all later ones, where a first write still does half; at every other one."""

    ONCE, FROM, ALTERNATE = range(3)


class _Layout(ctypes.Structure):
    _fields_ = [('root', ctypes.c_char * 4096), *((name, ctypes.c_int) for name in (
        'target', 'how', 'fault', 'kinds', 'calls', 'failed', 'used')), ('log', ctypes.c_char * _LOG)]


@dataclass(frozen=True)
class Call:
    """A call that was counted."""

    kind: str
    function: str
    path: str

    def site(self, root: Path) -> tuple[str, ...]:
        """What is the same for all calls made for the same reason: no digests, no random names, no tree's insides."""
        parts = PurePath(_NEVER_THE_SAME.sub('*', str(PurePath(self.path).relative_to(root)))).parts
        shown = next((number for number, part in enumerate(parts) if '*' in part), len(parts)) + 2
        return self.function, *parts[:shown], *(['…'] if parts[shown:] else [])


@dataclass(frozen=True)
class Fault:
    """What calls get instead of what they asked for: an errno, or SHORT, at the call of this number."""

    error: int
    call: int
    how: How = How.ONCE
    kinds: tuple[str, ...] = KINDS

    def __str__(self) -> str:
        name = errno.errorcode.get(self.error, 'SHORT')
        return f'{name} {self.how.name.lower()} {self.call}'


class Plan:
    """The file that the shim reads; `environment` is for the program that is to have it."""

    def __init__(self, path: Path, library: Path) -> None:
        with path.open('w+b') as file:
            os.ftruncate(file.fileno(), ctypes.sizeof(_Layout))
            self._shared = _Layout.from_buffer(mmap.mmap(file.fileno(), 0))
        self.environment = (f'LD_PRELOAD={library}', f'OCCYSTRAP_FAULTS={path}')

    @contextmanager
    def watching(self, root: Path, fault: Fault | None = None) -> Iterator[None]:
        """Count what is done below `root` meanwhile, and have those calls fail that `fault` says."""
        shared = self._shared
        shared.calls = shared.failed = shared.used = 0
        shared.target = -1
        if fault:
            shared.how, shared.fault = fault.how.value, fault.error
            shared.kinds = sum(1 << KINDS.index(kind) for kind in fault.kinds)
            shared.target = fault.call
        shared.root = os.fsencode(root)
        try:
            yield
        finally:
            shared.root = b''

    @property
    def failed(self) -> int:
        """How many calls failed, or were short."""
        return int(self._shared.failed)

    def calls(self) -> list[Call]:
        """What was counted, in order."""
        assert self._shared.used <= _LOG, 'more calls than there is room for'
        log = ctypes.string_at(ctypes.addressof(self._shared) + _Layout.log.offset, self._shared.used)
        return [Call(*line.split(' ', 2)) for line in os.fsdecode(log).splitlines()]


def compiled() -> Path:
    """Return the library, compiled once for each version of its source; raises ServiceUnavailable without gcc."""
    compiler = require_program('gcc', 'gcc libc6-dev')

    def build(directory: Path) -> None:
        done = subprocess.run([compiler, '-O2', '-Wall', '-Wextra', '-shared', '-fPIC', '-o', directory / 'shim.so',
                               SOURCE, '-ldl'], capture_output=True, text=True)
        if 'No such file' in done.stderr:
            raise ServiceUnavailable('the C library has no headers here: apt-get install libc6-dev')
        assert not done.returncode, done.stderr
    return built_once('fault-shim', hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:16], build) / 'shim.so'
