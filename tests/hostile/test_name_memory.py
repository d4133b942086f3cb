"""Layers that are all names: they cost little memory where layers are looked into, or are refused with what to do."""
import gc
import tarfile
import time
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st

from occystrap_core import InvalidImage
from occystrap_core.checks.entries import EntryChecks
from occystrap_core.name_memory import NameMemory
from occystrap_core.oci import Digest
from occystrap_core.tar.path_keys import path_key, path_keys
from occystrap_core.tar.reader import TarReader
from occystrap_core.tar.whiteouts import DELETED, LayerEffects
from tests.functional.archives import write_docker_archive
from tests.hostile.in_process import run_here
from tests.hostile.test_terminal_output import config
from tests.unit.core.filters.tars import Entry, entry, hard, tar_of

DEEP = '/'.join(['d' * 250] * 15)
COUNT = 2000


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> 'Callable[[Sequence[Entry]], None]':
    """Writes `i.tar`, an image of one layer with these entries."""
    monkeypatch.chdir(tmp_path)

    def write_image(entries: Sequence[Entry]) -> None:
        tar = tar_of(entries)
        write_docker_archive(tmp_path / 'i.tar', config(tar), [tar], 'a:b')
    return write_image


@contextmanager
def at_most(size: int) -> Iterator[None]:
    """Fail when what is done keeps more memory than so many bytes."""
    gc.collect()
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < size
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize('words', ['check tar://i.tar', 'search tar://i.tar none*', 'search tar://i.tar none --regex',
                                   'process tar://i.tar tar://o.tar -f exclude:pattern=d*',
                                   'process tar://i.tar tar://o.tar -f allow:pattern=/none'])
def test_long_paths_are_not_kept(words: str, write: Callable[[Sequence[Entry]], None]) -> None:
    write([entry(f'{DEEP}/{number}') for number in range(COUNT)])
    with at_most(6 << 20):  # the paths alone have 8 MB
        run_here(*words.split(), '-q').assert_success()


def test_links_that_are_left_out_keep_no_names(write: Callable[[Sequence[Entry]], None]) -> None:
    write([hard(f'{DEEP}/{number}', f'kept{number % 7}/{DEEP}') for number in range(COUNT)])
    with at_most(6 << 20):
        run_here('process', 'tar://i.tar', 'tar://o.tar', '-f', 'exclude:pattern=d*,kept*', '-q').assert_success()


@pytest.mark.parametrize('words', ['check tar://i.tar', 'search tar://i.tar *', 'search tar://i.tar . --regex',
                                   'process tar://i.tar tar://o.tar -f exclude:pattern=d*',
                                   'process tar://i.tar tar://o.tar -f search:pattern=*'])
def test_names_beyond_the_limit_are_refused(words: str, write: Callable[[Sequence[Entry]], None]) -> None:
    write([entry(f'd/{number}') for number in range(COUNT)])
    result = run_here(*words.split(), '--max-names', '100K', '-q').assert_code(1)
    assert 'more than 102400 bytes of memory' in result.out + result.err and '--max-names' in result.out + result.err
    run_here(*words.split(), '--max-names', '20M', '-q').assert_success()
    run_here(*words.split(), '--max-names', 'much').assert_code(2)


def test_findings_of_a_layer_are_not_all_kept(write: Callable[[Sequence[Entry]], None]) -> None:
    write([entry(f'../{DEEP}/{number}') for number in range(COUNT)])
    with at_most(6 << 20):
        result = run_here('check', 'tar://i.tar', '-q').assert_code(1)
    assert f'and {COUNT - 100} more of these' in result.out


def test_whiteouts_take_no_longer_than_there_are_some(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tars = [tar_of([entry(f'a/{number}') for number in range(6000)]),
            tar_of([entry(f'b/.wh.{number}') for number in range(6000)])]
    rootfs = {'type': 'layers', 'diff_ids': [Digest.of(tar) for tar in tars]}
    write_docker_archive(tmp_path / 'i.tar', config(tars[0], rootfs=rootfs), tars, 'a:b')
    monkeypatch.chdir(tmp_path)
    began = time.monotonic()
    result = run_here('check', 'tar://i.tar', '-q')
    assert 'and 5900 more of these' in result.out and time.monotonic() - began < 20


def test_released_memory_can_be_used_again() -> None:
    memory = NameMemory(1 << 20)
    for _ in range(100):
        share = memory.share()
        for _ in range(1000):
            share.take(1000)
        del share
    with pytest.raises(InvalidImage, match='--max-names'):
        memory.share().take(2 << 20)


@given(st.lists(st.text('ab', min_size=1, max_size=90), min_size=1, max_size=8))
def test_keys_of_the_directories_above_are_the_keys_of_those_paths(names: list[str]) -> None:
    paths = ['/'.join(names[:count]).encode() for count in range(len(names) + 1)]
    keys = [path_key(path) for path in paths]
    assert list(path_keys(paths[-1])) == keys[:-1][::-1] and len(set(keys)) == len(keys)
    assert all(len(key) <= 64 for key in keys)


@pytest.mark.parametrize('target', ['', 'd/' * 1900])
def test_the_path_above_deep_entries_is_hashed_once(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """However deep entries lie, the directories above them are checked once."""
    made = []

    def counting(path: bytes, digest_size: int) -> Any:
        made.append(path)
        return blake2b(path, digest_size=digest_size)
    monkeypatch.setattr('occystrap_core.tar.path_keys.blake2b', counting)
    directory = 'd/' * 1900
    entries = [hard(f'l{number}', f'{target}{number}') if target else entry(f'{directory}{number}')
               for number in range(100)]
    checks = EntryChecks(lambda *finding: None, NameMemory().share())
    above, below = LayerEffects(NameMemory().share()), list[bytes]()
    above.add(b'other', False)
    for each in TarReader(iter([memoryview(tar_of(entries))])).entries():
        checks.entry(each)
        below.append(each.name)
    assert not any(above.on(name) for name in below)
    assert len(made) < 2 * 1900 + 10 * len(entries)


def test_an_entry_below_a_file_or_link_is_reported_from_the_root_down() -> None:
    found: list[tuple[str, str, str | None]] = []
    checks = EntryChecks(lambda *each: found.append(each), NameMemory().share())
    entries = [entry('a/b/c/d'), entry('a'), entry('a/b', 'x', tarfile.SYMTYPE), entry('a/b/c/e'),
               entry('a', kind=tarfile.DIRTYPE), entry('a/b/f')]
    for each in TarReader(iter([memoryview(tar_of(entries))])).entries():
        checks.entry(each)
    assert [(rule, message, path) for rule, message, path in found if rule.startswith('path-through')] == [
        ('path-through-file', 'a is not a directory', 'a/b'), ('path-through-file', 'a is not a directory', 'a/b/c/e'),
        ('path-through-link', 'a/b is a symlink', 'a/b/c/e'), ('path-through-link', 'a/b is a symlink', 'a/b/f')]


@pytest.mark.parametrize(('mark', 'path', 'fate'), [
    (b'a/.wh.b', b'a/b/c/d', DELETED), (b'a/b/.wh..wh..opq', b'a/b/c', DELETED), (b'a/.wh.b', b'a/c/d', '')])
def test_deletions_by_upper_layers_are_found_every_time(mark: bytes, path: bytes, fate: str) -> None:
    effects = LayerEffects(NameMemory().share())
    effects.add(b'x', False)
    assert effects.on(path) == '' and effects.on(path) == ''
    effects.add(mark, False)
    assert effects.on(path) == fate and effects.on(path + b'/e') == fate and effects.on(path) == fate
