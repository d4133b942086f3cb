"""Every call that a copy makes below its destination fails once, in each way: nothing is lost, nothing called a success
that is none.

The calls are those that make, fill, flush, rename, mark, lock, remove or close files. See shim.c for which, choice.py
for the faults; OCCYSTRAP_TEST_ALL=1 tries every call with every fault.
"""
from pathlib import Path

import pytest

from tests.hostile.faults.ground import CopyGround
from tests.hostile.faults.images import LARGE, SMALL, write_archives
from tests.hostile.faults.shim import Plan
from tests.hostile.writers.images import NEW, OLD
from tests.hostile.writers.places import InDirectory, MountedDirectory, ReadableDirectory
from tests.services.command_line import WarmCommandLine

LARGE_LAYERS = 'layout of a large layer'
FORMATS: dict[str, tuple[type[InDirectory], str, *tuple[str, ...]]] = {
    'dir': (ReadableDirectory, 'dir://{}'),
    'dir of several': (ReadableDirectory, 'dir://{}?unique_names=true'),
    'dir expanded': (ReadableDirectory, 'dir://{}?expand=true'),
    'dir with checksums': (ReadableDirectory, 'dir://{}?checksums=true', '--verify=full'),
    'layout': (ReadableDirectory, 'layout://{}'),
    LARGE_LAYERS: (ReadableDirectory, 'layout://{}'),
    'oci': (InDirectory, 'oci://{}'),
    'mounts': (MountedDirectory, 'mounts://{}'),
    'tar': (InDirectory, 'tar://{}'),
    'tar oci': (InDirectory, 'tar://{}?format=oci&compression=zstd', '--verify=full'),
}
"""What is looked at for the image, how users name it, and what else is asked for."""
SHARES = {LARGE_LAYERS: 2, 'dir of several': 2, 'dir with checksums': 2, 'dir expanded': 3, 'mounts': 3}
"""Where most calls are those of another format, one in so many faults is tried."""
NEEDED = {'open', 'write', 'sync', 'rename', 'close'}
"""What a copy into any format does: should one of these be made past the shim, it would see nothing of it."""


@pytest.mark.parametrize('was', ['an older image', 'nothing'])
@pytest.mark.parametrize('name', FORMATS)
def test_a_fault_at_each_call(name: str, was: str, directory: Path, run: WarmCommandLine, plan: Plan) -> None:
    kind, template, *options = FORMATS[name]
    place = kind(directory / 'root', template, is_directory=not name.startswith('tar'))
    archives = write_archives(directory, LARGE if name == LARGE_LAYERS else SMALL)
    ground = CopyGround(directory, run, plan, archives[NEW], place, *options)
    if was != 'nothing':
        ground.command('process', archives[OLD], place.uri).assert_success()
    calls = ground.begin()
    assert {call.kind for call in calls} >= NEEDED
    problems = ground.problems(calls, share=SHARES.get(name, 1) if was != 'nothing' else 3)
    assert not problems, problems
