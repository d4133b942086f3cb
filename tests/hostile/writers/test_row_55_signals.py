"""HOSTILE 55: a signal ends it within 2 seconds, with the exit code of that signal; nothing half-written is left."""
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path

import pytest

from occystrap_core.testing.sample import sample_image
from tests.hostile.in_process import run_here
from tests.hostile.writers.conftest import MakePlace
from tests.hostile.writers.images import NEW, OLD
from tests.hostile.writers.places import DESTINATIONS, IN_DIRECTORIES, Place, without_kept
from tests.services.command_line import CommandLine, errors_in
from tests.unit.registry.images import serve
from tests.unit.registry.scripted import Request, Answer, Scripted

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
IMAGE = sample_image()
SILENT = f'/v2/app/blobs/{IMAGE.layers[2].descriptor.digest}'  # type: ignore[union-attr]


@pytest.fixture
def stalling() -> Iterator[Scripted]:
    """A registry that gives an image's first two layers, and of the third nothing."""
    def hang(request: Request) -> Answer:
        time.sleep(25)
        return Answer(500)
    with Scripted() as server:
        serve(server, IMAGE)
        server.routes[f'GET {SILENT}'] = hang
        yield server


@pytest.mark.parametrize(('destination', 'number'), list(zip(DESTINATIONS, cycle(CODES))), indirect=['destination'])
def test_55_in_mid_copy(number: signal.Signals, place: Place, stalling: Scripted, archives: dict[str, str],
                        occystrap: CommandLine, spool: Path) -> None:
    run_here('process', archives[OLD], place.uri).assert_success()
    before = place.tree()
    command = ['process', f'registry://{stalling.host}/app:v1', place.uri, '--temp-dir', str(spool), '--force']
    process = occystrap.start(*command, stderr=subprocess.PIPE)
    while not stalling.received('GET', SILENT):
        assert process.poll() is None
        time.sleep(0.01)
    time.sleep(0.1)
    process.send_signal(number)
    sent = time.monotonic()
    output = process.communicate(timeout=20)[1].decode()
    assert process.returncode == CODES[number] and time.monotonic() - sent < 2, output
    assert len(errors_in(output)) == 1 and 'interrupted; nothing half-written was left behind' in output
    assert place.tree() == before


def test_55_at_random_points(make_place: MakePlace, archives: dict[str, str], occystrap: CommandLine, spool: Path,
                             ) -> None:
    place, twin, chances = make_place(), make_place(), random.Random(55)
    run_here('process', archives[OLD], place.uri).assert_success()
    for source in archives.values():
        run_here('process', source, twin.uri).assert_success()
    before, after = place.tree(), twin.tree()
    for point, (number, code) in enumerate(CODES.items()):
        process = occystrap.start('process', archives[NEW], place.uri, '--temp-dir', spool, stderr=subprocess.PIPE)
        while process.poll() is None and not _handles(process.pid, signal.SIGTERM):
            time.sleep(0.01)  # before that Python ends in its own way
        time.sleep(chances.uniform(0, 0.4))
        process.send_signal(number)
        output = process.communicate(timeout=20)[1].decode()
        ended = process.returncode
        assert ended in (code, 0), f'point {point}: {output}'
        found = without_kept(place.tree())
        changed = sorted(path for path in found.keys() | before.keys() if found.get(path) != before.get(path))
        context = f'point {point}, exit code {ended}: half of it is there: {changed}'
        assert found in ([after] if ended == 0 else [before, after]), context


def _handles(process: int, number: signal.Signals) -> bool:
    """Whether a process that has not been waited for has set a function of its own for a signal."""
    status = Path(f'/proc/{process}/status').read_text()
    caught = next((int(line.split()[1], 16) for line in status.splitlines() if line.startswith('SigCgt:')), 0)
    return bool(caught >> (number - 1) & 1)


@pytest.mark.parametrize('destination', IN_DIRECTORIES, indirect=True)
def test_55_beside_a_change_of_a_file(make_place: MakePlace, archives: dict[str, str], occystrap: CommandLine,
                                      spool: Path) -> None:
    place, twin, chances = make_place(), make_place(), random.Random(55)
    run_here('process', archives[OLD], place.uri).assert_success()
    for source in archives.values():
        run_here('process', source, twin.uri).assert_success()
    before, after = place.tree(), twin.tree()

    def run(number: int, to: Place) -> 'subprocess.CompletedProcess[str]':
        script = Path(__file__).with_name('interrupted_run.py')
        command = [sys.executable, script, str(number), 'process', archives[NEW], to.uri, '--temp-dir', spool]
        return subprocess.run(command, env=occystrap.environment(), capture_output=True, text=True)
    changes = int(run(-1, make_place()).stderr.splitlines()[-1])
    every = os.environ.get('OCCYSTRAP_TEST_ALL') == '1'
    for number in range(changes) if every else sorted(chances.sample(range(changes), min(3, changes))):
        done = run(number, place)
        assert done.returncode in (0, 130) and len(errors_in(done.stderr)) == 1 + (done.returncode == 130), done.stderr
        found = without_kept(place.tree())
        changed = sorted(path for path in found.keys() | before.keys() if found.get(path) != before.get(path))
        assert found in [before, after][done.returncode == 0:], f'change {number}, half of it is there: {changed}'
        if found == after:
            run_here('process', archives[OLD], place.uri).assert_success()
            assert place.tree() == before
