"""A list of images that is damaged or lost may have named images of other programs: it is written again on request
only, and what is lost is reported."""
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from occystrap_core.testing.sample import sample_config, sample_layers
from tests.functional.archives import write_docker_archive
from tests.hostile.in_process import run_here
from tests.hostile.refusals import is_refused
from tests.unit.dir.directories import content

KINDS = {'layout': ('layout://{}', 'index.json'), 'dir': ('dir://{}?unique_names=true', 'catalog.json'),
         'mounts': ('mounts://{}', 'mount.json')}


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def emptied(path: Path) -> None:
    path.write_bytes(b'')


def another_document(path: Path) -> None:
    path.write_text('[]')


DAMAGE = [cut, emptied, another_document, Path.unlink]


@pytest.fixture
def sources(tmp_path: Path) -> list[str]:
    """Three images: of another program, of this one, and the one to come."""
    found = []
    for name in ('foreign', 'ours', 'third'):
        tars = sample_layers(name)
        found.append(f'tar://{write_docker_archive(tmp_path / name, sample_config(tars), tars, f"t/{name}:v1")}')
    return found


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """The directory that is written to."""
    return tmp_path / 'out'


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Each format with a list."""
    return str(request.param)


@pytest.fixture
def damaged(kind: str, sources: list[str], out: Path) -> Callable[..., tuple[str, str]]:
    """Writes two images, the first as if another program had; returns the destination and the name of its list."""
    def write(damage: Callable[[Path], object]) -> tuple[str, str]:
        template, listing = KINDS[kind]
        for number, source in enumerate(sources[:2]):
            run_here('process', source, template.format(out)).assert_success()
            if not number:
                for receipt in (out / '.occystrap/receipts').iterdir():
                    receipt.unlink()
        damage(out / listing)
        return template.format(out), listing
    return write


@pytest.mark.parametrize('damage', DAMAGE)
def test_a_list_that_is_damaged_or_lost_is_left_alone(damage: Callable[[Path], object], damaged: Callable[..., tuple[
        str, str]], sources: list[str], out: Path) -> None:
    uri, listing = damaged(damage)
    before = content(out)
    result = run_here('process', sources[2], uri)
    is_refused(result, f'{out}/{listing}', 'images', 'repair it, or add --rebuild-index')
    assert content(out) == before


@pytest.mark.parametrize('damage', DAMAGE)
@pytest.mark.parametrize('kind', ['layout'], indirect=True)
def test_images_that_lose_their_names_in_a_layout_stay(damage: Callable[[Path], object], damaged: Callable[..., tuple[
        str, str]], sources: list[str], out: Path) -> None:
    uri, listing = damaged(lambda path: None)
    entries = json.loads((out / listing).read_bytes())['manifests']
    foreign = entries[0]['digest']
    damage(out / listing)
    result = run_here('process', sources[2], uri, '--rebuild-index').assert_success()
    assert f'index.json was rebuilt from receipts, without the names that other programs gave; listed without a ' \
        f'name: {foreign}\n' in result.err
    again = json.loads((out / listing).read_bytes())['manifests']
    names = {each['digest']: each.get('annotations', {}).get('org.opencontainers.image.ref.name') for each in again}
    assert names[foreign] is None and sorted(filter(None, names.values())) == ['t/ours:v1', 't/third:v1']
    assert len(again) == 3
    run_here('process', f'layout://{out}@{foreign}', f'tar://{out}.tar').assert_success()
    run_here('process', sources[0].replace('foreign', 'third'), f'layout://{out}:t/ours:v1')  # replaces ours
    run_here('process', f'layout://{out}@{foreign}', f'tar://{out}.tar').assert_success()


@pytest.mark.parametrize('damage', DAMAGE)
@pytest.mark.parametrize('kind', ['dir'], indirect=True)
def test_images_in_a_directory_get_the_names_that_their_own_tags_give(
        damage: Callable[[Path], object], damaged: Callable[..., tuple[str, str]], sources: list[str],
        out: Path) -> None:
    uri, listing = damaged(damage)
    result = run_here('process', sources[2], uri, '--rebuild-index').assert_success()
    assert 'catalog.json was rebuilt from receipts, without names given by other programs; named by their own ' \
        'tags: manifest-t_foreign-v1.json\n' in result.err
    assert list(json.loads((out / listing).read_bytes())) == ['t/foreign', 't/ours', 't/third']


@pytest.mark.parametrize('damage', DAMAGE)
@pytest.mark.parametrize('kind', ['mounts'], indirect=True)
def test_mounts_that_receipts_list_are_restored(damage: Callable[[Path], object], damaged: Callable[..., tuple[
        str, str]], sources: list[str], out: Path) -> None:
    uri, listing = damaged(damage)
    result = run_here('process', sources[2], uri, '--rebuild-index').assert_success()
    assert 'mount.json was rebuilt from receipts: layers that they do not list will be removed\n' in result.err
    assert list(json.loads((out / listing).read_bytes())) == ['t/ours:v1', 't/third:v1']


def test_the_option_does_the_same_and_is_no_part_of_the_place(damaged: Callable[..., tuple[str, str]],
                                                              sources: list[str], out: Path) -> None:
    uri, listing = damaged(cut)
    rebuilding = f'{uri}{"&" if "?" in uri else "?"}rebuild_index=true'
    assert 'was rebuilt' in run_here('process', sources[2], rebuilding).assert_success().err
    assert not any('rebuild_index' in path.read_text() for path in (out / '.occystrap/receipts').iterdir())
    assert 'was rebuilt' not in run_here('process', sources[2], rebuilding).assert_success().err


def test_undamaged_files_are_not_written_again(kind: str, sources: list[str], out: Path,
                                               tmp_path: Path) -> None:
    uri, listing = KINDS[kind][0].format(out), KINDS[kind][1]
    for source in sources[:2]:
        result = run_here('process', source, uri, '--rebuild-index').assert_success()
        assert not result.errors
    other = tmp_path / 'other'
    for source in sources[:2]:
        run_here('process', source, KINDS[kind][0].format(other)).assert_success()
    assert (out / listing).read_bytes() == (other / listing).read_bytes()


def test_checksums_of_other_programs_are_kept(sources: list[str], out: Path) -> None:
    uri, line = f'dir://{out}?unique_names=true&checksums=true', f'{"a" * 64}  README\n'
    run_here('process', sources[0], uri).assert_success()
    sums = out / 'SHA256SUMS'
    sums.write_text(sums.read_text() + line)
    run_here('process', sources[1], uri).assert_success()
    assert line in sums.read_text() and 'manifest-t_ours-v1.json' in sums.read_text()
    sums.write_text(f'{"a" * 64} *README\n')
    before = content(out)
    is_refused(run_here('process', sources[2], uri), f'{out}/SHA256SUMS line 1', 'repair it, or remove it')
    assert content(out) == before
