"""HOSTILE 52: a disk that is full, or a limit on file sizes, is one clear line, and what was there before still is."""
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hostile.in_process import run_here
from tests.hostile.refusals import is_refused
from tests.hostile.writers.conftest import MakePlace
from tests.hostile.writers.images import NEW, OLD
from tests.hostile.writers.places import IN_DIRECTORIES, InDirectory, Place
from tests.services.command_line import CommandLine

LIMIT = ('bash', '-c', 'ulimit -f 300; exec "$@"', 'limited')
"""300 KiB: more than any file of the old image's, less than the new image's largest."""
SIZES = {True: '768k', False: '256k'}
"""Of disks: for what becomes a file or a directory there; for a layer that passes through on its way to elsewhere."""
SPOOLED = ('-f', 'normalize-timestamps')
"""What makes a layer's size unknown before its end, so that one for a daemon passes through a temporary file."""


@pytest.fixture
def large(place: Place, archives: dict[str, str], tmp_path: Path) -> str:
    """The source NEW, which fails at the destination itself if that is a file or a directory: its blobs are ready."""
    if not isinstance(place, InDirectory):
        return archives[NEW]
    run_here('process', archives[NEW], f'tar://{tmp_path}/blobs.tar?format=oci').assert_success()
    return f'tar://{tmp_path}/blobs.tar'


def test_52_a_limit_on_file_sizes(place: Place, archives: dict[str, str], large: str, occystrap: CommandLine,
                                  spool: Path) -> None:
    run_here('process', archives[OLD], place.uri).assert_success()
    before = place.tree()
    filters = SPOOLED if place.uri.startswith('docker:') else ()
    result = occystrap('process', large, place.uri, '--temp-dir', spool, *filters, wrapper=LIMIT)
    is_refused(result, 'File too large', str(place.path if isinstance(place, InDirectory) else spool))
    assert place.tree() == before


@pytest.mark.parametrize('was', ['empty', 'an old image'])
def test_52_a_small_file_system(was: str, destination: str, make_place: MakePlace, disk: Callable[..., Path],
                                archives: dict[str, str], occystrap: CommandLine) -> None:
    full = disk(SIZES[destination in IN_DIRECTORIES])
    place = make_place(full)
    filters = SPOOLED if destination == 'docker' else ()
    if was == 'an old image':
        run_here('process', archives[OLD], place.uri).assert_success()
    before = place.tree()
    result = occystrap('process', archives[NEW], place.uri, '--temp-dir', full, *filters)
    is_refused(result, 'No space left', str(full))
    assert place.tree() == before and len(list(full.iterdir())) == (isinstance(place, InDirectory) and bool(before))


@pytest.mark.parametrize('destination', ['tar', 'tar oci', 'dir'], indirect=True)
def test_52_a_device_as_target(place: Place, archives: dict[str, str]) -> None:
    assert isinstance(place, InDirectory)
    is_refused(run_here('process', archives[NEW], place.template.format('/dev/full')), '/dev/full')


@pytest.mark.parametrize('destination', ['dir', 'tar'], indirect=True)
def test_52_receipts_on_a_full_disk(place: Place, archives: dict[str, str], occystrap: CommandLine) -> None:
    result = occystrap('process', archives[NEW], place.uri, '--receipt', '/dev/full')
    is_refused(result, '/dev/full', 'No space left')
    assert Path('/dev/full').is_char_device() and not Path('/dev/full.partial').exists()


@pytest.mark.parametrize('destination', ['dir', 'tar'], indirect=True)
def test_52_standard_output_on_a_full_disk(place: Place, archives: dict[str, str], occystrap: CommandLine) -> None:
    result = occystrap('process', archives[NEW], place.uri, '-O', 'json',
                       wrapper=('bash', '-c', 'exec "$@" >/dev/full', 'full'))
    is_refused(result, 'No space left')
