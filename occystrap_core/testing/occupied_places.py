"""Tests that a writer leaves alone what is not its own: files of other people, links, the work of another run."""
import os
from pathlib import Path

import pytest

from occystrap_core.errors import OccystrapError
from occystrap_core.testing.conformance import DestinationConformance
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

    def _written(self, directory: Path) -> Receipt | None:
        """Write the image; return its receipt, None if it was refused in one line."""
        try:
            return self.write(directory, sample_image())
        except OccystrapError as error:
            assert '\n' not in str(error) and len(str(error)) > 10, f'unclear: {error}'
            return None

    @pytest.mark.parametrize('what', ['file', 'directory'])
    def test_what_is_in_the_way_is_left_as_it_is(self, tmp_path: Path, what: str) -> None:
        for name in self.names(tmp_path / 'free'):
            directory = tmp_path / name
            foreign = directory / name if what == 'file' else directory / name / 'letter.txt'
            foreign.parent.mkdir(parents=True)
            foreign.write_bytes(FOREIGN)
            self._written(directory)
            assert foreign.is_file() and foreign.read_bytes() == FOREIGN, (
                f'{foreign.name}, a file of somebody else, was replaced or removed: only --force may do that')

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
            receipt = self._written(directory)
            assert link.is_symlink() and os.readlink(link) == led, f'the symbolic link {name} was replaced or removed'
            assert (tmp_path / 'file').read_bytes() == FOREIGN, f'a foreign file was replaced through the link {name}'
            if receipt:
                self.require_verified(receipt)
            elif target == 'image':
                assert self.content(tmp_path / 'image') == before, 'the image behind a link that was refused has changed'

    def test_a_file_in_the_way_gives_a_message_of_one_line(self, tmp_path: Path) -> None:
        self.require_files()
        (tmp_path / 'file').write_bytes(b'no directory')
        with pytest.raises(OccystrapError) as raised:
            self.write(tmp_path / 'file', sample_image())
        assert '\n' not in str(raised.value) and len(str(raised.value)) > 10, f'unclear: {raised.value}'
        assert (tmp_path / 'file').read_bytes() == b'no directory', 'a file of somebody else was replaced'
