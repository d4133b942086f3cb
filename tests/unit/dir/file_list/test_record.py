"""The record of a tree: what is at a path, which layer brought it, which names are those of one file."""
from collections.abc import Iterator
from pathlib import Path

import pytest

from occystrap_dir.file_list.record import TreeRecord

DIRECTORY, FILE = b'type=dir mode=0755', b'type=file size=1'


@pytest.fixture
def record(tmp_path: Path) -> Iterator[TreeRecord]:
    """A record with a root."""
    made = TreeRecord(str(tmp_path))
    made.put(b'', 0, DIRECTORY)
    yield made
    made.close()


def test_the_last_entry_of_a_path_is_recorded(record: TreeRecord) -> None:
    record.put(b'a', 1, FILE)
    record.put(b'a', 2, FILE + b'0')
    assert record.keywords(b'a') == FILE + b'0' and record.layer(b'a') == 2
    assert record.keywords(b'') == DIRECTORY and record.layer(b'') == 0
    assert record.layer(b'b') is None


def test_long_keywords_come_back_whole(record: TreeRecord) -> None:
    long = b'type=link link=' + b'x' * 70_000
    record.put(b'a', 0, long)
    record.put(b'b', 0, FILE)
    assert record.keywords(b'a') == long and record.keywords(b'b') == FILE


def test_a_directory_keeps_what_is_below_it_when_it_comes_again(record: TreeRecord) -> None:
    record.put(b'd', 1, DIRECTORY)
    record.put(b'd/a', 1, FILE)
    record.put(b'd', 2, DIRECTORY)
    assert record.layer(b'd') == 2 and record.layer(b'd/a') == 1
    assert record.is_whole(b'd', 1) and not record.is_whole(b'd', 2)
    record.set_whole(b'd', 2)
    assert record.is_whole(b'd', 2)


def test_replacing_a_directory_drops_its_entries(record: TreeRecord) -> None:
    record.put(b'd', 0, DIRECTORY)
    record.put(b'd/a', 0, FILE)
    record.put(b'd', 1, FILE)
    assert not record.is_directory(b'd') and record.layer(b'd/a') is None
    record.put(b'd', 2, DIRECTORY)
    assert record.is_directory(b'd') and record.layer(b'd/a') is None


def test_dropping_a_directory_drops_everything_below_it(record: TreeRecord) -> None:
    record.put(b'd', 0, DIRECTORY)
    record.put(b'd/a', 0, FILE)
    record.drop(b'd')
    record.drop(b'never')
    assert record.layer(b'd') is None and record.layer(b'd/a') is None and not record.is_directory(b'd')


def test_names_of_one_file_are_counted(record: TreeRecord) -> None:
    record.put(b'a', 0, FILE)
    record.link(b'b', 1, b'a')
    record.put(b'c', 0, FILE)
    assert record.layer(b'b') == 1 and record.keywords(b'b') == FILE
    found = dict(record.entries())
    assert found[b'a'] == found[b'b'] == FILE + b' nlink=2 inode=%d' % (len(DIRECTORY) + 1)
    assert found[b'c'] == FILE


def test_a_name_alone_that_is_left_of_several_is_none_of_several(record: TreeRecord) -> None:
    record.put(b'a', 0, FILE)
    record.link(b'b', 0, b'a')
    record.drop(b'a')
    assert dict(record.entries())[b'b'] == FILE


def test_entries_come_directory_by_directory(record: TreeRecord) -> None:
    for path in (b'd', b'e', b'd/f'):
        record.put(path, 0, DIRECTORY)
    for path in (b'z', b'd/b', b'd/a', b'e/a', b'd/f/x'):
        record.put(path, 0, FILE)
    assert [path for path, _ in record.entries()] == [
        b'', b'd', b'e', b'z', b'd/a', b'd/b', b'd/f', b'd/f/x', b'e/a']


def test_the_length_of_each_name_is_reported_once(tmp_path: Path) -> None:
    lengths: list[int] = []
    record = TreeRecord(str(tmp_path), lengths.append)
    for path, keywords in ((b'', DIRECTORY), (b'dir', DIRECTORY), (b'dir/ab', FILE), (b'dir/ab', FILE)):
        record.put(path, 0, keywords)
    assert lengths == [3, 2]
    record.close()


def test_many_directories_are_found_with_bounded_memory(record: TreeRecord) -> None:
    for number in range(2100):
        record.put(b'%d' % number, number % 7, DIRECTORY)
        assert record.is_directory(b'%d' % number) and len(record._known) <= 1024
    assert [record.layer(b'%d' % number) for number in (0, 8, 2099)] == [0, 1, 2099 % 7]


@pytest.mark.parametrize('length', [510, 511, 512, 513, 65_536 + 511, 65_536 + 512, 65_536 + 513])
def test_keywords_of_any_length_come_back(length: int, record: TreeRecord) -> None:
    keywords = b'type=link link='.ljust(length, b'x')
    record.put(b'a', 65_535, keywords)
    record.put(b'b', 0, FILE)
    assert record.keywords(b'a') == keywords and record.layer(b'a') == 65_535 and record.keywords(b'b') == FILE
