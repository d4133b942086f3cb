"""What a user sees while images are copied, on terminals of several widths, on dumb ones, and in a log."""
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from tests.conftest import require_service
from tests.services.command_line import CommandLine
from tests.services.held_registry import HeldRegistry, held_registry
from tests.services.tmux import Screen, screen

SIZE = 102400
OCCYSTRAP = [sys.executable, '-m', 'occystrap_core', 'process']
Draw = Callable[..., AbstractContextManager[Screen]]

AT_120 = """\
127.0.0.1:55555/team/nothing:v1 FAILED: 127.0.0.1:55555/team/nothing:v1 does not exist: 127.0.0.1:55555 has no such repo
sitory, or it needs a login (occystrap login)
1/4 images                                                   ━━━━━━━━━━━━━━╺━━━━━━━━━ 350.0/600.0 KiB        RATE  LEFT
127.0.0.1:55555/team/platform…ervice-with-a-long-name-0:v1.0 ━━━━━━╺━━━━━━━━━━━━━━━━━  25.0/100.0 KiB        RATE  LEFT
127.0.0.1:55555/team/platform…ervice-with-a-long-name-1:v1.1 ━━━━━━━━━━━━╺━━━━━━━━━━━ 100.0/200.0 KiB        RATE  LEFT
127.0.0.1:55555/team/platform…ervice-with-a-long-name-2:v1.2 ━━━━━━━━━━━━━━━━━━╺━━━━━ 225.0/300.0 KiB        RATE  LEFT\
"""
AT_80 = """\
127.0.0.1:55555/team/nothing:v1 FAILED: 127.0.0.1:55555/team/nothing:v1 does not
 exist: 127.0.0.1:55555 has no such repository, or it needs a login (occystrap l
ogin)
1/4 images                       ━━━━━━━╺━━━━ 350.0/600.0 KiB        RATE  LEFT
127.0.0.1:55555…long-name-0:v1.0 ━━━╺━━━━━━━━  25.0/100.0 KiB        RATE  LEFT
127.0.0.1:55555…long-name-1:v1.1 ━━━━━━╺━━━━━ 100.0/200.0 KiB        RATE  LEFT
127.0.0.1:55555…long-name-2:v1.2 ━━━━━━━━━╺━━ 225.0/300.0 KiB        RATE  LEFT"""
AT_40 = """\
127.0.0.1:55555/team/nothing:v1 FAILED:
127.0.0.1:55555/team/nothing:v1 does not
 exist: 127.0.0.1:55555 has no such repo
sitory, or it needs a login (occystrap l
ogin)
1/4 images              58%        RATE
127.0.0.1:…name-0:v1.0  25%        RATE
127.0.0.1:…name-1:v1.1  50%        RATE
127.0.0.1:…name-2:v1.2  75%        RATE"""
IN_LINES = """\
[1/4] 127.0.0.1:55555/team/nothing:v1 FAILED: 127.0.0.1:55555/team/nothing:v1 does not exist: 127.0.0.1:55555 has no \
such repository, or it needs a login (occystrap login)
[2/4] 127.0.0.1:55555/team/platform/service-with-a-long-name-0:v1.0 1 layer 100.0 KiB SECONDS verified
[3/4] 127.0.0.1:55555/team/platform/service-with-a-long-name-1:v1.1 1 layer 200.0 KiB SECONDS verified
[4/4] 127.0.0.1:55555/team/platform/service-with-a-long-name-2:v1.2 1 layer 300.0 KiB SECONDS verified
FAILED 127.0.0.1:55555/team/nothing:v1: does not exist: 127.0.0.1:55555 has no such repository, or it needs a login \
(occystrap login)
Resume: run the same command; what is already there and current is skipped
Summary: 3/4 images, 3 layers, 600.0 KiB moved, SECONDS, 3/4 verified, 1 FAILED"""


@pytest.fixture
def registry_of_three() -> Iterator[HeldRegistry]:
    """A registry with three images of which it sends a quarter, a half and three quarters."""
    with held_registry() as registry:
        for number in range(3):
            name = f'team/platform/service-with-a-long-name-{number}:v1.{number}'
            registry.add(name, [(SIZE * (number + 1), (number + 1) / 4)])
        yield registry


@pytest.fixture
def bulk(registry_of_three: HeldRegistry, tmp_path: Path) -> list[str]:
    """The command that copies these three, and one that is missing."""
    names = ['team/nothing:v1', *registry_of_three.names]
    (tmp_path / 'images.txt').write_text(''.join(f'registry://{registry_of_three.host}/{name}\n' for name in names))
    return [*OCCYSTRAP, 'list://images.txt', 'layout://out', '-j', '4']


@pytest.fixture
def draw(occystrap: CommandLine) -> Draw:
    """Runs a command in a terminal."""
    def start(command: list[str], columns: int, **env: str) -> AbstractContextManager[Screen]:
        given = {'HOME': occystrap.environment()['HOME'], **env}
        return require_service(lambda: screen(command, columns, occystrap.directory, given))
    return start


def still(text: str) -> str:
    """What is on a screen, but for what is another in each run; images are sorted by name."""
    text = re.sub(r'(?<=127\.0\.0\.1:)\d+', lambda found: '5' * len(found[0]), text)
    text = re.sub(r' *[\d.]+ [KMG]?i?B/s', lambda found: 'RATE'.rjust(len(found[0])), text)
    text = re.sub(r' [-\d]+:[-\d]{2}$', lambda found: 'LEFT'.rjust(len(found[0])), text, flags=re.MULTILINE)
    text = re.sub(r'\b\d+\.\ds\b', 'SECONDS', text)
    lines = [line.rstrip() for line in text.splitlines()]
    first = next((number + 1 for number, line in enumerate(lines) if re.match(r'\d+/\d+ images', line)), len(lines))
    return '\n'.join(lines[:first] + sorted(lines[first:]))


@pytest.mark.parametrize(('columns', 'expected'), [(120, AT_120), (80, AT_80), (40, AT_40)])
def test_bars(columns: int, expected: str, bulk: list[str], registry_of_three: HeldRegistry, draw: Draw) -> None:
    with draw(bulk, columns) as seen:
        seen.wait_for(expected, still)
        registry_of_three.release()
        seen.wait_until('(ended)')
        assert 'images ' not in seen.text().replace('images, ', '') and '━' not in seen.text()
        assert '3/4 verified, 1 FAILED' in seen.text().replace('\n', '')


def test_bars_follow_the_width_of_the_terminal(bulk: list[str], draw: Draw) -> None:
    with draw(bulk, 80) as seen:
        seen.wait_for(AT_80, still)
        for columns, expected in ((40, AT_40), (120, AT_120), (80, AT_80)):
            seen.resize(columns)
            seen.wait_for(bars(expected), lambda text: bars(still(text)))


def bars(text: str) -> str:
    """The part of a screen that is drawn again and again; nothing may be left of it elsewhere on the screen."""
    lines = text.splitlines()
    return '\n'.join(line for line in lines if re.search('RATE|LEFT|━|images', line))


@pytest.mark.parametrize('env', [{'TERM': 'dumb'}, {'NO_COLOR': '1'}], ids=str)
def test_terminals_without_bars_get_lines(env: dict[str, str], bulk: list[str], registry_of_three: HeldRegistry,
                                          draw: Draw) -> None:
    with draw([*bulk, '-J', '1'], 200, **env) as seen:
        registry_of_three.release()
        seen.wait_for(f'{IN_LINES}\n(ended)', still)


def test_log(bulk: list[str], registry_of_three: HeldRegistry, occystrap: CommandLine) -> None:
    registry_of_three.release()
    assert still(occystrap(*bulk[3:], '-J', '1').assert_code(1).err) == IN_LINES


def test_one_large_image_has_size_rate_and_time_left(registry_of_three: HeldRegistry, draw: Draw) -> None:
    name = f'{registry_of_three.host}/{registry_of_three.names[0]}'
    with draw([*OCCYSTRAP, f'registry://{name}', 'layout://out'], 80) as seen:
        seen.wait_for('127.0.0.1:55555/…long-name-0:v1.0 ━━━╺━━━━━━━━ 25.0/100.0 KiB        RATE  LEFT', still)
