"""A page that does not do what it says fails: whatever its blocks are, wherever it fails, and with its server."""
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.functional.pages.blocks import ROOT, Page
from tests.functional.pages.reader import Reader
from tests.services.registry import Registry
from tests.services.shell_commands import ShellCommands, shell_commands

BLOCKS = ('```bash\nfalse\n```\n', '```console\n$ false\noutput\n```\n', '```sh\nfalse\n```\n',
          '```\n# why\nfalse\n```\n', '```\n/bin/false\n```\n', '```\n~/none\n```\n', '```\n! true\n```\n',
          '    False\n', '    Summary: 1/1 image\n    false\n')
LINES = ('! cmp /dev/null none', '! true', 'false && true\ntrue', 'true && false', 'cmp /dev/null none || true',
         'false | true')
PASS = ('! cmp /dev/null images.txt', 'cmp /dev/null images.txt || true', 'true && true  # why',
        '```text\nfalse\n```', '    Summary: 1/1 image, 5 layers')
Read = Callable[[str], None]


@pytest.fixture
def read(shells: ShellCommands, tmp_path: Path) -> Read:
    """Follows a page of this text, which wants no registry."""
    def follow(text: str) -> None:
        (tmp_path / 'page.md').write_text(text)
        nobody = Registry(tmp_path, 'none.example', tmp_path)
        Reader(tmp_path, shells, nobody, nobody).follow(Page(str(tmp_path / 'page.md')), {'ROOT': str(ROOT), 'BIN': ''})
    return follow


@pytest.mark.parametrize('text', [*BLOCKS, *(f'```sh\n{line}\n```\n' for line in LINES)])
def test_page_fails(read: Read, text: str) -> None:
    with pytest.raises(AssertionError, match='page.md:'):
        read(text)


def test_page_passes(read: Read) -> None:
    read('\n'.join(line if line.startswith(('`', ' ')) else f'```sh\n{line}\n```' for line in PASS) + '\n')


def test_only_the_line_that_is_left_out_is_not_run(tmp_path: Path) -> None:
    (tmp_path / 'page.md').write_text('```sh\nfalse   # takes long\nfalse alarm\n```\n')
    page = Page(str(tmp_path / 'page.md'), left_out={'false': 'takes long'})
    assert page.script().split('\n') == ['', 'false alarm', '']


@pytest.mark.parametrize(('words', 'code'), [('--help', 0), ('--listen "Serving x at http://y"', 2)])
def test_server_that_does_not_start(read: Read, words: str, code: int) -> None:
    with pytest.raises(AssertionError, match=f'no server: it ended with {code}'):
        read(f'```sh\noccystrap serve {words}\n```\n')


def test_server_that_is_silent_or_does_not_stop(tmp_path: Path) -> None:
    with shell_commands(tmp_path / 'bin', seconds=0) as commands:
        words = [str(commands.directory / 'occystrap'), 'serve', '--storage', 's', '--listen', '127.0.0.1:0']
        done = subprocess.run(words, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
        assert done.returncode == 1 and 'no server after 0 s' in done.stderr
        commands.seconds = 20.0
        subprocess.run(words, cwd=tmp_path, check=True)
        assert commands.server
        commands.server.send(signal.SIGSTOP)
        commands.seconds = 0.0
        with pytest.raises(AssertionError, match='ended with -9'):
            commands.stop()


def test_command_that_cannot_be_answered_is_reported_and_the_next_one_is_run(tmp_path: Path) -> None:
    with shell_commands(tmp_path / 'bin') as commands, socket.socket(socket.AF_UNIX) as asked:
        asked.connect(str(commands.directory / 'socket'))
        asked.sendall(b'no JSON\n')
        assert 'JSONDecodeError' in asked.makefile().readline()
        subprocess.run([commands.directory / 'occystrap', '--version'], check=True, timeout=60)
