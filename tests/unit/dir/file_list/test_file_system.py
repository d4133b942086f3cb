"""What a file system does to new files is found out by trying, written into the head of a list, and read from it."""
import errno
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from occystrap_core import InvalidImage
from occystrap_dir.file_list import file_system
from occystrap_dir.file_list.file_system import FileSystem, clear_xattrs, flag_letters, flags_of, xattr_names


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[int]:
    """An open, empty directory."""
    descriptor = os.open(tmp_path, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)


@pytest.mark.parametrize('step', [1, 100, 1000, 10 ** 6, 10 ** 9, 2 * 10 ** 9])
def test_the_resolution_of_times(step: int, directory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.utime
    monkeypatch.setattr(os, 'utime', lambda file, ns: real(file, ns=(ns[0] - ns[0] % step, ns[1] - ns[1] % step)))
    found = FileSystem.of(directory)
    assert found.step == step and os.listdir(directory) == []
    assert found.rounded(2 * 10 ** 9 + 5) == 2 * 10 ** 9 + 5 - 5 % step
    assert found.rounded(-1) == -(-1 // -step or 1) * step


def test_a_resolution_that_is_none_of_the_known_ones_is_the_coarsest(directory: int,
                                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.utime
    monkeypatch.setattr(os, 'utime', lambda file, ns: real(file, ns=(5, 5)))
    assert FileSystem.of(directory).step == 2 * 10 ** 9


def test_flags_and_attributes_of_a_file_and_a_directory(directory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def is_directory(descriptor: int) -> bool:
        return os.path.isdir(f'/proc/self/fd/{descriptor}')
    monkeypatch.setattr(file_system, 'flags_of', lambda each: 2 if is_directory(each) else 1)
    monkeypatch.setattr(file_system, 'xattr_names', lambda each: [b'c', b'a'] if is_directory(each) else [b'b', b'a'])
    found = FileSystem.of(directory)
    assert (found.flags, found.xattrs) == ((1, 2), (b'a', b'b', b'c')) and os.listdir(directory) == []


@pytest.mark.parametrize(('file_flags', 'directory_flags'), [(None, 2), (1, None), (None, None)])
def test_without_flags_of_both_there_are_none(file_flags: int | None, directory_flags: int | None, directory: int,
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_system, 'flags_of', lambda each: (
        directory_flags if os.path.isdir(f'/proc/self/fd/{each}') else file_flags))
    assert FileSystem.of(directory).flags is None


@pytest.mark.parametrize('failing', ['utime', 'fstat', 'listxattr'])
def test_an_error_leaves_nothing_behind(failing: str, directory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise OSError(errno.EIO, 'Input/output error')
    before = len(os.listdir('/proc/self/fd'))
    with monkeypatch.context() as patch, pytest.raises(OSError, match='Input/output error'):
        patch.setattr(os, failing, fail)
        FileSystem.of(directory)
    assert os.listdir(directory) == [] and len(os.listdir('/proc/self/fd')) == before


def test_the_probes_are_private(directory: int, monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[int] = []
    monkeypatch.setattr(file_system, 'flags_of', lambda each: modes.append(os.fstat(each).st_mode & 0o777))
    umask = os.umask(0)
    try:
        FileSystem.of(directory)
    finally:
        os.umask(umask)
    assert modes == [0o600, 0o700]


@pytest.mark.parametrize(('found', 'words'), [
    (FileSystem(), b'step=1'), (FileSystem(100, (0x10, 0x4000)), b'step=100 flags=10,4000'),
    (FileSystem(1, None, (b'user.a b', b'user.c')), b'step=1 xattr=user.a\\040b xattr=user.c'),
    (FileSystem(1, (0, 0), ()), b'step=1 flags=0,0')])
def test_words_of_the_head(found: FileSystem, words: bytes) -> None:
    assert found.to_words() == words and FileSystem.parse(words) == found


@pytest.mark.parametrize('words', [b'', b'step=', b'step=x', b'flags=1,1', b'step=1 flags=1', b'step=1 flags=1,2,3',
                                   b'step=1 flags=g,0'])
def test_malformed_words_are_refused(words: bytes) -> None:
    with pytest.raises(InvalidImage, match='malformed line about its file system'):
        FileSystem.parse(words)


def failing_with(code: int) -> object:
    def fail(*arguments: object, **options: object) -> None:
        raise OSError(code, os.strerror(code))
    return fail


@pytest.mark.parametrize('code', [errno.ENOTTY, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS])
def test_a_file_system_without_flags(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, 'ioctl', failing_with(code))
    assert flags_of(0) is None


def test_an_error_of_flags_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, 'ioctl', failing_with(errno.EIO))
    with pytest.raises(OSError, match='Input/output'):
        flags_of(0)


def test_flags_are_asked_for_as_the_kernel_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    requests: list[tuple[int, int, bytes]] = []
    monkeypatch.setattr(fcntl, 'ioctl', lambda *arguments: requests.append(arguments) or bytes(8))
    assert flags_of(7) == 0 and requests == [(7, 0x80086601, bytes(8))]  # FS_IOC_GETFLAGS of 64-bit systems


def test_flags_are_of_32_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, 'ioctl', lambda *arguments: b'\x10\0\0\0' + b'\xff' * 4)
    assert flags_of(0) == 0x10
    monkeypatch.setattr(fcntl, 'ioctl', lambda *arguments: b'\0\0\0\x40' + bytes(4))
    assert flags_of(0) == 0x40000000


def test_letters_come_in_the_order_of_lsattr() -> None:
    assert flag_letters(0x1 | 0x10 | 0x20) == 'sia' and flag_letters(0) == 'none' and flag_letters(0x4) == 'none'


@pytest.mark.parametrize('target', [0, '/'])
def test_a_file_system_without_attributes(target: int | str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, 'listxattr', failing_with(errno.EOPNOTSUPP))
    assert xattr_names(target) == []
    monkeypatch.setattr(os, 'listxattr', failing_with(errno.EACCES))
    with pytest.raises(PermissionError):
        xattr_names(target)


def test_names_of_attributes_are_of_the_link_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, 'listxattr', lambda target, follow_symlinks=True: [f'{target} {follow_symlinks}'])
    assert xattr_names('link') == [b'link False'] and xattr_names(3) == [b'3 True']


@pytest.mark.parametrize(('code', 'is_fine'), [(errno.EACCES, True), (errno.EPERM, True), (errno.ENODATA, True),
                                               (errno.EIO, False)])
def test_attributes_that_cannot_be_removed_stay(code: int, is_fine: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    removed: list[bytes] = []

    def remove(descriptor: int, name: bytes) -> None:
        if name == b'user.a':
            raise OSError(code, os.strerror(code))
        removed.append(name)
    monkeypatch.setattr(os, 'listxattr', lambda target: ['user.a', 'user.b', 'security.selinux'])
    monkeypatch.setattr(os, 'removexattr', remove)
    if is_fine:
        clear_xattrs(0, (b'security.selinux',))
        assert removed == [b'user.b']
        removed.clear()
        clear_xattrs(0)
        assert removed == [b'user.b', b'security.selinux']
    else:
        with pytest.raises(OSError, match='Input/output'):
            clear_xattrs(0)
