"""Where a directory may be put, and what happens to it at each end: renamed, exchanged, given up."""
import ctypes
import os
import stat
import threading
import time
from pathlib import Path

import pytest

from occystrap_core import Cancelled, OutputError
from occystrap_core.oci import Digest
from occystrap_dir.extraction import staged_directory
from occystrap_dir.extraction.staged_directory import Staging, check_place, may_replace
from occystrap_dir.extraction.unpacked_tree import Limits
from occystrap_dir.workspace.beneath import Beneath
from occystrap_dir.workspace.one_name import WrongKind
from tests.unit.dir.extraction.unpacked import OPTIONS, directory, file, stream_of, unpacking_in

MARKS = ('config.json', 'rootfs', '.occystrap')


@pytest.mark.parametrize(('names', 'is_ours'), [
    ([], True), (['.occystrap'], True), (['.occystrap', 'rootfs'], True), (['config.json', 'rootfs', '.occystrap'],
                                                                           True),
    (['rootfs'], False), (['config.json', 'rootfs'], False), (['.occystrap', 'mine'], False), (['mine'], False)])
def test_replaceable_directories(names: list[str], is_ours: bool, tmp_path: Path) -> None:
    assert may_replace(names, MARKS) is is_ours
    for name in names:
        (tmp_path / name).mkdir()
    if is_ours:
        check_place(str(tmp_path), MARKS, 'bundle')
    else:
        foreign = 'mine' if 'mine' in names else sorted(names)[0]
        with pytest.raises(OutputError, match=f'contains other files, such as {foreign!r}, and is not a bundle'):
            check_place(str(tmp_path), MARKS, 'bundle')


def test_places_that_cannot_be_replaced_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / 'file').touch()
    (tmp_path / 'broken').symlink_to('nothing')
    (tmp_path / 'link').symlink_to('directory')
    (tmp_path / 'directory').mkdir()
    for name, words in (('file', 'is not a directory, which cannot be replaced'),
                        ('broken', 'is a link that leads to no directory'),
                        ('none/x', 'none')):
        with pytest.raises(OutputError, match=words):
            check_place(str(tmp_path / name), MARKS, 'bundle')
    check_place(str(tmp_path / 'link'), MARKS, 'bundle')
    check_place(str(tmp_path / 'new'), MARKS, 'bundle')


def test_a_mount_point_cannot_be_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, 'ismount', lambda path: path == str(tmp_path))
    with pytest.raises(OutputError,
                       match='is a mount point, which cannot be replaced as a whole: choose a new directory'):
        check_place(str(tmp_path), MARKS, 'bundle')


@pytest.mark.parametrize('odd', ['.occystrap/pipe', '.occystrap/deep/pipe', '.occystrap/deep/link'])
def test_directories_of_other_programs_are_not_replaced(odd: str, tmp_path: Path) -> None:
    (tmp_path / '.occystrap/deep').mkdir(parents=True)
    (tmp_path / '.occystrap/deep/file').touch()
    check_place(str(tmp_path), MARKS, 'bundle')
    (tmp_path / odd).symlink_to('x') if odd.endswith('link') else os.mkfifo(tmp_path / odd)
    with pytest.raises((OutputError, WrongKind), match=odd.rpartition('/')[2]):
        check_place(str(tmp_path), MARKS, 'bundle')


@pytest.mark.parametrize('name', ['tree', 'above/tree', 'above/more/tree'])
def test_a_directory_is_made_beside_its_destination(name: str, tmp_path: Path) -> None:
    above, _, last = name.rpartition('/')
    (tmp_path / above).mkdir(parents=True, exist_ok=True)
    staging = Staging(Beneath(str(tmp_path)), name, sync=False)
    umask = os.umask(0)
    try:
        staging.begin()
    finally:
        os.umask(umask)
    made, = (tmp_path / above).iterdir()
    assert made.name.startswith(f'.{last}.occystrap-') and len(made.name) == len(f'.{last}.occystrap-') + 16
    assert stat.S_IMODE(made.stat().st_mode) == 0o700 and Path(staging.above) == tmp_path / above
    assert staging.target == f'{tmp_path}/{name}' and staging.inside.path == str(made)
    staging.commit(mode=0o751)
    assert os.listdir(tmp_path / above) == [last] and stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o751
    staging.discard()  # nothing is left to remove
    assert (tmp_path / name).is_dir()


def test_a_directory_may_get_another_name_at_the_end(tmp_path: Path) -> None:
    staging = Staging(Beneath(str(tmp_path)), 'tree', sync=False)
    staging.begin()
    staging.commit('other')
    assert os.listdir(tmp_path) == ['other']


def test_an_abandoned_tree_leaves_nothing(tmp_path: Path) -> None:
    before = len(os.listdir('/proc/self/fd'))
    staging = Staging(Beneath(str(tmp_path)), 'tree', sync=False)
    staging.begin()
    (Path(staging.inside.path) / 'deep/er').mkdir(parents=True)
    staging.discard()
    staging.discard()
    assert os.listdir(tmp_path) == [] and len(os.listdir('/proc/self/fd')) == before


def test_directories_of_other_destinations_are_left_alone(tmp_path: Path) -> None:
    digits = '0123456789abcdef'
    names = [f'.tree2.occystrap-{digits}', f'.tree.occystra-{digits}', f'tree.occystrap-{digits}', '.tree.occystrap',
             '.tree.occystrap-old', f'.tree.occystrap-{digits}0', f'.tree.occystrap-{digits[:-1]}']
    for name in names:
        (tmp_path / name).mkdir()
    (tmp_path / '.tree.occystrap-file').touch()
    (tmp_path / f'.tree.occystrap-{digits}').mkdir()
    Staging(Beneath(str(tmp_path)), 'tree', sync=False).begin()
    assert set(names) < set(os.listdir(tmp_path)) and not (tmp_path / f'.tree.occystrap-{digits}').exists()


@pytest.mark.parametrize('sync', [False, True])
def test_all_is_on_the_device_before_the_rename_if_that_is_requested(sync: bool, tmp_path: Path,
                                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    rename, synced = staged_directory._rename, Beneath.sync
    monkeypatch.setattr(staged_directory, '_sync_file_system', lambda descriptor: done.append('data'))
    monkeypatch.setattr(staged_directory, '_rename', lambda *arguments: done.append('rename') or rename(*arguments))
    monkeypatch.setattr(Beneath, 'sync', lambda self, name='': done.append(f'directory {name}') or synced(self, name))
    (tmp_path / 'above').mkdir()
    staging = Staging(Beneath(str(tmp_path)), 'above/tree', sync=sync)
    staging.begin()
    staging.commit()
    assert done == (['data', 'rename', 'directory above'] if sync else ['rename'])


@pytest.mark.parametrize('failing', ['syncfs', 'renameat2'])
def test_errors_of_the_system_are_errors(failing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Library:
        def __getattr__(self, name: str) -> object:
            return lambda *arguments: ctypes.set_errno(5) or -1
    (tmp_path / 'tree').mkdir()
    (tmp_path / 'tree/old').touch()
    staging = Staging(Beneath(str(tmp_path)), 'tree', sync=failing == 'syncfs')
    staging.begin()
    with monkeypatch.context() as patch, pytest.raises(OutputError,
                                                       match='cannot write to .*/tree: Input/output error'):
        patch.setattr(ctypes, 'CDLL', lambda *arguments, **options: Library())
        staging.commit()
    staging.discard()
    assert os.listdir(tmp_path) == ['tree'] and os.listdir(tmp_path / 'tree') == ['old']


def test_a_file_in_the_way_is_an_error(tmp_path: Path) -> None:
    (tmp_path / 'tree').touch()
    staging = Staging(Beneath(str(tmp_path)), 'tree', sync=False)
    staging.begin()
    with pytest.raises(OutputError, match='cannot write to .*/tree'):
        staging.commit()
    staging.discard()
    assert os.listdir(tmp_path) == ['tree']


def test_an_empty_directory_is_replaced(tmp_path: Path) -> None:
    (tmp_path / 'tree').mkdir()
    staging = Staging(Beneath(str(tmp_path)), 'tree', False, lambda names: False)
    staging.begin()
    (Path(staging.inside.path) / 'new').touch()
    staging.commit()
    assert os.listdir(tmp_path) == ['tree'] and os.listdir(tmp_path / 'tree') == ['new']


def test_a_directory_of_ours_is_replaced_and_removed(tmp_path: Path) -> None:
    (tmp_path / 'tree/old').mkdir(parents=True)
    requests: list[list[str]] = []
    staging = Staging(Beneath(str(tmp_path)), 'tree', False, lambda names: requests.append(list(names)) is None)
    staging.begin()
    (Path(staging.inside.path) / 'new').touch()
    staging.commit()
    assert requests == [['old']] and os.listdir(tmp_path) == ['tree'] and os.listdir(tmp_path / 'tree') == ['new']


def test_nothing_is_written_after_cancellation(tmp_path: Path) -> None:
    unpacking = unpacking_in(tmp_path)
    unpacking.begin()
    unpacking.abort()
    with pytest.raises(Cancelled, match='writing to dir://out was cancelled'):
        unpacking._check(0)
    assert os.listdir(tmp_path) == []
    unpacking.abort()


def test_a_tree_aborted_while_unpacking_is_removed(tmp_path: Path) -> None:
    unpacking = unpacking_in(tmp_path)
    unpacking.begin()
    unpacking.add(stream_of(directory(b'd'), file(b'd/f')))
    begun, go_on = threading.Event(), threading.Event()

    def hold() -> None:
        with unpacking._working:
            begun.set()
            go_on.wait(10)
    thread = threading.Thread(target=hold)
    thread.start()
    begun.wait(10)
    unpacking.abort()
    assert os.listdir(tmp_path) == [] and unpacking._working.locked()  # the thread's own lock is still the thread's
    go_on.set()
    thread.join()
    assert not unpacking._working.locked()


def test_aborting_lets_the_lock_go(tmp_path: Path) -> None:
    unpacking = unpacking_in(tmp_path)
    unpacking.begin()
    unpacking.abort()
    assert not unpacking._working.locked()


def test_a_tree_may_lie_in_a_directory_of_its_own(tmp_path: Path) -> None:
    unpacking = unpacking_in(tmp_path)
    unpacking.begin('rootfs')
    unpacking.add(stream_of(file(b'f')))
    unpacking.finish(lambda piece: None)
    unpacking.staging.commit()
    assert (tmp_path / 'tree/rootfs/f').exists() and os.listdir(tmp_path / 'tree') == ['rootfs']


def test_a_long_list_is_written_in_pieces(tmp_path: Path) -> None:
    unpacking = unpacking_in(tmp_path, Limits({**OPTIONS, 'max_entries': 20_000}))
    unpacking.begin()
    unpacking.add(stream_of(*(file(b'%090d' % number, b'') for number in range(7000))))
    pieces: list[bytes] = []
    digest, size = unpacking.finish(pieces.append)
    unpacking.abort()
    assert len(pieces) == 2 and all(pieces) and 1 << 20 <= len(pieces[0]) < (1 << 20) + 1000
    assert (digest, size) == (Digest.of(b''.join(pieces)), len(b''.join(pieces)))


def test_errors_of_the_c_library_have_their_reason(tmp_path: Path) -> None:
    with pytest.raises(OSError, match='Bad file descriptor'):
        staged_directory._sync_file_system(-1)
    (tmp_path / 'tree').mkdir()
    with pytest.raises(FileNotFoundError, match='No such file or directory'):
        staged_directory._exchange(Beneath(str(tmp_path)), 'none', 'tree')


def test_aborting_waits_only_briefly_for_a_thread_that_still_unpacks(tmp_path: Path) -> None:
    unpacking = unpacking_in(tmp_path)
    unpacking.begin()
    with unpacking._working:
        began = time.monotonic()
        unpacking.abort()
        assert 0.1 < time.monotonic() - began < 1 and os.listdir(tmp_path) == []


def test_what_a_thread_uses_that_still_unpacks_stays_open_until_it_notices(tmp_path: Path) -> None:
    """Otherwise another image may get the number of a descriptor, and with it what this thread writes."""
    unpacking = unpacking_in(tmp_path)
    unpacking.begin()
    root, begun, go_on, ends = unpacking.tree.root, threading.Event(), threading.Event(), list[str]()
    opened = os.fstat(root._root)

    def hold(count: int) -> None:
        begun.set()
        assert go_on.wait(10)

    def unpack() -> None:
        stream = stream_of(directory(b'd'), file(b'd/f'))
        stream.observe(hold)
        try:
            unpacking.add(stream)
        except Cancelled:
            ends.append('cancelled')
    thread = threading.Thread(target=unpack)
    thread.start()
    assert begun.wait(10)
    unpacking.abort()
    assert os.path.samestat(os.fstat(root._root), opened)
    go_on.set()
    thread.join()
    assert ends == ['cancelled'] and root._root == -1
    unpacking.abort()
