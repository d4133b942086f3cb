"""Disks that are really full, with room for none, one, a few pages: what --receipt and --layer-cache write there."""
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.conftest import require_service
from tests.hostile.faults.ground import one_line
from tests.hostile.faults.test_files import verdicts_in
from tests.hostile.writers.images import NEW, OLD
from tests.services.command_line import CommandResult, WarmCommandLine
from tests.services.directories import small_disk

PAGE = os.sysconf('SC_PAGE_SIZE')
ROOM = (0, 1, 2, 3, 4, 6, 8, 16)
"""Pages that are free; the last are enough for everything."""
FILLER = 'filler'
Command = Callable[..., CommandResult]


@pytest.fixture
def disk(directory: Path) -> Iterator[Path]:
    """A file system of 64 pages."""
    with require_service(lambda: small_disk(directory / 'disk', f'{64 * PAGE // 1024}k')) as mounted:
        yield mounted


@pytest.fixture
def command(directory: Path, run: WarmCommandLine) -> Command:
    """Runs a command."""
    return lambda *words: run(directory, directory, *words)


def leave(disk: Path, pages: int) -> None:
    """Fill the disk up to so many pages."""
    (disk / FILLER).unlink(missing_ok=True)
    free = os.statvfs(disk)
    (disk / FILLER).write_bytes(bytes(free.f_bavail * free.f_frsize - pages * PAGE))


def others(disk: Path) -> list[str]:
    """Return the names on the disk, but for the filler."""
    return sorted(set(os.listdir(disk)) - {FILLER})


def up_to_a_page(lines: bytes) -> bytes:
    """Return the lines with blanks in the last one, so that the next line needs a page of its own."""
    return lines[:-1] + b' ' * (-len(lines) % PAGE) + b'\n'


@pytest.mark.parametrize('was', ['older receipts', 'nothing'])
def test_receipts(was: str, disk: Path, directory: Path, command: Command, archives: dict[str, str]) -> None:
    file, codes = disk / 'receipts.jsonl', []
    for pages in ROOM:
        (disk / FILLER).unlink(missing_ok=True)
        file.unlink(missing_ok=True)
        if was != 'nothing':
            for name in ('mine', 'others'):
                command('process', archives[OLD], f'tar://{directory}/{name}.tar', '--receipt', file).assert_success()
            file.write_bytes(up_to_a_page(file.read_bytes()))
        before = file.read_bytes() if was != 'nothing' else b''
        leave(disk, pages)
        result = command('process', archives[NEW], f'tar://{directory}/mine.tar', '--receipt', file)
        codes.append(result.code)
        if result.code:
            one_line(result, str(file))
            assert (file.read_bytes() if file.exists() else b'') == before, result
        else:
            assert verdicts_in(file)[f'{directory}/mine.tar'][0] == 'verified'
            assert was == 'nothing' or verdicts_in(file)[f'{directory}/others.tar'][0] == 'verified'
            command('verify', file, '--verify=full').assert_success()
        assert others(disk) == ([file.name] if file.exists() else [])
    assert codes[0] == 1 and codes[-1] == 0


def test_the_layer_cache(disk: Path, directory: Path, command: Command, archives: dict[str, str]) -> None:
    cache, codes = disk / 'cache', []
    for pages in ROOM:
        for path in (disk / FILLER, cache):
            path.unlink(missing_ok=True)
        leave(disk, pages)
        words = ('process', archives[NEW], f'layout://{directory}/image-{pages}', '-f', 'normalize-timestamps',
                 '--layer-cache', cache)
        result = command(*words)
        codes.append(result.code)
        if result.code:
            one_line(result, str(cache))
            assert not (directory / f'image-{pages}').exists(), 'half an image'
        (disk / FILLER).unlink()
        command(*words).assert_success()
        with closing(sqlite3.connect(cache)) as opened:
            assert opened.execute('PRAGMA integrity_check').fetchall() == [('ok',)]
        assert others(disk) == [cache.name]
    assert codes[0] == 1 and codes[-1] == 0
