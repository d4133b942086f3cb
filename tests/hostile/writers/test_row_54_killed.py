"""HOSTILE 54: killed at any moment, what is there is the old image or the new one, and a rerun gives the same tree as
if nothing had happened."""
import math
import os
import random
import signal
import time
from pathlib import Path

from tests.hostile.in_process import run_here
from tests.hostile.writers.conftest import MakePlace
from tests.hostile.writers.images import NEW, OLD, Source
from tests.hostile.writers.places import DESTINATIONS, Place, Tree, without_kept
from tests.services.command_line import CommandLine, WarmRun

POINTS = math.ceil(int(os.environ.get('OCCYSTRAP_TEST_KILLS', '50')) / len(DESTINATIONS))
"""How often each kind of destination is killed; all together at least 50 times, or as often as the variable says."""
SEED = int(os.environ.get('OCCYSTRAP_TEST_SEED', '54'))


class Runs:
    """Runs of the command into one place, whole ones and killed ones."""

    def __init__(self, place: Place, source: Source, occystrap: CommandLine, spool: Path) -> None:
        self.place, self._source, self._occystrap = place, source, occystrap
        self._command = ['process', source.uri, place.uri, '--temp-dir', str(spool)]

    def write(self, variant: str) -> Tree:
        """Write an image, and return the tree, without what is kept of a killed run."""
        self._source.show(variant)
        summary = run_here(*self._command).assert_success().err.splitlines()[-1]
        assert summary.endswith('1/1 verified'), summary
        return without_kept(self.place.tree())

    def seconds(self, variant: str) -> float:
        """How long the command works for an image, from its first request to its end."""
        process = self._start(variant)
        begun = time.monotonic()
        assert process.wait() == 0
        return time.monotonic() - begun

    def kill(self, variant: str, after: float) -> None:
        """Kill the command so many seconds after its first request; it may have come to its end."""
        process = self._start(variant)
        time.sleep(after)
        process.kill()
        assert process.wait() in (0, -signal.SIGKILL)

    def _start(self, variant: str) -> WarmRun:
        self._source.show(variant)
        self._source.proxy.requests.clear()
        process = self._occystrap.start_fork(*self._command)
        while not self._source.proxy.requests and process.poll() is None:
            time.sleep(0.001)
        return process


def test_54_killed_at_random_points_and_run_again(make_place: MakePlace, source: Source, occystrap: CommandLine,
                                                  tmp_path: Path) -> None:
    spool = tmp_path / 'temporary'  # a daemon's writer has its archive there, and nothing removes it after a kill
    spool.mkdir()
    chances = random.Random(SEED)
    twin = Runs(make_place(), source, occystrap, spool)
    trees, seen = {OLD: twin.write(OLD)}, {OLD: twin.place.seen()}
    usual = twin.seconds(NEW)
    trees[NEW], seen[NEW] = twin.place.tree(), twin.place.seen()
    runs, before = Runs(make_place(), source, occystrap, spool), Tree()
    for point in range(POINTS):
        variant, after = [OLD, NEW][point % 2], chances.uniform(0, usual)
        context = f'OCCYSTRAP_TEST_SEED={SEED}, point {point}: {variant} killed after {after:.3f} of {usual:.3f} s'
        runs.kill(variant, after)
        assert runs.place.seen() in [before, seen[variant]], f'{context}: half an image is there'
        assert runs.write(variant) == trees[variant], f'{context}: the rerun made another tree'
        before = runs.place.seen()
