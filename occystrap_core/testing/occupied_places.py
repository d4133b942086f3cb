"""Tests that a writer leaves alone what is not its own: files of other people, links, the work of another run."""
import os
import threading
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from occystrap_core.errors import OccystrapError
from occystrap_core.testing.conformance import DestinationConformance
from occystrap_core.testing.altered_images import Broken, Meanwhile, sample_image_with
from occystrap_core.testing.sample import sample_image
from occystrap_core.verification.receipt import Receipt

FOREIGN = b'my thesis'
"""The content of a file that is no image."""


class OccupiedPlaces(DestinationConformance):
    """What must become of that which is already where an image should go."""

    def names(self, directory: Path) -> list[str]:
        """Return the names that an image takes in the directory of a destination."""
        self.require_files()
        directory.mkdir()
        self.write(directory, sample_image())
        return sorted({*os.listdir(directory)} - {*self.private})

    def written_or_refused(self, directory: Path) -> Receipt | None:
        """Write the image; return its receipt, None if it was refused in one line."""
        try:
            return self.write(directory, sample_image())
        except OccystrapError as error:
            assert '\n' not in str(error) and len(str(error)) > 10, f'unclear: {error}'
            return None

    @pytest.mark.parametrize('what', ['file', 'directory', 'files_named_alike'])
    def test_what_is_in_the_way_is_left_as_it_is(self, tmp_path: Path, what: str) -> None:
        for number, name in enumerate(self._foreign_names(tmp_path / 'free', what)):
            directory = tmp_path / str(number)
            foreign = directory / name
            foreign.parent.mkdir(parents=True)
            foreign.write_bytes(FOREIGN)
            self.written_or_refused(directory)
            assert foreign.is_file() and foreign.read_bytes() == FOREIGN, (
                f'{name}, a file of somebody else, was replaced or removed: only --force may do that')

    def _foreign_names(self, free: Path, what: str) -> list[Path]:
        """Return names for foreign files: those of images, or of what is in a directory with such a name."""
        names = [Path(name) for name in self.names(free)]
        if what == 'file':
            return names
        if what == 'directory':
            return [name / 'letter.txt' for name in names]
        return [name / each for name in names if (free / name).is_dir()
                for each in sorted(os.listdir(free / name)) if each not in self.private]

    @pytest.mark.parametrize('what', ['nothing', 'file', 'directory', 'link', 'missing'])
    def test_a_dry_run_refuses_what_a_run_refuses(self, tmp_path: Path, what: str) -> None:
        names = self._foreign_names(tmp_path / 'free', 'directory' if what == 'directory' else 'file')
        for number, name in enumerate(names):
            directory = tmp_path / str(number)
            foreign = directory / name
            if what != 'missing':
                foreign.parent.mkdir(parents=True)
            if what == 'link':
                foreign.symlink_to(tmp_path / 'nothing')
            elif what in ('file', 'directory'):
                foreign.write_bytes(FOREIGN)
            possible = self._is_possible(directory)
            assert possible == (self.written_or_refused(directory) is not None), (
                f'{what} at {name}: a dry run {"accepts" if possible else "refuses"} it, unlike prepare')

    def _is_possible(self, directory: Path) -> bool:
        try:
            with self.run() as settings:
                self.output(directory, settings).require_possible(sample_image())
        except OccystrapError:
            return False
        return True

    @pytest.mark.parametrize('target', ['image', 'file', 'directory', 'nothing'])
    def test_a_link_in_the_way_is_refused_or_followed_and_stays(self, tmp_path: Path, target: str) -> None:
        names = self.names(tmp_path / 'image')
        before = self.content(tmp_path / 'image')
        for name in names:
            directory = tmp_path / f'{name}-linked'
            directory.mkdir()
            (tmp_path / 'directory').mkdir(exist_ok=True)
            (tmp_path / 'file').write_bytes(FOREIGN)
            link = directory / name
            link.symlink_to(tmp_path / 'image' / name if target == 'image' else tmp_path / target)
            led = os.readlink(link)
            receipt = self.written_or_refused(directory)
            assert link.is_symlink() and os.readlink(link) == led, f'the symbolic link {name} was replaced or removed'
            assert (tmp_path / 'file').read_bytes() == FOREIGN, f'a foreign file was replaced through the link {name}'
            if receipt:
                self.require_verified(receipt)
            elif target == 'image':
                assert self.content(tmp_path / 'image') == before, 'the image behind a refused link has changed'

    def test_a_failure_leaves_what_others_put_there_meanwhile(self, tmp_path: Path) -> None:
        names, directory, foreign = self.names(tmp_path / 'free'), tmp_path / 'failing', set[Path]()
        directory.mkdir()

        def put() -> None:
            for path in (directory / name / 'letter.txt' for name in names if (directory / name).is_dir()):
                path.write_bytes(FOREIGN)
                foreign.add(path)
        with suppress(OccystrapError):
            self.write(directory, sample_image_with(2, partial(Broken, threading.Thread(target=put))), jobs=1)
        gone = [path.name for path in foreign if not path.is_file()]
        assert gone == [], f'somebody else put these there while the image was written, and they were removed: {gone}'

    def test_another_run_at_the_same_place_does_no_harm(self, tmp_path: Path) -> None:
        self.require_files()
        self.write(tmp_path, sample_image(variant='earlier'))
        other = threading.Thread(target=self._refused_or_done, args=(tmp_path, ), daemon=True)
        try:
            receipt = self.write(tmp_path, sample_image_with(2, partial(Meanwhile, other)), jobs=1)
        except (OccystrapError, OSError) as error:
            pytest.fail(f'another run at the same place harmed what this one was writing: {error}')
        if not other.is_alive():  # otherwise it waited for this one
            self.require_verified(receipt)
        other.join()

    def _refused_or_done(self, directory: Path) -> None:
        with suppress(OccystrapError, OSError):
            self.write(directory, sample_image(variant='other'))

    def test_a_file_in_the_way_gives_a_message_of_one_line(self, tmp_path: Path) -> None:
        self.require_files()
        (tmp_path / 'file').write_bytes(b'no directory')
        with pytest.raises(OccystrapError) as raised:
            self.write(tmp_path / 'file', sample_image())
        assert '\n' not in str(raised.value) and len(str(raised.value)) > 10, f'unclear: {raised.value}'
        assert (tmp_path / 'file').read_bytes() == b'no directory', 'a file of somebody else was replaced'
