"""HOSTILE 53: existing files are checked before they are trusted: a rerun repairs a damaged target."""
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hostile.in_process import run_here
from tests.hostile.writers.images import OLD
from tests.hostile.writers.places import DESTINATIONS, IN_DIRECTORIES, InDirectory, Place


@pytest.fixture
def rerun(place: Place, archives: dict[str, str]) -> Callable[..., None]:
    """Writes the image; then again, after damage, which must give the same tree as before.

    A damaged list of images is rebuilt on request only, see test_lists_of_others.py, and so are unpacked files that
    are not as they were written, see test_changed_trees.py: a user may have worked there.
    """
    run_here('process', archives[OLD], place.uri).assert_success()
    whole = place.tree()

    def run(level: str, what: str) -> None:
        options = f'--verify={level}', '--rebuild-index', '--force'
        result = run_here('process', archives[OLD], place.uri, *options).assert_success()
        assert result.err.splitlines()[-1].endswith('1/1 verified'), result
        assert place.tree() == whole, f'after {what} a rerun did not make it whole again'
    return run


def emptied(path: Path) -> None:
    path.write_bytes(b'')


def shortened(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def lengthened(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b'\0')


@pytest.mark.parametrize('destination', IN_DIRECTORIES, indirect=True)
@pytest.mark.parametrize('damage', [Path.unlink, shortened])
def test_53_each_file_damaged(damage: Callable[[Path], None], place: Place, rerun: Callable[..., None]) -> None:
    for path in place.files():
        damage(path)
        rerun('fast', f'{path} {damage.__name__}')


@pytest.mark.parametrize('destination', IN_DIRECTORIES, indirect=True)
@pytest.mark.parametrize('damage', [Path.unlink, emptied, lengthened])
def test_53_all_files_damaged(damage: Callable[[Path], None], place: Place, rerun: Callable[..., None]) -> None:
    assert isinstance(place, InDirectory)
    for path in [*place.files(), *place.path.glob('.occystrap/receipts/*')]:
        damage(path)
    rerun('fast', f'all files {damage.__name__}')


@pytest.mark.parametrize('destination', IN_DIRECTORIES, indirect=True)
def test_53_a_flipped_byte_in_each_file(place: Place, rerun: Callable[..., None]) -> None:
    for path in place.files():
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
        rerun('full', f'{path} flipped')


@pytest.mark.parametrize('destination', [name for name in IN_DIRECTORIES if 'tar' not in name], indirect=True)
def test_53_a_link_instead_of_each_file(place: Place, rerun: Callable[..., None], tmp_path: Path) -> None:
    for path in place.files():
        if path.name in ('index.json', 'mount.json') or path.name == 'catalog.json' and 'unique_names' in place.uri:
            continue  # a list that may name other images is not replaced
        path.rename(tmp_path / 'aside')
        path.symlink_to(tmp_path / 'aside')
        content = path.read_bytes()
        rerun('fast', f'{path} replaced by a link')
        assert (tmp_path / 'aside').read_bytes() == content


@pytest.mark.parametrize('destination', ['registry'], indirect=True)
def test_53_blobs_that_a_registry_lost(place: Place, rerun: Callable[..., None]) -> None:
    for path in place.files():
        path.unlink()
        rerun('fast', f'{path} removed')


@pytest.mark.parametrize('destination', ['registry'], indirect=True)
@pytest.mark.parametrize(('damage', 'level'), [(shortened, 'fast'), (emptied, 'fast'), (shortened, 'full')])
def test_53_blobs_that_a_registry_damaged_are_never_called_verified(
        damage: Callable[[Path], None], level: str, place: Place, archives: dict[str, str]) -> None:
    run_here('process', archives[OLD], place.uri).assert_success()
    whole = place.tree()
    for path in place.files():
        content = path.read_bytes()
        damage(path)
        result = run_here('process', archives[OLD], place.uri, f'--verify={level}', '--retries', '0', '--settle', '0')
        assert place.tree() == whole if result.code == 0 else result.code == 1, f'{path} {damage.__name__}: {result}'
        path.write_bytes(content)


def test_53_every_destination_is_in_one_of_these() -> None:
    # A daemon is handed the whole image anyway.
    assert set(DESTINATIONS) - set(IN_DIRECTORIES) == {'registry', 'docker'}
