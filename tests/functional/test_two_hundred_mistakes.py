"""Each mistake in mistakes.txt gives its exit code and its line on standard error, and writes nothing.

A record there is the command behind a `$`, and below it the exit code and the line; a run has its summary behind that.
`{registry}` and the like stand for what is another in each run.
"""
import io
import os
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.conftest import require_service
from tests.functional.mistaken_inputs import write_inputs
from tests.hostile.in_process import run_here
from tests.services.ports import free_port
from tests.services.registry import Registry, plain_registry
from tests.services.sample import put_sample_image

_RECORD = re.compile(r'^\$ (.+)\n  (\d+) (.+)$', re.MULTILINE)


class Mistake(NamedTuple):
    """A command, its exit code, and what it says."""

    command: str
    code: int
    line: str


MISTAKES = [Mistake(command, int(code), line) for command, code, line in
            _RECORD.findall((Path(__file__).parent / 'mistakes.txt').read_text())]


@pytest.fixture(scope='module')
def own_registry() -> Iterator[Registry]:
    """A registry with two repositories, and no others."""
    with require_service(plain_registry) as registry:
        for name in ('table:v1', 'table:v1.1', 'single:v1'):
            put_sample_image(registry, *f'mistakes/{name}'.split(':'))
        yield registry


@pytest.fixture(scope='module')
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory with what users have, which is the current one."""
    place, before = tmp_path_factory.mktemp('mistakes'), Path.cwd()
    os.chdir(place)
    write_inputs(place)
    yield place
    os.chdir(before)


@pytest.fixture(scope='module')
def names(place: Path, own_registry: Registry, private_registry: Registry, tls_registry: Registry) -> dict[str, str]:
    """What stands for the names in braces."""
    return {'registry': own_registry.host, 'private': private_registry.host, 'tls': tls_registry.host,
            'closed': f'127.0.0.1:{free_port()}', 'zeros': '0' * 64, 'here': str(place)}


@pytest.fixture(autouse=True)
def surroundings(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A home without logins, and an empty standard input."""
    for name in [name for name in os.environ if name.startswith(('OCCYSTRAP_', 'DOCKER_', 'REGISTRY_'))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv('HOME', str(tmp_path))
    monkeypatch.setattr(sys, 'stdin', io.TextIOWrapper(io.BytesIO()))


def contents(place: Path) -> list[tuple[Path, int, int]]:
    """Everything in a directory, with size and time."""
    return sorted((path, found.st_size, found.st_mtime_ns) for path in place.rglob('*') if (found := path.stat()))


@pytest.mark.parametrize('mistake', MISTAKES, ids=lambda mistake: mistake.command[:60])
def test_mistake(mistake: Mistake, place: Path, names: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    words = shlex.split(re.sub(r'\{(\w+)\}', lambda found: names.get(found[1], found[0]), mistake.command))
    while '=' in words[0]:
        monkeypatch.setenv(*words.pop(0).split('=', 1))
    before = contents(place)
    result = run_here(*words[1:])
    line, *summary = shown(result.err, names).splitlines()
    assert (line, result.code) == (mistake.line, mistake.code)
    assert all(each.startswith('Summary: 0/1 image, ') for each in summary) and len(summary) <= 1
    assert result.out == '' and contents(place) == before


def shown(text: str, names: dict[str, str]) -> str:
    """The text with names in braces for what is another in each run."""
    for name, value in names.items():
        text = text.replace(value, f'{{{name}}}')
    return re.sub(r'\b[0-9a-f]{64}\b', '{digest}', re.sub(r'\.[0-9a-f]{8}\.partial', '.{}.partial', text))


def test_there_are_two_hundred_and_each_says_what_to_do() -> None:
    assert len(MISTAKES) >= 200
    assert all(each.line.startswith('occystrap: error: ') and each.code in (1, 2) for each in MISTAKES)
