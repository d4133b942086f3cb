"""What is set on files, directories and links by whom, what is only counted, and what ends the run."""
import errno
import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from occystrap_core import OutputError
from occystrap_dir.extraction import attributes
from occystrap_dir.extraction.attributes import ROOTLESS, Attributes, Setter
from occystrap_dir.extraction.checked_entry import AttributeRefused
from occystrap_dir.file_list.acl import ACCESS, DEFAULT

UID, GID = os.geteuid(), os.getegid()
as_root = pytest.mark.skipif(UID != 0, reason='only root can give files away')
MINE = Attributes(0o640, UID, GID, 5 * 10 ** 9)
LIST = struct.pack('<I', 2) + b''.join(struct.pack('<HHI', *entry) for entry in (
    (1, 7, 0xffffffff), (2, 6, 5), (4, 5, 0xffffffff), (16, 7, 0xffffffff), (32, 4, 0xffffffff)))


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[int]:
    """An open file `file` in `tmp_path`."""
    descriptor = os.open(tmp_path / 'file', os.O_RDWR | os.O_CREAT, 0o600)
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[int]:
    """The open directory `directory` in `tmp_path`."""
    (tmp_path / 'directory').mkdir(mode=0o700)
    descriptor = os.open(tmp_path / 'directory', os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


def no_root(rootless: bool = False) -> Setter:
    """Return what an ordinary user would have."""
    setter = Setter(rootless)
    setter.is_root = False
    return setter


@as_root
@pytest.mark.parametrize(('uid', 'gid'), [(5, 7), (0, 7), (5, 0), (0, 0)])
def test_root_sets_owners(uid: int, gid: int, opened: int, directory: int, tmp_path: Path) -> None:
    setter, requested = Setter(rootless=False), MINE._replace(uid=uid, gid=gid)
    os.symlink('x', tmp_path / 'link')
    os.chown(tmp_path / 'directory', 9, 9)
    at = os.open(tmp_path, os.O_RDONLY)
    keywords = [setter.file(opened, requested), setter.directory(directory, requested),
                setter.named(b'link', at, requested, True)]
    os.close(at)
    for name in ('file', 'directory', 'link'):
        found = (tmp_path / name).lstat()
        assert (found.st_uid, found.st_gid) == (uid, gid)
    owner = b' uid=%d gid=%d' % (uid, gid)
    time = b' time=5.000000000'
    assert keywords == [b'mode=0640' + owner + time, b'mode=0640' + owner + time, owner + time] and setter.notes == []


@pytest.mark.parametrize('rootless', [False, True])
@pytest.mark.parametrize(('uid', 'gid', 'count'), [(UID, GID, 0), (UID + 1, GID, 1), (UID, GID + 1, 1)])
def test_others_count_owners_that_they_cannot_set(uid: int, gid: int, count: int, rootless: bool, opened: int,
                                                  directory: int,
                                                  monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attributes.os, 'setxattr', lambda *_, **__: None)
    setter, requested = no_root(rootless), MINE._replace(uid=uid, gid=gid, mode=0o750)
    assert b'uid' not in setter.file(opened, requested) + setter.directory(directory, requested)
    assert setter.missed['owner'] == (0 if rootless else 2 * count)
    assert (os.fstat(opened).st_uid, os.fstat(opened).st_gid) == (UID, GID)


@pytest.mark.parametrize(('uid', 'gid', 'count'), [(UID, GID, 0), (UID + 1, GID, 1), (UID, GID + 1, 1)])
def test_others_count_owners_of_links(uid: int, gid: int, count: int, tmp_path: Path, directory: int) -> None:
    setter = no_root()
    os.mkfifo(tmp_path / 'directory/pipe')
    os.symlink('pipe', tmp_path / 'directory/link')
    assert setter.named(b'pipe', directory, MINE._replace(uid=uid, gid=gid), False) == b'mode=0640 time=5.000000000'
    assert setter.named(b'link', directory, MINE._replace(uid=uid, gid=gid, mtime=7 * 10 ** 9),
                        True) == b' time=7.000000000'
    assert setter.missed['owner'] == 2 * count
    pipe, link = (tmp_path / 'directory/pipe').stat(), (tmp_path / 'directory/link').lstat()
    assert (pipe.st_mode & 0o7777, pipe.st_mtime, link.st_mtime) == (0o640, 5, 7)


@pytest.mark.parametrize(('mode', 'stays'), [(0o400, True), (0o640, True), (0o300, False), (0o077, False), (0, False)])
def test_files_stay_readable_by_who_must_verify_them(mode: int, stays: bool, opened: int) -> None:
    setter = no_root()
    assert setter.file(opened, MINE._replace(mode=mode)).startswith(b'mode=%04o' % (mode | 0o400))
    assert os.fstat(opened).st_mode & 0o7777 == mode | 0o400 and setter.missed['mode'] == (not stays)
    everything = Setter(rootless=False)
    everything.is_root = True
    assert everything.file(opened, MINE._replace(mode=mode)).startswith(b'mode=%04o' % mode)


@pytest.mark.parametrize(('mode', 'stays'), [(0o700, True), (0o755, True), (0o600, False), (0o300, False),
                                             (0o500, False)])
def test_directories_stay_open_to_who_must_verify_them(mode: int, stays: bool, directory: int) -> None:
    setter = no_root()
    assert setter.directory(directory, MINE._replace(mode=mode)).startswith(b'mode=%04o' % (mode | 0o700))
    assert setter.missed['mode'] == (not stays)


PORTABLE = (1 << 31) * 10 ** 9


@pytest.mark.parametrize('kind', ['file', 'directory', 'named'])
@pytest.mark.parametrize(('time', 'is_asked'), [
    (PORTABLE - 1, False), (PORTABLE, True), (-PORTABLE, False), (-PORTABLE - 1, True)])
def test_times_that_not_all_file_systems_hold_are_read_back(kind: str, time: int, is_asked: bool, opened: int,
                                                            directory: int, tmp_path: Path,
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    held = 77 * 10 ** 9
    real = os.utime
    monkeypatch.setattr(os, 'utime', lambda file, ns, **options: real(file, ns=(held, held), **options))
    setter, requested = Setter(rootless=False), MINE._replace(mtime=time, mode=0o700)
    if kind == 'named':
        os.symlink('x', tmp_path / 'directory/link')
        keywords = setter.named(b'link', directory, requested, True)
    else:
        keywords = setter.file(opened, requested) if kind == 'file' else setter.directory(directory, requested)
    assert keywords.endswith(b' time=%d.%09d' % divmod(held if is_asked else time, 10 ** 9))
    assert setter.clamped == is_asked


@pytest.mark.parametrize(('off', 'count'), [(2 * 10 ** 9, 0), (2 * 10 ** 9 + 1, 1), (-2 * 10 ** 9, 0),
                                            (-2 * 10 ** 9 - 1, 1)])
def test_coarse_times_are_not_reported(off: int, count: int, opened: int, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.utime
    monkeypatch.setattr(os, 'utime', lambda file, ns: real(file, ns=(ns[0] + off, ns[1] + off)))
    setter = Setter(rootless=False)
    setter.file(opened, MINE._replace(mtime=PORTABLE + 10 ** 12))
    assert setter.clamped == count


def test_a_directory_gets_its_time_at_the_end_and_keeps_out_others_until_then(directory: int, tmp_path: Path) -> None:
    setter = Setter(rootless=False)
    before = os.fstat(directory).st_mtime_ns
    setter.directory(directory, MINE._replace(mode=0o755))
    assert os.fstat(directory).st_mtime_ns == before and os.fstat(directory).st_mode & 0o7777 == 0o700
    setter.finish_directory(directory, 0o1751, 5 * 10 ** 9, {})
    assert os.fstat(directory).st_mtime_ns == 5 * 10 ** 9 and os.fstat(directory).st_mode & 0o7777 == 0o1751
    setter.finish_directory(directory, 0o700, None, {})
    assert os.fstat(directory).st_mtime_ns == 5 * 10 ** 9


class Kernel:
    """Extended attributes as calls, some of which fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, code: int = 0) -> None:
        self.calls: list[tuple[str, object, bytes]] = []
        self.follows: list[bool] = []
        self._code = code
        monkeypatch.setattr(os, 'setxattr', self._set)
        monkeypatch.setattr(os, 'removexattr', lambda target, name: self.calls.append(('remove', target, name)))

    def _set(self, target: object, name: bytes, value: bytes, follow_symlinks: bool = True) -> None:
        if self._code:
            raise OSError(self._code, os.strerror(self._code))
        self.calls.append(('set', target, name))
        self.follows.append(follow_symlinks)


def test_attributes_are_set_on_files_and_recorded(opened: int, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(monkeypatch)
    keywords = Setter(rootless=False).file(opened, MINE._replace(xattrs={b'user.b': b'', b'user.a': b'x'}))
    assert keywords.endswith(b' xattr.user.a=eA== xattr.user.b=')
    assert kernel.calls == [('set', opened, b'user.b'), ('set', opened, b'user.a')]


def test_attributes_are_set_on_the_link_itself(directory: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.symlink('x', tmp_path / 'directory/link')
    kernel = Kernel(monkeypatch)
    keywords = Setter(rootless=False).named(b'link', directory, MINE._replace(xattrs={b'trusted.a': b'x'}), True)
    assert keywords.endswith(b' xattr.trusted.a=eA==') and kernel.follows == [False]
    assert kernel.calls == [('set', f'/proc/self/fd/{directory}/link', b'trusted.a')]


@pytest.mark.parametrize(('uid', 'gid', 'message'), [(0, 0, None), (5, 0, b'\x08\x05'), (0, 5, b'\x10\x05')])
def test_owners_without_roots_rights_are_attributes(uid: int, gid: int, message: bytes | None, opened: int,
                                                    directory: int,
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    values: list[tuple[bytes, bytes]] = []
    monkeypatch.setattr(os, 'setxattr', lambda target, name, value: values.append((name, value)))
    setter, requested = Setter(rootless=True), MINE._replace(uid=uid, gid=gid, mode=0o700)
    setter.file(opened, requested)
    setter.directory(directory, requested)
    assert values == [(ROOTLESS, message)] * 2 if message else not values
    values.clear()
    setter.named(b'.', directory, requested, True)
    assert values == []
    Setter(rootless=False).missed.clear()
    no_root().file(opened, requested)
    assert values == []


def test_access_lists_of_a_directory_wait_until_it_is_full(directory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(monkeypatch)
    os.fchmod(directory, 0o755)
    setter, lists = Setter(rootless=False), {ACCESS: LIST, DEFAULT: LIST, b'user.a': b''}
    keywords = setter.directory(directory, MINE._replace(mode=0o755, xattrs=lists))
    assert [call for call in kernel.calls if call[0] == 'remove'] == [('remove', directory, ACCESS),
                                                                      ('remove', directory, DEFAULT)]
    assert os.fstat(directory).st_mode & 0o7777 == 0o700 and b'xattr.system.posix_acl_access=' in keywords
    kernel.calls.clear()
    setter.finish_directory(directory, 0o755, None, lists)
    assert kernel.calls == [('set', directory, ACCESS), ('set', directory, DEFAULT)]
    assert os.fstat(directory).st_mode & 0o7777 == 0o755


def test_other_attributes_of_a_directory_stay(directory: int, opened: int, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(monkeypatch)
    os.fchmod(directory, 0o750)
    Setter(rootless=False).directory(directory, MINE._replace(mode=0o755, xattrs={b'user.a': b''}))
    assert kernel.calls == [('set', directory, b'user.a')] and os.fstat(directory).st_mode & 0o7777 == 0o750
    kernel.calls.clear()
    Setter(rootless=False).file(opened, MINE._replace(xattrs={ACCESS: LIST}))
    assert kernel.calls == [('set', opened, ACCESS)]


def test_a_list_that_is_only_the_mode_is_not_set(opened: int, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = Kernel(monkeypatch)
    keywords = Setter(rootless=False).file(opened, MINE._replace(xattrs={ACCESS: struct.pack('<I', 2)}))
    assert kernel.calls == [] and b'xattr' not in keywords


NOBODY_CAN = 'the file system does not support them'
NOT_ON_LINKS = 'links, devices and pipes have none of user.*'
OUTCOMES: list[tuple[int, bytes, bool, bool, object]] = [
    # error, attribute, of an open file, root: a reason that is counted, what is missed, or an exception
    (errno.ENOTSUP, b'user.a', True, True, NOBODY_CAN), (errno.ENOTSUP, b'user.a', False, False, NOBODY_CAN),
    (errno.EOPNOTSUPP, b'trusted.a', True, False, NOBODY_CAN),
    (errno.EPERM, b'user.a', False, True, NOT_ON_LINKS), (errno.EPERM, b'user.a', False, False, NOT_ON_LINKS),
    (errno.EPERM, b'user.a', True, False, None), (errno.EPERM, b'trusted.a', True, False, None),
    (errno.EPERM, b'trusted.a', False, True, None), (errno.EPERM, b'trusted.a', False, False, None),
    (errno.EPERM, b'user.a', True, True, AttributeRefused), (errno.EPERM, b'trusted.a', True, True, AttributeRefused),
    (errno.EACCES, b'user.a', True, True, PermissionError), (errno.EACCES, DEFAULT, True, True, AttributeRefused),
    (errno.EINVAL, b'user.a', True, True, AttributeRefused), (errno.ENOSPC, b'user.a', False, False, AttributeRefused)]


@pytest.mark.parametrize(('code', 'name', 'is_open', 'is_root', 'outcome'), OUTCOMES)
def test_attributes_that_cannot_be_set(code: int, name: bytes, is_open: bool, is_root: bool, outcome: object,
                                       opened: int,
                                       directory: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / 'directory/pipe')
    Kernel(monkeypatch, code)
    setter = Setter(rootless=False)
    setter.is_root = is_root
    if is_root and UID:
        pytest.skip('owners are for root to set')
    requested = MINE._replace(xattrs={name: LIST if name == DEFAULT else b'x'})

    def run() -> bytes:
        return setter.file(opened, requested) if is_open else setter.named(b'pipe', directory, requested, False)
    if isinstance(outcome, type):
        with pytest.raises(outcome) as caught:
            run()
        assert type(caught.value) is outcome and not setter.notes
        return
    assert b'xattr' not in run()
    assert dict(setter.not_held) == ({outcome: 1} if outcome else {})
    assert setter.missed['extended attribute'] == (outcome is None)


@pytest.mark.parametrize(('count', 'words'), [(1, '1 extended attribute left out: why'),
                                              (2, '2 extended attributes left out: why')])
def test_notes_speak_of_one_or_several(count: int, words: str) -> None:
    setter = Setter(rootless=True)
    setter.not_held['why'] = count
    assert setter.notes == [words]


@pytest.mark.parametrize(('rootless', 'is_root', 'advises'), [(False, False, True), (True, False, False),
                                                              (False, True, False)])
def test_the_note_recommends_rootless_only_where_it_helps(rootless: bool, is_root: bool, advises: bool) -> None:
    setter = Setter(rootless)
    setter.is_root = is_root
    setter.missed['owner'], setter.missed['mode'] = 2, 0
    advice = '; rootless=true keeps owners in extended attributes' if advises else ''
    assert setter.notes == [f'2 owners could not be set without root{advice}']


def test_only_root_without_rootless_is_root() -> None:
    assert Setter(rootless=False).is_root is (UID == 0) and Setter(rootless=True).is_root is False


@pytest.mark.parametrize(('code', 'is_impossible'), [
    (errno.EINVAL, True), (errno.ERANGE, True), (errno.EACCES, True), (errno.EIO, False), (errno.E2BIG, False)])
def test_where_an_attribute_was_refused(code: int, is_impossible: bool) -> None:
    error = AttributeRefused(b'user.x', 3, OSError(code, 'why'))
    found = error.at('etc/passwd')
    if is_impossible:
        assert str(found) == "etc/passwd has the attribute 'user.x', which no such file can have"
        return
    assert isinstance(found, AttributeRefused)
    advice = ('; correct the cause and try again' if code == errno.EIO else
              ': the file system cannot hold it, or is full; free some space or use another file system')
    reason = f"etc/passwd: its attribute 'user.x' of 3 bytes cannot be set: why{advice}"
    assert str(found) == reason
    assert isinstance(found.below('oci://x'), OutputError)
    assert str(found.below('oci://x')) == f'cannot write to oci://x: {reason}'
