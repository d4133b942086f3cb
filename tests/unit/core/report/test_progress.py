"""Figures of progress, bars on a terminal, lines elsewhere; tests/functional/test_screens.py has what users see."""
import io
import sys
import threading

import pytest
from rich.console import Console

from occystrap_core.report.bulk_progress import BulkProgress
from occystrap_core.report.image_report import ImageReport
from occystrap_core.report.progress import Progress
from occystrap_core.report.progress_bars import TerminalProgress
from occystrap_core.report.progress_kinds import PlainProgress, progress_for
from occystrap_core.report.transfer_meter import RunMeter, TransferMeter
from occystrap_core.terminal import print_message
from occystrap_core.terminal_text import duration_text, shortened, sizes_text

MIB = 1 << 20


class Terminal(io.StringIO):
    """What bars are drawn on."""

    def isatty(self) -> bool:
        return True


class Clock:
    """A clock that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def reports(count: int) -> list[ImageReport]:
    """Images named by numbers."""
    return [ImageReport(str(number), 'dir://out') for number in range(count)]


def drawn(progress: TerminalProgress) -> list[list[str]]:
    """The lines, as the words in them."""
    console = Console(file=io.StringIO(), width=200)
    with console.capture() as capture:
        console.print(progress.lines())
    return [line.split() for line in capture.get().splitlines()]


@pytest.mark.parametrize('count', [1, 2])
def test_of_several_images_one_line_is_for_all(count: int) -> None:
    progress = TerminalProgress(Terminal())
    progress.begin(reports(count))
    try:
        with progress.image('app:v1', 100) as advance:
            advance(0)
            advance(30)
            lines = drawn(progress)
            assert ['app:v1', '30/100', 'B'] == [each for each in lines[-1] if '━' not in each][:3]
            assert [line[:2] for line in lines[:-1]] == [['0/2', 'images']][:count - 1]
        assert len(drawn(progress)) == count - 1
        with progress.image('app:v2', 0) as advance:
            advance(5)
            assert '?' not in str(drawn(progress)) and drawn(progress)[-1][2:4] == ['5', 'B']
        with progress.verification('app:v1'):
            assert drawn(progress)[-1] == ['app:v1', 'verifying', '-:--']
    finally:
        progress.end()


def test_names_cannot_disturb_the_terminal() -> None:
    progress = TerminalProgress(Terminal())
    progress.begin(reports(1))
    with progress.image('app\x1b[2J:v1', 100):
        assert drawn(progress)[0][0] == 'app\\x1b[2J:v1'
    progress.end()


def test_standard_streams_stay_as_they_are() -> None:
    streams = sys.stdout, sys.stderr
    progress = TerminalProgress(Terminal())
    progress.begin([])
    try:
        assert (sys.stdout, sys.stderr) == streams
    finally:
        progress.end()


def test_messages_are_printed_above_the_bars(capsys: pytest.CaptureFixture[str]) -> None:
    target = Terminal()
    progress = TerminalProgress(target)
    progress.begin(reports(1))
    print_message('warning: something')
    assert 'warning: something' in target.getvalue() and capsys.readouterr().err == ''
    progress.end()
    print_message('the end')
    assert capsys.readouterr().err == 'the end\n'


@pytest.mark.parametrize('count', [1, 2])
def test_a_failed_image_is_named_beside_the_bars_only_if_there_are_several(count: int) -> None:
    target = Terminal()
    progress = TerminalProgress(target)
    progress.begin(reports(count))
    progress.finished(ImageReport('0', 'dir://out', failure='why'))
    progress.end()
    assert ('0 FAILED: why' in target.getvalue()) is (count > 1)


@pytest.mark.parametrize(('count', 'lines'), [(1, []), (2, ['[1/2]', '[2/2]'])])
def test_without_a_terminal_each_of_several_images_has_a_numbered_line(count: int, lines: list[str]) -> None:
    target = io.StringIO()
    progress = PlainProgress(target)
    images = reports(count)
    progress.begin(images)
    for image in images:
        progress.finished(image)
    progress.end()
    assert [line.split()[0] for line in target.getvalue().splitlines()] == lines


def test_lines_of_a_log_have_size_rate_and_time_left() -> None:
    target, clock = io.StringIO(), Clock()
    progress = PlainProgress(target)
    progress.run = RunMeter(1, clock)
    progress.tell()
    with progress.image('app:v1', 600 * MIB) as advance:
        clock.now = 10.0
        advance(120 * MIB)
        progress.tell()
    with progress.verification('app:v1'):
        progress.tell()
    progress.tell()
    assert target.getvalue().splitlines() == ['app:v1: 120.0/600.0 MiB, 12.0 MiB/s, 0:40 left', 'app:v1: verifying']


def test_lines_come_by_themselves_until_the_end() -> None:
    class Log(io.StringIO):
        def write(self, text: str) -> int:
            written.set()
            return super().write(text)
    written = threading.Event()
    progress = PlainProgress(Log(), interval=0.01)
    progress.begin(reports(1))
    with progress.image('app:v1', 100):
        assert written.wait(20)
        progress.end()


def test_lines_of_several_images_have_the_state_of_all() -> None:
    target, clock = io.StringIO(), Clock()
    progress = PlainProgress(target)
    progress.run = RunMeter(3, clock)
    progress.finished(ImageReport('b', 'dir://out', done_before=True))
    with progress.image('a', 60 * MIB) as advance:
        clock.now = 10.0
        advance(20 * MIB)
        progress.tell()
        with progress.image('c', 40 * MIB):
            progress.tell()
    assert target.getvalue().splitlines()[1:] == [
        '1/3 images: 20.0 MiB, 2.0 MiB/s, 0:20 left', '1/3 images: 20.0/100.0 MiB, 2.0 MiB/s, 0:40 left']


def test_the_rate_is_that_of_the_last_half_minute() -> None:
    clock = Clock()
    meter = TransferMeter(100 * MIB, clock)
    for clock.now in range(0, 61, 10):
        meter.advance(10 * MIB if clock.now <= 30 else MIB)
        meter.sample()
    assert (meter.size(), meter.speed(), meter.left()) == ('43.0/100.0 MiB', '102.4 KiB/s', '9:30')
    clock.now = 200.0
    meter.sample()
    assert (meter.speed(), meter.left()) == ('0 B/s', '')
    meter.advance(1000 * MIB)
    assert meter.size() == '100.0/100.0 MiB' and meter.fraction == 1.0


@pytest.mark.parametrize(('tty', 'env', 'kind'), [
    (True, {}, TerminalProgress), (False, {}, PlainProgress), (True, {'TERM': 'dumb'}, PlainProgress),
    (True, {'NO_COLOR': '1'}, PlainProgress), (True, {'NO_COLOR': ''}, TerminalProgress),
], ids=str)
def test_kind_that_fits(tty: bool, env: dict[str, str], kind: type[Progress], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {'TERM': 'xterm', 'NO_COLOR': '', **env}.items():
        monkeypatch.setenv(name, value)
    target = Terminal() if tty else io.StringIO()
    assert type(progress_for(target)) is kind and type(progress_for(target, quiet=True)) is Progress


def test_texts() -> None:
    assert [shortened('registry/app:v1', length) for length in (20, 15, 9, 2, 1)] == [
        'registry/app:v1', 'registry/app:v1', 'regi…p:v1', '…1', '…']
    assert [duration_text(each) for each in (0, 59.6, 61, 3661)] == ['0:00', '1:00', '1:01', '1:01:01']
    assert [sizes_text(1, 1023), sizes_text(512, 1024), sizes_text(0, 5 << 30)] == [
        '1/1023 B', '0.5/1.0 KiB', '0.0/5.0 GiB']


def test_a_bulk_run_says_what_each_worker_has_done_and_has_and_of_many_what_each_machine_has(
        capsys: pytest.CaptureFixture[str]) -> None:
    progress = BulkProgress()
    progress.at_work = lambda: 2
    progress.tell()
    assert capsys.readouterr().err.rstrip().endswith('0 images done, 2 in flight, 0 B, 0 B/s')
    progress.by_worker = lambda: {'node:1': (7, 1), 'node:2': (0, 1)}
    progress.tell()
    assert '; by worker: node:1 7 done 1 in flight, node:2 0 done 1 in flight\n' in capsys.readouterr().err
    progress.by_worker = lambda: {f'node-{number // 2:02}:{number}': (1, 1) for number in range(20)}
    progress.tell()
    output = capsys.readouterr().err
    assert '; by machine: node-00 2 done 2 in flight, node-01 2 done 2 in flight, ' in output
    assert ' and 2 more\n' in output
