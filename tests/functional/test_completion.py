"""Completion of the command line in real shells: commands, schemes, paths, options, tags of a registry."""
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.conftest import require_service
from tests.services.command_line import CommandLine
from tests.services.raw_server import RawServer, raw_server
from tests.services.registry import Registry
from tests.services.tiny_image import put_tiny_image
from tests.services.tmux import Screen, screen

SHELLS = {'bash': ['bash', '--norc', '--noprofile'], 'zsh': ['zsh', '-f'], 'fish': ['fish', '--no-config']}
START = {'bash': 'source <(occystrap completion bash)', 'fish': 'occystrap completion fish | source',
         'zsh': 'autoload -U compinit; compinit -u; source <(occystrap completion zsh)'}


@pytest.fixture
def path_with_occystrap(tmp_path: Path) -> str:
    """A PATH whose `occystrap` is this one."""
    place = tmp_path / 'bin'
    place.mkdir()
    (place / 'occystrap').write_text(f'#!/bin/sh\nexec {sys.executable} -m occystrap_core "$@"\n')
    (place / 'occystrap').chmod(0o755)
    return f'{place}:{os.environ["PATH"]}'


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest, path_with_occystrap: str, program: Callable[..., str], tmp_path: Path,
          occystrap: CommandLine) -> Iterator[Screen]:
    """A shell that completes, in a directory with an archive and a directory."""
    name: str = request.param
    command = [program(name), *SHELLS[name][1:]]
    place = tmp_path / 'here'
    (place / 'images').mkdir(parents=True)
    (place / 'app one.tar').touch()
    env = {'HOME': occystrap.environment()['HOME'], 'PATH': path_with_occystrap, 'PS1': '$ '}
    with require_service(lambda: screen(command, 120, place, env)) as seen:
        seen.type(f'{START[name]}; clear; echo ready\n')
        seen.wait_for('ready', lambda text: text.strip().split('\n')[0].strip())
        yield seen


def completed(shell: Screen, typed: str, line: str) -> None:
    """What was typed becomes this line with a tab, or some if the machine is slow; the line is then given up."""
    shell.type(typed)
    for _ in range(5):
        shell.type('\t')
        with suppress(AssertionError):
            shell.wait_for(line, lambda text: re.sub(r'.*[$#] ', '', text.split('\n')[-1]), patience=5.0)
            break
    else:
        raise AssertionError(f'{line} is expected:\n{shell.text()}')
    shell.type('\x15')


@pytest.mark.parametrize('shell', SHELLS, indirect=True)
def test_shell(shell: Screen, registry: Registry) -> None:
    put_tiny_image(registry, 'completion/app', 'v1.25')
    at = f'registry://{registry.host}/completion/app'
    for typed, line in (('occystrap sear', 'occystrap search'), ('occystrap info regi', 'occystrap info registry://'),
                        ('occystrap info tar://im', 'occystrap info tar://images/'),
                        (f'occystrap info {at}:v', f'occystrap info {at}:v1.25')):
        completed(shell, typed, line)


def line_of(shell: str, occystrap: CommandLine, typed: str, **env: str) -> list[str]:
    """What a shell is answered, without what it needs for itself."""
    breaks = {'COMP_WORDBREAKS': ' \t\n"\'><=;|&(:'} if shell == 'bash' else {}
    words = {'COMP_LINE' if shell == 'bash' else 'COMP_WORDS': typed}
    result = occystrap(env={'_OCCYSTRAP_COMPLETE': f'{shell}_complete', **words, **breaks, **env})
    assert (result.code, result.err) == (0, '')
    return [re.sub(r'^(open|ended)[,\t]|\t.*', '', line) for line in result.out.splitlines() if line]


@pytest.mark.parametrize(('typed', 'answer'), [
    ('occystrap proc', ['process']), ('occystrap help pro', ['process', 'proxy']),
    ('occystrap --platform x pro', ['process', 'proxy']),
    ('occystrap process --no-v', ['--no-verify']), ('occystrap process --verify=', ['none', 'fast', 'full']),
    ('occystrap process lay', ['layout://']), ('occystrap process mou', []),
    ('occystrap process a mou', ['mounts://']),
    ('occystrap process tar://a.tar "dir://x?uniq', ['dir://x?unique_names=']),
    ('occystrap process a "dir://x?unique_names=t', ['dir://x?unique_names=true']),
    ('occystrap process a "tar://x?tag=y&form', ['tar://x?tag=y&format=']),
    ('occystrap process ./ap', ['./app one.tar']), ('occystrap process ap', ['app one.tar']),
    ('occystrap process "list://ap', ['list://app one.tar']), ('occystrap verify im', ['images/']),
    ('occystrap process a b --receipt im', ['images/']), ('occystrap process a b --temp-dir ', ['images/']),
    ('occystrap process a -f norm', ['normalize-timestamps']),
    ('occystrap process a -f normalize-timestamps:t', ['normalize-timestamps:ts=']),
    ('occystrap process a b --executor pro', ['processes']),
    ('occystrap process a b --executor processes:w', ['processes:workers=']),
    ('occystrap process nothing://', []), ('occystrap nothing ', []), ('occystrap process registry://', []),
])
def test_answers(typed: str, answer: list[str], occystrap: CommandLine, tmp_path: Path) -> None:
    (tmp_path / 'images').mkdir()
    (tmp_path / 'app one.tar').touch()
    (tmp_path / '.hidden').touch()
    home = tmp_path / 'home'
    found = line_of('zsh', occystrap, typed)
    assert [each for each in found if each != f'{home.name}/'] == answer
    assert bool(line_of('bash', occystrap, typed)) == bool(found)


def test_bash_replaces_what_follows_a_colon(occystrap: CommandLine, tmp_path: Path) -> None:
    (tmp_path / 'app one.tar').touch()
    assert line_of('bash', occystrap, 'occystrap process tar://a') == [r'//app\ one.tar']
    assert line_of('bash', occystrap, 'occystrap process "tar://a') == ['tar://app one.tar']


def test_repositories_and_tags(registry: Registry, occystrap: CommandLine) -> None:
    for tag in ('v1', 'v2', 'w1'):
        put_tiny_image(registry, 'completion/tags', tag)
    at = f'registry://{registry.host}/completion/ta'
    for shell, typed, expected in (('fish', at, [f'{at}gs:']), ('fish', f'{at}gs:v', [f'{at}gs:v1', f'{at}gs:v2']),
                                   ('bash', f'x {at}gs:w', ['w1'])):
        tries = (line_of(shell, occystrap, f'occystrap process {typed}') for _ in range(5))  # a machine may be slow
        assert next(filter(None, tries), []) == expected


@pytest.mark.parametrize('silent', [False, True], ids=['nobody there', 'silent'])
def test_a_registry_that_does_not_answer_is_not_waited_for(silent: bool, occystrap: CommandLine) -> None:
    with raw_server() as server:
        host = server.host if silent else '127.0.0.1:1'
        if silent:
            server.answers['GET /v2/app/tags/list'] = wait
        assert line_of('zsh', occystrap, f'occystrap process registry://{host}/app:v') == []


def wait(connection: object, server: RawServer) -> None:
    """Say nothing until the end."""
    server.closed.wait(60)
