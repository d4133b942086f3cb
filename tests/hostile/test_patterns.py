"""Patterns over names that were made to keep them busy: the time grows with the name, and a signal is obeyed."""
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest
from hypothesis import given, strategies as st

from occystrap_core import Cancelled, OccystrapError, Settings
from occystrap_core.oci.patterns import compile_pattern, natural_key
from occystrap_core.search import matcher
from occystrap_core.search.matcher import Regex
from occystrap_core.tar.globs import Globs
from tests.functional.archives import write_docker_archive
from tests.hostile.test_terminal_output import config
from tests.services.command_line import CommandLine, errors_in
from tests.unit.core.filters.tars import entry, tar_of

NAMES = {'lib': b'lib' * 40_000, 'a': b'a' * 120_000, 'names': b'a/' * 60_000 + b'x', 'pairs': b'ab/' * 40_000,
         'no utf-8': b'\xc3\x80\x80' * 40_000}
GLOBS = ['*lib*.so', '*lib*.so.*[0-9]*', '*a*a*a*a*a*b', '**/a/**/b', '**/a/**/a/**/a/**/b', '**/*a*/**/*a*b/**/c',
         '/a/**/*a/**/x/', '*????b', '**/*/*/*/*/*/*/b', '*[!b]*[!b]*[!b]*c', '**/*a**b*/**']


@contextmanager
def within(seconds: int) -> Iterator[None]:
    """Fail when what is done takes longer: in the main thread a regular expression is broken off."""
    def late(number: int, frame: FrameType | None) -> None:
        raise AssertionError(f'it takes more than {seconds} s')
    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize('below', [True, False])
@pytest.mark.parametrize('path', NAMES)
def test_globs_take_no_longer_than_the_name(path: str, below: bool) -> None:
    with within(10):  # any of them alone would take hours, or years
        Globs(GLOBS, below).match(NAMES[path])
        for glob in GLOBS:
            Globs([glob], below).match(NAMES[path], is_directory=True)


@pytest.mark.parametrize('pattern', [
    '*a*a*a*a*a*a*b', '**a*a**a*a**a*b', '**/a*/**/a*/**/a*b', '**a**a**a**a**b', '*-*-*-*-c'])
@pytest.mark.parametrize('name', ['a' * 250, 'a/' * 125, 'a-' * 125])
def test_patterns_of_repositories_too(pattern: str, name: str) -> None:
    with within(2):
        assert not compile_pattern(pattern).fullmatch(name)


def names_match(parts: Sequence[str], names: Sequence[str], below: bool) -> bool:
    """Return, the slow way, whether a glob's names match a path's."""
    if not parts:
        return below or not names
    if parts[0] == '**' and len(parts) > 1:
        return any(names_match(parts[1:], names[skipped:], below) for skipped in range(len(names) + 1))
    if not names:
        return False
    if parts[0] == '**':
        return True
    return name_matches(parts[0], names[0]) and names_match(parts[1:], names[1:], below)


def name_matches(glob: str, name: str) -> bool:
    """Return, the slow way, whether a glob matches one name."""
    if not glob:
        return not name
    if glob[0] == '*':  # no name is empty
        return any(name_matches(glob[1:], name[skipped:]) for skipped in range(len(name) + 1))
    return bool(name) and glob[0] in ('?', name[0]) and name_matches(glob[1:], name[1:])


words = st.text('ab*?é', min_size=1, max_size=5).filter(lambda word: '**' not in word)


@given(st.lists(st.one_of(st.just('**'), words), min_size=1, max_size=5), st.lists(
    st.text('abé', min_size=1, max_size=4), min_size=1, max_size=6), st.booleans())
def test_globs_find_what_trying_everything_finds(parts: list[str], names: list[str], below: bool) -> None:
    found = Globs(['/' + '/'.join(parts)], below).match('/'.join(names).encode())
    assert found == names_match(parts, names, below)


@given(st.lists(st.sampled_from(['a', 'b', '/', '*', '?', '**', '/**/', '-']), min_size=1, max_size=8),
       st.text('ab/-', max_size=12))
def test_patterns_find_what_trying_everything_finds(parts: list[str], name: str) -> None:
    pattern = ''.join(parts)
    plain = re.sub(r'(?<![^/])\*\*/|\*\*+|\*|\?', lambda found: {
        '**/': '(?:.*/)?', '*': '[^/]*', '?': '[^/]'}.get(found[0], '.*'), pattern)
    assert bool(compile_pattern(pattern).fullmatch(name)) == bool(re.fullmatch(plain, name))


def test_numbers_of_any_length_are_sorted() -> None:
    names = ['v1.10', 'v1.9', f'v1.{"9" * 10_000}', 'v1.009', 'v1', 'w', '1', 'v²']
    assert sorted(names, key=natural_key)[:2] == ['1', 'v1'] and sorted(names, key=natural_key).index('v1.9') < sorted(
        names, key=natural_key).index('v1.10') < sorted(names, key=natural_key).index(f'v1.{"9" * 10_000}')


@pytest.fixture
def catastrophe(occystrap: CommandLine) -> str:
    """An image with a name over which `(a+)+$` takes longer than the universe is old."""
    tar = tar_of([entry('a' * 60 + 'b'), entry('a')])
    write_docker_archive(occystrap.directory / 'i.tar', config(tar), [tar], 'a:b')
    return 'tar://i.tar'


def children_of(pid: int) -> list[int]:
    """Return the programs that the threads of a process have started."""
    return [int(child) for task in Path(f'/proc/{pid}/task').iterdir()
            for child in (task / 'children').read_text().split()]


@pytest.mark.parametrize(('words', 'number'), [
    (['search', 'tar://i.tar', '(a+)+$', '--regex'], signal.SIGINT),
    (['process', 'tar://i.tar', 'tar://o.tar', '-f', 'search:pattern=(a+)+$,regex=true'], signal.SIGTERM)])
def test_a_signal_breaks_into_a_regular_expression(words: list[str], number: signal.Signals, catastrophe: str,
                                                   occystrap: CommandLine) -> None:
    process = occystrap.start(*words, stderr=subprocess.PIPE)
    while not (children := children_of(process.pid)):
        assert process.poll() is None
        time.sleep(0.02)
    time.sleep(0.5)
    process.send_signal(number)
    sent = time.monotonic()
    output = process.communicate(timeout=20)[1].decode()
    assert process.returncode == 128 + number and time.monotonic() - sent < 2, output
    assert len(errors_in(output)) == 1 and 'interrupted' in output
    assert not any(os.path.exists(f'/proc/{child}') for child in children)
    assert not list(occystrap.directory.glob('o.tar*'))


def test_a_program_ends_after_its_parent(catastrophe: str, occystrap: CommandLine) -> None:
    process = occystrap.start('search', catastrophe, '(a+)+$', '--regex')
    while not (children := children_of(process.pid)):
        time.sleep(0.02)
    time.sleep(0.5)
    process.kill()
    process.wait()
    for _ in range(40):
        if not any(os.path.exists(f'/proc/{child}') for child in children):
            return
        time.sleep(0.1)
    raise AssertionError(f'{children} are still there')


@pytest.mark.parametrize(('pattern', 'path', 'words'), [
    ('(a+)+$', b'a' * 60 + b'b', 'more than 1 s for a name of 61 bytes'),
    ('(?:(a)|b)*c', b'ab' * 20_000_000, 'more than 512 MiB of memory')])
def test_one_path_takes_only_so_much(pattern: str, path: bytes, words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matcher, '_LONGEST', 1 if '+' in pattern else 30)
    settings = Settings()
    try:
        with within(20), pytest.raises(OccystrapError, match=words):
            Regex(pattern, settings).which([b'x', path])
    finally:
        settings.shared.close()


def test_waiting_is_broken_off() -> None:
    settings = Settings()
    regex = Regex('(a+)+$', settings)
    threading.Timer(0.3, settings.cancellation.cancel).start()
    try:
        with within(5), pytest.raises(Cancelled):
            regex.which([b'a' * 60 + b'b'])
    finally:
        settings.shared.close()


def test_many_batches_and_names_of_all_kinds() -> None:
    settings = Settings()
    try:
        regex = Regex('^.é\udcff?$', settings)
        assert list(regex.which(['xé'.encode(), b'x', b'x\xc3\xa9\xff', b''])) == [1, 0, 1, 0]
        assert sum(regex.which([b'x'] * 5000)) == 0 and len(regex._all) == 1
    finally:
        settings.shared.close()
