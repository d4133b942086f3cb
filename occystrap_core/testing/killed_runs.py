"""Tests that what a killed run left is removed by the next one, and nothing else with it.

A copy of the destination, made while a run is at work, is what that run would leave: its files, without its locks.
"""
import re
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from occystrap_core.testing.altered_images import Meanwhile, sample_image_with
from occystrap_core.testing.failed_writes import FailedWrites, some_calls
from occystrap_core.testing.occupied_places import FOREIGN, OccupiedPlaces
from occystrap_core.testing.sample import sample_image
from occystrap_core.testing.watched_calls import FailingCall

_RANDOM = re.compile(r'[0-9A-Za-z_]{8,}')
"""What secrets and tempfile put into names, and perhaps longer words."""


class KilledRuns(FailedWrites, OccupiedPlaces):
    """What must become of that which a killed run left."""

    @pytest.mark.parametrize('before', [False, True], ids=['killed_first', 'killed_later'])
    def test_what_a_killed_run_left_is_removed_by_the_next(self, tmp_path: Path, before: bool) -> None:
        self.require_files()
        for when, left, complete in self._killed(tmp_path, before):
            self.require_verified(self.write(left, sample_image()))
            more = sorted(self.content(left).keys() - self.content(complete).keys())
            assert more == [], f'a run was killed {when}, and these files of it are there after the next one: {more}'

    @pytest.mark.parametrize('what', ['beside', 'link'])
    def test_nothing_else_is_removed_with_what_a_killed_run_left(self, tmp_path: Path, what: str) -> None:
        self.require_files()
        left, complete = tmp_path / 'left', tmp_path / 'complete'
        self._kill_in_a_layer(complete, left, False)
        more = self._outermost(left, complete)
        if not more:
            pytest.skip('all that a killed run leaves is private: nobody else puts anything there')
        put = _put_beside if what == 'beside' else partial(_put_behind_a_link, tmp_path)
        foreign = [file for path in more for file in put(path)]
        self.written_or_refused(left)
        gone = [str(path.relative_to(tmp_path)) for path in foreign if not path.is_file()]
        assert gone == [], f'these are of somebody else, and were removed with what a killed run left: {gone}'

    def _killed(self, directory: Path, before: bool) -> Iterator[tuple[str, Path, Path]]:
        """Yield when a run was killed, a directory as it was left then, and one in which it went on."""
        left, complete = directory / 'left', directory / 'complete'
        self._kill_in_a_layer(complete, left, before)
        yield 'while it wrote a layer', left, complete
        for number in some_calls(self.calls_of_finalize(directory / 'none', before)):
            left, complete = directory / f'left-{number}', directory / f'complete-{number}'
            self._made(complete, before)
            self.fail_in_finalize(complete, FailingCall(number, lambda _: _copy(complete, left)))
            yield f'before call {number} of finalize', left, complete

    def _kill_in_a_layer(self, at_work: Path, left: Path, before: bool) -> None:
        self._made(at_work, before)
        failed = list[Exception]()

        def copy() -> None:
            try:
                _copy(at_work, left)
            except Exception as error:
                failed.append(error)
        copying = threading.Thread(target=copy, daemon=True)
        self.write(at_work, sample_image_with(2, partial(Meanwhile, copying)), jobs=1)
        copying.join()
        for error in failed:
            raise error

    def _made(self, directory: Path, before: bool) -> None:
        """Create a directory, with an earlier image if there should be one."""
        directory.mkdir()
        self.earlier(directory, before)

    def _outermost(self, left: Path, complete: Path) -> list[Path]:
        """Return what is only in the first directory, without what is below that, and without private names."""
        more = [left / name for name in self.content(left).keys() - self.content(complete).keys()
                if not {*self.private} & {*Path(name).parts}]
        return sorted(path for path in more if path.parent not in more)


def _copy(directory: Path, target: Path) -> None:
    subprocess.run(['cp', '-a', str(directory), str(target)], check=True)


def _put_beside(path: Path) -> list[Path]:
    """Put foreign files or directories with similar names beside what a run left; return the files.

    One has only the ending of its name, others all but what may be random in it.
    """
    names = {f'thesis{path.suffix}', *(f'{path.name[:word.start()]}thesis{path.name[word.end():]}'
                                       for word in _RANDOM.finditer(path.name))}
    return [_foreign(path.with_name(name), path.is_dir()) for name in sorted(names)]


def _put_behind_a_link(directory: Path, path: Path) -> list[Path]:
    """Have a link with the name of what a run left lead to a foreign file or directory; return the file."""
    aside, target = (directory / f'{kind}-{path.name}' for kind in ('aside', 'target'))
    path.rename(aside)
    path.symlink_to(target)
    return [_foreign(target, aside.is_dir())]


def _foreign(path: Path, is_directory: bool) -> Path:
    """Put a foreign file at a path, or into a directory there; return the file."""
    if is_directory:
        path.mkdir()
        path /= 'letter.txt'
    path.write_bytes(FOREIGN)
    return path
