"""Bars on a terminal: one for each image in flight, of several one for all, none for text that is printed besides."""
import io
import sys

import pytest

from occystrap_core.pipeline.progress import PlainProgress, TerminalProgress
from occystrap_core.pipeline.report import ImageReport


class Terminal(io.StringIO):
    """What bars are drawn on."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize('count', [1, 2])
def test_of_several_images_one_bar_is_for_all(count: int) -> None:
    progress = TerminalProgress(io.StringIO())
    progress.begin([ImageReport(str(number), 'dir://out') for number in range(count)])
    try:
        overall, = progress._bars.tasks
        assert overall.visible is (count > 1) and overall.description == f'0/{count} images'
        with progress.image('app:v1', 100) as advance:
            advance(0)
            advance(30)
            mine = progress._bars.tasks[1]
            assert (mine.description, mine.total, mine.completed, overall.completed) == ('app:v1', 100, 30, 30)
        assert len(progress._bars.tasks) == 1
        with progress.image('app:v2', 0):
            assert progress._bars.tasks[1].total is None
        with progress.image('x' * 200, 5):
            assert progress._bars.tasks[1].description.count('x') == 120
    finally:
        progress.end()


def test_standard_streams_stay_as_they_are() -> None:
    streams = sys.stdout, sys.stderr
    progress = TerminalProgress(Terminal())
    progress.begin([])
    try:
        assert (sys.stdout, sys.stderr) == streams
    finally:
        progress.end()


@pytest.mark.parametrize(('count', 'lines'), [(1, []), (2, ['[1/2]', '[2/2]'])])
def test_without_a_terminal_each_of_several_images_has_a_numbered_line(count: int, lines: list[str]) -> None:
    target = io.StringIO()
    progress = PlainProgress(target)
    images = [ImageReport(str(number), 'dir://out') for number in range(count)]
    progress.begin(images)
    for image in images:
        progress.finished(image)
    assert [line.split()[0] for line in target.getvalue().splitlines()] == lines


@pytest.mark.parametrize('count', [1, 2])
def test_a_failed_image_is_named_beside_the_bars_only_if_there_are_several(count: int) -> None:
    target = Terminal()
    progress = TerminalProgress(target)
    progress.begin([ImageReport(str(number), 'dir://out') for number in range(count)])
    progress.finished(ImageReport('0', 'dir://out', failure='why'))
    assert progress._bars.tasks[0].description == f'1/{count} images'
    progress.end()
    assert ('0 FAILED: why' in target.getvalue()) is (count > 1)
