"""What lies below a directory is reached without following links, whatever is planted there and when."""
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from occystrap_core import InvalidImage
from occystrap_dir.workspace import beneath, removal
from occystrap_dir.workspace.beneath import Beneath, capped
from occystrap_dir.workspace.one_name import WrongKind
from occystrap_dir.workspace.removal import remove_tree

USES: dict[str, Callable[[Beneath, str], object]] = {
    'open': Beneath.open, 'create': Beneath.create, 'lock_file': Beneath.lock_file, 'size': Beneath.size,
    'make': Beneath.make, 'names': Beneath.names, 'unlink': Beneath.unlink, 'rmdir': Beneath.rmdir,
    'hash': Beneath.hash, 'sync': Beneath.sync, 'read': lambda place, name: place.read(name, 100),
    'status': Beneath.status, 'remove_tree': remove_tree, 'directory': lambda place, name: place.directory(
        name).__enter__(), 'rename': lambda place, name: place.rename('own', name)}


@pytest.fixture
def place(tmp_path: Path) -> Beneath:
    """A directory with a file of its own, beside one with a file of another user."""
    for name in ('place', 'home'):
        (tmp_path / name).mkdir()
    (tmp_path / 'place/own').write_text('own')
    (tmp_path / 'home/key').write_text('a key')
    return Beneath(str(tmp_path / 'place'))


@pytest.mark.parametrize('use', USES.values(), ids=USES)
@pytest.mark.parametrize('way', ['link/key', 'link/new', 'a/link/key'])
def test_no_way_leads_through_a_link(use: Callable[[Beneath, str], object], way: str, place: Beneath,
                                     tmp_path: Path) -> None:
    (tmp_path / 'place/a').mkdir()
    for link in ('link', 'a/link'):
        (tmp_path / 'place' / link).symlink_to(tmp_path / 'home')
    with pytest.raises(WrongKind) as raised:
        use(place, way)
    assert raised.value.filename == f'{tmp_path}/place/{way.rpartition("/")[0]}'
    assert raised.value.strerror == 'a symbolic link is in the way, where a directory should be'
    assert [path.name for path in (tmp_path / 'home').iterdir()] == ['key']
    assert (tmp_path / 'home/key').read_text() == 'a key'


@pytest.mark.parametrize('use', [USES[name] for name in ('open', 'lock_file', 'size', 'hash', 'read')])
@pytest.mark.parametrize('plant', [
    lambda path: path.symlink_to('own'), os.mkfifo, Path.mkdir,
    lambda path: os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))], ids=['link', 'pipe', 'directory', 'device'])
def test_only_regular_files_are_opened(use: Callable[[Beneath, str], object], plant: Callable[[Path], Any],
                                       place: Beneath, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(tmp_path / 'place/x')
    opened, open_file = [], os.open

    def watched(path: str, *how: Any, **where: Any) -> int:
        opened.append(path)
        return open_file(path, *how, **where)
    monkeypatch.setattr(beneath.os, 'open', watched)
    with pytest.raises(WrongKind):
        use(place, 'x')
    assert 'x' not in opened or use is Beneath.lock_file and opened.count('x') == 1


@pytest.mark.parametrize('use', [Beneath.open, Beneath.lock_file])
def test_links_planted_between_check_and_use_are_refused(use: Callable[[Beneath, str], int], place: Beneath,
                                                         tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    look, path = os.lstat, tmp_path / 'place/own'

    def lstat(*what: Any, **where: Any) -> os.stat_result:
        found = look(*what, **where)
        path.unlink()
        os.mkfifo(path)
        return found
    monkeypatch.setattr(beneath.os, 'lstat', lstat)
    with pytest.raises(WrongKind):
        use(place, 'own')


def test_a_link_planted_after_the_look_is_not_followed(place: Beneath, tmp_path: Path,
                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    look, path = os.lstat, tmp_path / 'place/own'

    def lstat(*what: Any, **where: Any) -> os.stat_result:
        found = look(*what, **where)
        path.unlink()
        path.symlink_to(tmp_path / 'home/key')
        return found
    monkeypatch.setattr(beneath.os, 'lstat', lstat)
    with pytest.raises(OSError, match='symbolic links'):
        place.open('own')


def test_a_new_file_is_never_one_that_is_there(place: Beneath, tmp_path: Path) -> None:
    (tmp_path / 'place/link').symlink_to(tmp_path / 'home/new')
    for name in ('link', 'own'):
        with pytest.raises(FileExistsError):
            place.create(name)
    assert not (tmp_path / 'home/new').exists()


@pytest.mark.parametrize('name', ['', '..', '../home/key', '/etc/passwd', 'a/../../home/key', 'a\0b', '\ud800'])
def test_names_that_lead_elsewhere_are_refused(name: str, place: Beneath) -> None:
    with pytest.raises(InvalidImage, match='leads out'):
        place.open(name)


@pytest.mark.parametrize('name', ['x', 'x/deep', 'link'])
def test_removing_a_tree_spares_targets_of_links(name: str, place: Beneath, tmp_path: Path,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / 'place/x/deep').mkdir(parents=True)
    for link in ('x/link', 'x/deep/link', 'link'):
        (tmp_path / 'place' / link).symlink_to(tmp_path / 'home')
    (tmp_path / 'home').chmod(0o755)
    monkeypatch.setattr(removal.os, 'geteuid', lambda: 1000)  # an ordinary user makes directories accessible first
    remove_tree(place, name)
    assert not os.path.lexists(tmp_path / 'place' / name) and (tmp_path / 'home/key').read_text() == 'a key'
    assert stat.S_IMODE((tmp_path / 'home').stat().st_mode) == 0o755


def test_links_of_sources_are_followed_within_alone(place: Beneath, tmp_path: Path) -> None:
    (tmp_path / 'place/a/b').mkdir(parents=True)
    for name, target in [('a/b/up', '../../own'), ('a/abs', f'{tmp_path}/place/a/b/up'), ('out', '../home/key'),
                         ('a/far', '../../home/key'), ('root', '/etc/passwd'), ('loop', 'loop'), ('dir', 'a')]:
        (tmp_path / 'place' / name).symlink_to(target)
    assert [place.resolved(name) for name in ('a/b/up', 'a/abs', 'dir/b/up', 'own')] == ['own'] * 4
    for name in ('out', 'a/far', 'root', 'dir/far'):
        with pytest.raises(InvalidImage, match='leads out'):
            place.resolved(name)
    with pytest.raises(OSError, match='symbolic links'):
        place.resolved('loop')


def test_a_link_is_no_directory_that_is_there(place: Beneath, tmp_path: Path) -> None:
    (tmp_path / 'place/link').symlink_to(tmp_path / 'home')
    with pytest.raises(WrongKind):
        place.make('link')
    assert place.make('new') and not place.make('new')


def test_a_file_whose_size_is_not_told_is_read_whole() -> None:
    with open('/proc/version', 'rb') as file:
        assert capped(file, 10_000, 'x') == Path('/proc/version').read_bytes()
    with open('/proc/version', 'rb') as file, pytest.raises(InvalidImage, match='x has more than the 5 bytes'):
        capped(file, 5, 'x')
