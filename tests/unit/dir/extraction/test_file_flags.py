"""Flags of files: those that file systems do not set, and their letters in chattr(1)."""
import fcntl
import sys

import pytest

from occystrap_dir.file_list.file_system import flag_letters, flags_of

# <linux/fs.h>, FS_…_FL
SET_BY_USERS = {'s': 0x1, 'u': 0x2, 'S': 0x8, 'i': 0x10, 'a': 0x20, 'd': 0x40, 'A': 0x80, 'j': 0x4000, 't': 0x8000,
                'D': 0x10000, 'T': 0x20000, 'V': 0x100000, 'F': 0x40000000}
SET_BY_FILE_SYSTEMS = {'c': 0x4, 'E': 0x800, 'I': 0x1000, 'e': 0x80000, 'C': 0x800000, 'x': 0x2000000, 'N': 0x10000000}


def seen(monkeypatch: pytest.MonkeyPatch, flags: int) -> int | None:
    monkeypatch.setattr(fcntl, 'ioctl', lambda *arguments: flags.to_bytes(8, sys.byteorder))
    return flags_of(0)


@pytest.mark.parametrize('letter', SET_BY_USERS)
def test_flags_that_a_user_set_are_shown_by_their_letters(letter: str, monkeypatch: pytest.MonkeyPatch) -> None:
    flag = SET_BY_USERS[letter]
    assert seen(monkeypatch, flag) == flag and flag_letters(flag) == letter


@pytest.mark.parametrize('letter', SET_BY_FILE_SYSTEMS)
def test_flags_that_a_file_system_sets_are_ignored(letter: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert seen(monkeypatch, SET_BY_FILE_SYSTEMS[letter]) == 0 and flag_letters(0) == 'none'
