"""Commands that do the same work, run in turn, and what each took."""
import os
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tests.services.registry import plain_registry

_ENVIRONMENT = {name: value for name, value in os.environ.items() if name != 'PYTHONDONTWRITEBYTECODE'}
"""Without bytecode every start would compile what has changed since the program was installed."""
_SKOPEO_CACHE = Path('/var/lib/containers/cache/blob-info-cache-v1.boltdb')
"""Where skopeo remembers which registry has which blob, as root; older ones use it, newer ones the one below."""


@dataclass(frozen=True)
class Taken:
    """What one command took: seconds, seconds of the processor, and resident MB at most."""

    wall: float
    cpu: float
    resident: float


@dataclass(frozen=True)
class Job:
    """One piece of work; each command gets the directory to write to and the host of an empty registry."""

    name: str
    commands: dict[str, Callable[[Path, str], Sequence[object]]]
    registry: bool = False
    unavoidable: tuple[str, ...] = ()
    """The names of the floors (benchmarks/floors.py) that no program can go below."""


class Measured(NamedTuple):
    """What each program took at a job, round by round, ours first; and the wall seconds that it cannot go below."""

    job: str
    taken: dict[str, list[Taken]]
    limit: float | None = None


Provide = Callable[[bool], AbstractContextManager[tuple[Path, str]]]
"""Gives an empty directory and, where wanted, the host of an empty registry."""


def take(command: Sequence[object]) -> Taken:
    """Run a command and return what it took; ends the program when it fails."""
    with tempfile.TemporaryFile() as output, tempfile.NamedTemporaryFile('r') as resident:
        # By a small process between: what a program takes over from the one that starts it counts as its own memory.
        words = ['time', '-f', '%M', '-o', resident.name, *map(str, command)]
        started = time.perf_counter()
        process = subprocess.Popen(words, stdout=output, stderr=output, env=_ENVIRONMENT)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        if process.returncode:
            raise SystemExit(f'{words} failed: {output.read().decode()}')
        return Taken(wall, usage.ru_utime + usage.ru_stime, int(resident.read()) / 1024)


@contextmanager
def place(registry: bool) -> Iterator[tuple[Path, str]]:
    """Give an empty directory and, where wanted, an empty registry; nothing unwritten is left to disturb the next."""
    for cache in (_SKOPEO_CACHE, _SKOPEO_CACHE.with_suffix('.sqlite')):
        cache.unlink(missing_ok=True)
    directory = Path(tempfile.mkdtemp(prefix='occystrap-benchmark-'))
    try:
        if registry:
            with plain_registry(directory / 'storage') as empty:
                yield directory, empty.host
        else:
            yield directory, ''
    finally:
        shutil.rmtree(directory)
        os.sync()


def in_turn(job: Job, rounds: int, provide: Provide = place) -> dict[str, list[Taken]]:
    """Run a job's commands in turn, `rounds` times, the first of each round alternating; return what each took."""
    taken: dict[str, list[Taken]] = {name: [] for name in job.commands}
    for number in range(rounds):
        for name in list(job.commands)[::1 if number % 2 else -1]:
            with provide(job.registry) as (directory, host):
                taken[name].append(take(job.commands[name](directory, host)))
    return taken


def chosen(jobs: Sequence[Job], words: Sequence[str]) -> list[Job]:
    """Return the jobs whose names contain one of the words; all without words."""
    return [job for job in jobs if is_chosen(job.name, words)]


def is_chosen(job: str, words: Sequence[str]) -> bool:
    """Return whether the name of a job contains one of the words, or there are none."""
    return not words or any(word in job for word in words)


def medians(taken: Sequence[Taken]) -> Taken:
    """Return the medians of time, and the highest peak."""
    wall, cpu = (statistics.median(getattr(each, what) for each in taken) for what in ('wall', 'cpu'))
    return Taken(wall, cpu, max(each.resident for each in taken))


def table(taken: Mapping[str, Sequence[Taken]]) -> str:
    """Return the medians as a table of Markdown, with each wall time as a multiple of the first."""
    found = {name: medians(each) for name, each in taken.items()}
    ours = next(iter(found.values())).wall
    lines = ['| program | wall s | CPU s | resident MB | wall, as a multiple of the first |',
             '| --- | --- | --- | --- | --- |',
             *(f'| {name} | {each.wall:.2f} | {each.cpu:.2f} | {each.resident:.0f} | {each.wall / ours:.2f} |'
               for name, each in found.items())]
    return '\n'.join(lines)
