"""Tests of where a writer puts files, and what they are like for others: readers, another user, another directory."""
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from occystrap_core.errors import OccystrapError
from occystrap_core.files.stream import Readable
from occystrap_core.settings import VerifyLevel
from occystrap_core.testing.conformance import DestinationConformance
from occystrap_core.testing.sample import sample_image, sample_layers
from occystrap_core.testing.tricky_images import plain_image
from occystrap_core.testing.watched_calls import observed, written_path

ODD = 'a b%41;\xe9#+'
"""A name with characters that mean something in URIs."""


class WrittenFiles(DestinationConformance):
    """What must be true of the files of a destination."""

    def test_no_file_is_written_under_its_final_name(self, tmp_path: Path) -> None:
        self.require_files()
        with _written(created=True) as paths:
            self.write(tmp_path, sample_image(variant='earlier'))
            self.write(tmp_path, sample_image())
        found = [path.name for path in self.images(tmp_path) if str(path) in paths and path.name not in self.secondary]
        assert found == [], f'these are written in place, so that others see half of them: {found}'

    def test_nothing_is_written_elsewhere(self, tmp_path: Path) -> None:
        self.require_files()
        place, temporary = tmp_path / 'place', tmp_path / 'temporary'
        for directory in (place, temporary):
            directory.mkdir()
        self.write(place, sample_image())  # what is imported at first use may be compiled then
        with _written() as paths:
            self.write(place, sample_image(variant='two'), temporary=str(temporary))
        outside = sorted(path for path in paths - {os.devnull} if not path.startswith((str(place), str(temporary))))
        assert outside == [], (
            f'these are written elsewhere, perhaps in another file system, where no run cleans up: {outside}')
        assert not os.listdir(temporary), f'this is left in --temporary: {os.listdir(temporary)}'

    def test_others_may_read_what_was_written(self, tmp_path: Path) -> None:
        self.require_files()
        before = os.umask(0o022)
        try:
            self.write(tmp_path, sample_image())
        finally:
            os.umask(before)
        files = self.images(tmp_path)
        above = {each for path in files for each in path.parents if tmp_path in each.parents}
        closed = [path.name for path in (*files, *above) if not path.stat().st_mode & 0o044]
        assert closed == [], f'these have the mode of a temporary file, so only their user can read them: {closed}'

    def test_a_path_may_have_any_characters(self, tmp_path: Path) -> None:
        self.require_files()
        (tmp_path / ODD).mkdir()
        receipt = self.write(tmp_path / ODD, sample_image())
        outside = [name for name in os.listdir(tmp_path) if name != ODD]
        assert outside == [] and self.images(tmp_path / ODD), f'the image is not in {ODD!r}: {outside}'
        self.require_verified(receipt)

    def test_a_missing_directory_above_is_refused_by_its_name(self, tmp_path: Path) -> None:
        self.require_files()
        with pytest.raises(OccystrapError) as raised:
            self.write(tmp_path / 'unmounted' / 'below', sample_image())
        assert 'unmounted' in str(raised.value), f'the message does not name the directory: {raised.value}'
        assert os.listdir(tmp_path) == [], 'directories above are created: the medium may not be mounted'

    def test_an_image_that_was_moved_is_verified_at_its_new_place(self, tmp_path: Path) -> None:
        self.require_files()
        old, new = tmp_path / 'old', tmp_path / 'new'
        old.mkdir()
        receipt = self.write(old, sample_image())
        self.require_verified(receipt)
        old.rename(new)
        old.mkdir()
        self.write(old, sample_image(variant='another'))
        self.require_verified(receipt.at(receipt.path.replace(str(old), str(new))))

    def test_a_damaged_layer_is_not_taken_for_whole(self, tmp_path: Path) -> None:
        self.require_files()
        self.write(tmp_path, sample_image())
        for path in self.images(tmp_path):
            before = path.read_bytes()
            path.write_bytes(before[:len(before) // 2] + bytes(byte ^ 1 for byte in before[len(before) // 2:]))
            try:
                receipt = self.write(tmp_path, sample_image(), verify=VerifyLevel.FULL)
            except OccystrapError:
                path.write_bytes(before)  # a place that holds no image may be refused
            else:
                self.require_verified(receipt, VerifyLevel.FULL)

    def test_each_layer_is_read_once(self, tmp_path: Path) -> None:
        opened: list[int] = []

        def opener(number: int) -> Readable:
            opened.append(number)
            return io.BytesIO(sample_layers()[number])
        self.write(tmp_path, plain_image(sample_layers(), [partial(opener, number) for number in range(3)]))
        assert len(opened) == len({*opened}), f'layers are read again, perhaps from a registry far away: {opened}'

    def test_a_dry_run_writes_nothing(self, tmp_path: Path) -> None:
        before = self.content(tmp_path)
        with self.run() as settings, _written() as paths:
            self.output(tmp_path, settings).require_possible(sample_image())
        here = sorted(path for path in paths if path.startswith(f'{tmp_path}/'))
        assert here == [] and self.content(tmp_path) == before, f'require_possible writes: {here}'


@contextmanager
def _written(created: bool = False) -> Iterator[set[str]]:
    """Yield a set that gets the absolute paths which are written to or made in the block, without compiled modules; or
    only those of files that are created, or emptied."""
    paths: set[str] = set()

    def observe(event: str, arguments: tuple[object, ...]) -> None:
        path = written_path(event, arguments)
        flags = arguments[2] if event == 'open' else 0
        if created and not (isinstance(flags, int) and flags & (os.O_CREAT | os.O_TRUNC)):
            return
        if path and os.path.isabs(path) and '__pycache__' not in path:
            paths.add(path)
    with observed(observe):
        yield paths
