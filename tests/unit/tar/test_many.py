"""Lists of compressed archives: each is unpacked as its turn comes, and given back."""
import gzip
import json
import os
from pathlib import Path

import pytest

from occystrap_tar.archive import archive_copy
from occystrap_tar.archive.archive_copy import ReadableArchive
from tests.hostile.in_process import run_here
from tests.unit.tar.archives import docker_members, write_tar


@pytest.fixture
def most_open(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many copies existed whenever one was made."""
    counts: list[int] = []
    copied, before = archive_copy._copied, copies()

    def counting(*arguments: object) -> object:
        made = copied(*arguments)  # type: ignore[arg-type]
        counts.append(copies() - before)
        return made
    monkeypatch.setattr(archive_copy, '_copied', counting)
    return counts


def copies() -> int:
    """Count the files without a name that this process has open."""
    return sum(map(_is_copy, os.listdir('/proc/self/fd')))


def _is_copy(descriptor: str) -> bool:
    try:
        target = os.readlink(f'/proc/self/fd/{descriptor}')
    except OSError:
        return False
    return target.endswith('(deleted)')


def listed(directory: Path, count: int) -> Path:
    """Return a list of compressed archives, each with an image of its own name."""
    lines = []
    for number in range(count):
        plain = write_tar(directory / f'{number}.tar', docker_members(tags=(f'app:v{number}',)))
        (directory / f'{number}.tar.gz').write_bytes(gzip.compress(plain.read_bytes(), 1))
        lines.append(f'tar://{directory}/{number}.tar.gz\n')
    (directory / 'list').write_text(''.join(lines))
    return directory / 'list'


@pytest.mark.parametrize('command', ['process', 'check', 'search'])
def test_a_list_is_unpacked_as_its_turn_comes(command: str, tmp_path: Path, most_open: list[int]) -> None:
    source = f'list://{listed(tmp_path, 12)}'
    rest = {'process': (f'layout://{tmp_path}/out', '-J', '1'), 'search': ('etc/*',)}.get(command, ())
    run_here('-q', command, source, *rest).assert_code(0)
    assert 12 <= len(most_open) <= 24 and max(most_open) <= 4
    if command == 'process':
        assert len(json.loads((tmp_path / 'out/index.json').read_bytes())['manifests']) == 12


def test_one_archive_is_unpacked_once(tmp_path: Path, most_open: list[int]) -> None:
    listed(tmp_path, 1)
    run_here('-q', 'process', f'tar://{tmp_path}/0.tar.gz', f'dir://{tmp_path}/out').assert_code(0)
    assert len(most_open) == 1


def test_archives_that_fail_are_released_immediately(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[str] = []
    close = ReadableArchive.close
    monkeypatch.setattr(ReadableArchive, 'close', lambda self: (closed.append(self.path), close(self)))
    (tmp_path / 'a.tar.gz').write_bytes(gzip.compress(b'no archive'))
    run_here('-q', 'process', f'tar://{tmp_path}/a.tar.gz', f'dir://{tmp_path}/out').assert_code(1)
    assert len(closed) == 1
