"""HOSTILE 57: invalid destinations are refused before a byte of a layer is read, and nothing in them changes."""
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.hostile.in_process import run_here
from tests.hostile.refusals import is_refused
from tests.hostile.writers.conftest import MakePlace
from tests.hostile.writers.images import NEW, OLD, Source
from tests.hostile.writers.places import IN_DIRECTORIES, READABLE, InDirectory, Place
from tests.services.command_line import CommandResult
from tests.services.registry import Registry

Copy = Callable[[str], CommandResult]
DIRECTORIES = [name for name in IN_DIRECTORIES if 'tar' not in name]
ARCHIVES = [name for name in IN_DIRECTORIES if 'tar' in name]


@pytest.fixture
def copy(source: Source, spool: Path) -> Iterator[Copy]:
    """Runs the command that copies the image to a destination; nothing may be read of its layers."""
    def run(destination: str) -> CommandResult:
        return run_here('process', source.uri, destination, '--temp-dir', spool)
    yield run
    assert source.layers_read() == {}, 'a layer was read'


def in_directory(make_place: MakePlace, above: Path | None = None) -> InDirectory:
    place = make_place(above)
    assert isinstance(place, InDirectory)
    return place


def file(path: Path) -> None:
    path.write_text('a file')


def directory(path: Path) -> None:
    path.mkdir()


def directory_of_others(path: Path) -> None:
    path.mkdir()
    (path / 'thesis.txt').write_text('mine')


def link_to_file(path: Path) -> None:
    path.with_name('victim').write_text('a file')
    path.symlink_to('victim')


def link_to_directory(path: Path) -> None:
    path.with_name('victim').mkdir()
    path.symlink_to('victim')


def dead_link(path: Path) -> None:
    path.symlink_to('nowhere')


def link_to_itself(path: Path) -> None:
    path.symlink_to('out')


BOTH = [os.mkfifo, link_to_file, dead_link, link_to_itself]


@pytest.mark.parametrize(('destination', 'make'), [
    *((name, make) for name in DIRECTORIES for make in [file, directory_of_others, *BOTH]),
    *((name, make) for name in ARCHIVES for make in [directory, directory_of_others, link_to_directory, *BOTH]),
], indirect=['destination'])
def test_57_a_target_of_another_kind_or_a_link(make: Callable[[Path], None], make_place: MakePlace, copy: Copy) -> None:
    place = in_directory(make_place)
    make(place.path)
    before = place.tree()
    is_refused(copy(place.uri), str(place.path))
    assert place.tree() == before


@pytest.mark.parametrize('destination', IN_DIRECTORIES, indirect=True)
def test_57_a_parent_that_is_missing_or_no_directory(make_place: MakePlace, tmp_path: Path, copy: Copy) -> None:
    (tmp_path / 'file').touch()
    for parent in ('missing', 'file'):
        place = in_directory(make_place, tmp_path / parent)
        is_refused(copy(place.uri), str(place.path))
    assert not (tmp_path / 'missing').exists() and (tmp_path / 'file').read_bytes() == b''


@pytest.mark.parametrize('destination', IN_DIRECTORIES, indirect=True)
def test_57_a_read_only_target(make_place: MakePlace, disk: Callable[..., Path], archives: dict[str, str],
                               copy: Copy) -> None:
    place = in_directory(make_place, disk(size='1m'))
    subprocess.run(['mount', '-o', 'remount,ro', place.above], check=True)
    is_refused(copy(place.uri), str(place.path))
    subprocess.run(['mount', '-o', 'remount,rw', place.above], check=True)
    run_here('process', archives[OLD], place.uri).assert_success()
    before = place.tree()
    subprocess.run(['mount', '-o', 'remount,ro', place.above], check=True)
    is_refused(copy(place.uri), str(place.path))
    assert place.tree() == before


@pytest.mark.parametrize('destination', READABLE, indirect=True)
def test_57_the_source_as_destination(place: Place, archives: dict[str, str]) -> None:
    run_here('process', archives[OLD], place.uri).assert_success()
    before = place.tree()
    source = place.uri.partition('?')[0] if isinstance(place, InDirectory) else place.uri  # options are the writer's
    is_refused(run_here('process', source, place.uri), 'same place', code=2)
    if isinstance(place, InDirectory):
        link = place.above.with_name(f'{place.above.name}-link')
        link.symlink_to(place.above)
        is_refused(run_here('process', source, place.template.format(f'{link}/out')), 'same place', code=2)
    assert place.tree() == before


@pytest.mark.parametrize('destination', [name for name in DIRECTORIES if name.startswith('dir')], indirect=True)
@pytest.mark.parametrize('planted', ['.occystrap', 'layer', 'layer.tar', 'catalog.json', 'manifest.json'])
def test_57_links_planted_in_a_directory_lead_nowhere(planted: str, place: Place, archives: dict[str, str],
                                                      ) -> None:
    assert isinstance(place, InDirectory)
    run_here('process', archives[OLD], place.uri).assert_success()
    outside = place.above.parent / 'outside'
    layer = max(place.path.glob('*/layer.tar'), key=lambda path: path.stat().st_size)
    manifest = next(place.path.glob('manifest*.json'))
    victim = {'layer': layer.parent, 'layer.tar': layer, 'manifest.json': manifest}.get(planted, place.path / planted)
    victim.rename(outside)
    victim.symlink_to(outside)
    before = {path: path.read_bytes() for path in [outside, *outside.rglob('*')] if path.is_file()}
    result = run_here('process', archives[NEW], place.uri)
    assert result.code == 0 or is_refused(result, str(place.path)) is None
    assert {path: path.read_bytes() for path in [outside, *outside.rglob('*')] if path.is_file()} == before


def test_57_a_registry_that_requires_a_login(private_registry: Registry, copy: Copy) -> None:
    before = private_registry.blobs()
    is_refused(copy(f'registry://{private_registry.host}/writers/app:v1'), private_registry.host)
    assert private_registry.blobs() == before


def test_57_a_daemon_that_is_not_there(tmp_path: Path, copy: Copy) -> None:
    is_refused(copy(f'docker://app:v1?socket={tmp_path}/no.sock'), f'{tmp_path}/no.sock')
