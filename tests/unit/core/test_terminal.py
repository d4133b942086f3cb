"""What goes to a terminal: escaped, one line, not endless, from one place alone."""
import ast
import io
import json
import logging
import weakref
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import click
import pytest

import occystrap_core
from occystrap_core.cli.common import Common
from occystrap_core.report.image_report import ImageReport
from occystrap_core.report.progress_kinds import progress_for
from occystrap_core.terminal import EscapedStream, print_json, print_message
from occystrap_core.terminal_text import LONGEST, one_line, printable

ROOT = Path(occystrap_core.__file__).parent.parent
EVIL = ['\x1b[31m', '\x1b]0;PWNED\x07', '\r', '\n', '\t', '\x7f', '\x85', '\x9b31m', '\u2028', '\u2029', '\u200b',
        '\u200e', '\u200f', '\u202a', '\u202e', '\u2066', '\u2069', '\u061c', '\ufeff', '\u2060', '\U000e0041',
        '\ud800', '\udcff', '\u3164', '\u115f', '\u2800', '\u034f', '\ufe0f', '\U000e0100', '\ue000', '\u00a0']


@pytest.mark.parametrize('evil', EVIL)
def test_control_and_bidirectional_characters_are_escaped(evil: str) -> None:
    shown = one_line(f'größe {evil} 漢字')
    assert shown.startswith('größe \\') and shown.endswith(' 漢字') and evil[0] not in shown and '\x07' not in shown
    assert shown.encode() and '\n' not in shown


def test_bytes_that_are_not_utf_8_are_shown_as_escapes() -> None:
    assert printable('latin-\udce4') == r'latin-\xe4'


def test_floods_of_combining_characters() -> None:
    assert printable('e\u0301a') == 'e\u0301a'
    flood = printable('e' + '\u0301' * 50)
    assert flood.count('\u0301') == 4 and flood.count(r'\u0301') == 46


@pytest.mark.parametrize('text', ['n' * 10_000_000, '\x1b' * LONGEST, '漢' * (LONGEST + 1)])
def test_a_long_line_is_cut_and_says_so(text: str) -> None:
    assert len(one_line(text)) < LONGEST + 80
    assert one_line(text).endswith(f'… ({len(text)} characters in all: --debug shows them)')
    assert len(one_line(text, None)) >= len(text)


def test_lines_are_whole_with_debug(capsys: pytest.CaptureFixture[str]) -> None:
    context = click.Context(click.Command('x'), obj=Common(debug=True))
    with context.scope():
        print_message('n' * 10_000)
    print_message('n' * 10_000)
    whole, cut = capsys.readouterr().err.splitlines()
    assert len(whole) == 10_000 and len(cut) < LONGEST + 80


def test_json_is_ascii_and_whole(capsys: pytest.CaptureFixture[str]) -> None:
    data = {'names': ['\x1b\x9b\x7f\u202e\u2028\ud800漢\n', 'n' * 10_000]}
    print_json(data)
    output = capsys.readouterr().out
    assert output.replace('\n', '').isprintable() and output.isascii() and json.loads(output) == data


class Element(dict[str, int]):
    """An element of JSON, of which can be told whether it is in memory."""


def test_of_a_long_list_one_element_at_a_time_is_in_memory(capsys: pytest.CaptureFixture[str]) -> None:
    made, most = list[weakref.ref[Element]](), 0

    def element(number: int) -> Element:
        nonlocal most
        new = Element(number=number)
        made.append(weakref.ref(new))
        most = max(most, sum(each() is not None for each in made))
        return new
    print_json({'list': [partial(element, number) for number in range(100)]})
    assert json.loads(capsys.readouterr().out) == {'list': [{'number': number} for number in range(100)]}
    assert most <= 2


def stream(lossy: bool = False) -> tuple[EscapedStream, io.BytesIO]:
    """Return a guarded stream, and what comes out of it."""
    out = io.BytesIO()
    return EscapedStream(io.TextIOWrapper(out, 'latin-1', 'strict'), lossy), out


def test_all_output_to_a_guarded_stream_is_escaped() -> None:
    guarded, out = stream()
    print('a\x1b[31m\x9b\u202e\tb\nc\r漢', file=guarded, flush=True)
    click.echo(click.style('red', 'red') + '\x07', file=guarded)
    assert out.getvalue() == b'a\\x1b[31m\\x9b\\u202e\tb\nc\\r\\u6f22\nred\\x07\n'


def test_log_lines_are_lines(capsys: pytest.CaptureFixture[str]) -> None:
    from occystrap_core.cli.common import _show_log
    log = logging.getLogger('occystrap')
    before, log.handlers = log.handlers, []
    try:
        _show_log()
        log.debug('GET %s', '/\x1b[31m\nSummary: 1/1 verified')
    finally:
        log.handlers = before
        log.setLevel(logging.NOTSET)
    assert r'GET /\x1b[31m\nSummary: 1/1 verified' in capsys.readouterr().err


def test_bars_show_no_markup_and_no_escapes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('TERM', 'xterm')
    monkeypatch.delenv('NO_COLOR', raising=False)

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True
    target = Terminal()
    progress = progress_for(target)
    progress.begin([ImageReport('a', 'x'), ImageReport('b', 'x')])
    with progress.image('[bold]b\x1b]0;PWNED\x07\u202e', 100) as advance:
        advance(100)
        progress.finished(ImageReport('c', 'x', failure='why'))  # draws the bars first
    progress.finished(ImageReport('[red]b\x1b]0;PWNED\x07\u202e', 'there', failure='\x9b31m :smile: [link=x]'))
    progress.end()
    shown = target.getvalue()
    assert r'[bold]b\x1b]0;PWNED\x07' in shown and r'\x9b31m :smile: [link=x]' in shown and '[red]b' in shown
    assert not any(evil in shown for evil in ('\x1b]0;', '\x07', '\u202e', '\x9b'))


def sources() -> Iterator[Path]:
    """Yield the modules of core and plugins."""
    for place in ('occystrap_core', 'plugins'):
        yield from (path for path in (ROOT / place).rglob('*.py') if path.name != 'terminal.py')


_MODULES = ('sys', 'click', 'traceback', 'getpass', 'logging', 'rich', 'rich.console')
_WRITERS = {'print', 'input', 'echo', 'secho', 'prompt', 'confirm', 'stdout', 'stderr', '__stdout__', '__stderr__',
            'print_exc', 'print_exception', 'getpass', 'Console', 'StreamHandler', 'clear', 'pause', 'progressbar',
            'echo_via_pager'}
_ALLOWED = {('cli/main.py', 'stdout'), ('report/progress_kinds.py', 'stderr'), ('search/regex_child.py', 'stdout')}
"""Flushing at the end, the choice of a stream to draw on, and a program that answers another one."""


def test_nothing_is_written_past_the_terminal_module() -> None:
    found = [f'{path.relative_to(ROOT)}:{line}: {name}' for path in sources() for line, name in writers(path)
             if not any(path.match(f'occystrap_core/{file}') and name == allowed for file, allowed in _ALLOWED)]
    assert not found, found


def writers(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a module that get at something that writes, and its name."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            names = [node.attr] if node.value.id in _MODULES else []
        elif isinstance(node, ast.ImportFrom):
            names = [each.name for each in node.names] if node.module in _MODULES else []
        else:
            called = isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
            names = [node.func.id] if called and node.func.id in ('print', 'input') else []  # type: ignore
        yield from ((node.lineno, name) for name in names if name in _WRITERS)  # type: ignore[attr-defined]
