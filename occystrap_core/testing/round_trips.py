"""Writing images that are easy to get wrong: each must be there, verified and, where there is an input, readable."""
import io
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from occystrap_core.api.image_input import ImageInput
from occystrap_core.api.schemes import InputScheme
from occystrap_core.files.stream import Readable
from occystrap_core.image.image import Image, ImageIndex
from occystrap_core.plugins.resolver import open_source, source_location
from occystrap_core.testing.altered_images import Meanwhile, sample_image_with
from occystrap_core.testing.conformance import uri_fields
from occystrap_core.testing.later_run import write_later
from occystrap_core.testing.sample import sample_image
from occystrap_core.testing.tricky_images import TRICKY, plain_image, several_platforms, tar_of
from occystrap_core.testing.verifier_conformance import VerifierConformance
from occystrap_core.verification.receipt import Receipt


class RoundTrips(VerifierConformance):
    """Tests that must succeed with every image."""

    source_uri = ''
    """Where an image is read back, if that is not the scheme and path of its destination."""

    def reread(self, directory: Path) -> Image | ImageIndex | None:
        """Return what the plugin's own input opens at the destination, read to its end; None without an input."""
        location = self.location(directory)
        names = [name for _, each in self.plugins.declared(InputScheme) for name in (each.name, *each.aliases)]
        if location.scheme not in names:
            return None
        with self.run() as settings:
            uri = self.source_uri.format_map(uri_fields(directory)) or f'{location.scheme}://{location.path}'
            place = source_location(self.plugins, uri)
            source = open_source(self.plugins, place, settings)
            assert isinstance(source, ImageInput)
            reference = next(iter(source.references()))
            with source.open(reference) as content:
                for image in [content] if isinstance(content, Image) else content.images():
                    for layer in image.arrivals():
                        with layer.tar() as stream:
                            stream.drain()
            source.close()
        return content

    @pytest.mark.parametrize('name', TRICKY)
    def test_an_image_is_verified_at_both_levels_and_can_be_read_back(self, tmp_path: Path, name: str) -> None:
        image = TRICKY[name]()
        assert isinstance(image, Image)
        receipt = self.write(tmp_path, image)
        self.require_verified(receipt)
        assert tuple(receipt.diff_ids) == image.diff_ids, 'the receipt is of an image with other layers'
        read = self.reread(tmp_path)
        if isinstance(read, Image):
            assert read.diff_ids == image.diff_ids, 'what is read back has other layers'
            assert read.config.raw == image.config.raw, 'what is read back has another config'

    def test_an_index_of_several_platforms_is_verified_at_both_levels(self, tmp_path: Path) -> None:
        with self.run() as settings:
            if not self.output(tmp_path, settings).holds_indexes:
                pytest.skip('the writer does not hold indexes')
        index = several_platforms()
        receipt = self.write(tmp_path, index)
        self.require_verified(receipt)
        assert receipt.is_index and receipt.manifest_digest == index.index.digest, 'the index is not the one written'
        assert len(receipt.all_parts()) == 2, 'the receipt does not cover both platforms'

    def test_layers_written_at_once_in_any_order_make_the_same_image(self, tmp_path: Path) -> None:
        tars = [tar_of((f'file-{number}', bytes([number]) * (3000 + number))) for number in range(6)]
        contents = []
        for name, openers in {'alone': [], 'at_once': _meeting(tars)}.items():
            (tmp_path / name).mkdir()
            receipt = self.write(tmp_path / name, plain_image(tars, openers), jobs=len(tars) if openers else 1)
            self.require_verified(receipt)
            contents.append((_expected(receipt), self._public(tmp_path / name)))
        changed = _names_of_changes(contents[0][1], contents[1][1])
        assert contents[0] == contents[1], f'the image depends on the order in which its layers arrive: {changed}'

    def test_an_image_that_is_written_meanwhile_does_no_harm(self, tmp_path: Path) -> None:
        one, two = tmp_path / 'one', tmp_path / 'two'
        for directory in (one, two):
            directory.mkdir()
        receipts: list[Receipt] = []
        other = threading.Thread(target=lambda: receipts.append(self.write(two, sample_image(variant='two'))))
        receipt = self.write(one, sample_image_with(2, partial(Meanwhile, other)), jobs=1)
        other.join()
        assert receipts, 'an image cannot be written while another one is written elsewhere'
        for each in (receipt, *receipts):
            self.require_verified(each)

    def test_writing_again_changes_nothing(self, tmp_path: Path) -> None:
        first = self.write(tmp_path, sample_image())
        before = self._public(tmp_path)
        second = self.write(tmp_path, sample_image())
        self.require_verified(second)
        changed = _names_of_changes(before, self._public(tmp_path))
        assert changed == [], f'writing the same image again changes these: {changed}'
        assert [each[:4] for each in first.expectations] == [each[:4] for each in second.expectations], (
            'writing the same image again gives another receipt')

    def test_two_runs_write_the_same_bytes(self, tmp_path: Path) -> None:
        one, two = tmp_path / 'one', tmp_path / 'two'
        for directory in (one, two):
            directory.mkdir()
        self.write(one, sample_image())
        if '{directory}' in self.uri:
            write_later(self.plugin, self.uri, self.settings, two)
        else:
            self.write(two, sample_image())  # services refuse what comes from the future
        changed = _names_of_changes(self._public(one), self._public(two))
        assert changed == [], f'two runs write these differently, perhaps depending on the clock: {changed}'

    def _public(self, directory: Path) -> dict[str, object]:
        """Return the content of the destination without the writer's private files."""
        return {name: each for name, each in self.content(directory).items()
                if not {*self.private} & {*Path(name).parts}}

    def test_a_new_image_takes_the_place_of_the_one_before(self, tmp_path: Path) -> None:
        self.write(tmp_path, sample_image(variant='one'))
        self.require_verified(self.write(tmp_path, sample_image(variant='two')))


def _meeting(tars: list[bytes]) -> list[Callable[[], Readable]]:
    """Return functions that open layers after waiting for each other, so that the last one goes first."""
    barrier = threading.Barrier(len(tars))
    return [partial(_Met, tar, barrier, number) for number, tar in enumerate(tars)]


class _Met:
    """Some bytes; their readers meet before the first and before the last of them."""

    def __init__(self, tar: bytes, barrier: threading.Barrier, number: int) -> None:
        self._tar, self._barrier, self._number = io.BytesIO(tar), barrier, number
        self._last = len(tar) - 1
        self._meet()

    def _meet(self) -> None:
        with suppress(threading.BrokenBarrierError):  # a writer may take one layer at a time
            self._barrier.wait(0.2)
        threading.Event().wait(0.002 * (self._barrier.parties - self._number))

    def readinto(self, buffer: memoryview, /) -> int:
        before = self._last - self._tar.tell()
        if before == 0:
            self._meet()
        return self._tar.readinto(buffer[:before] if before > 0 else buffer)

    def close(self) -> None:
        """Nothing is open."""


def _expected(receipt: Receipt) -> list[tuple[object, ...]]:
    return sorted((each.kind, each.digest, each.size) for each in receipt.expectations if each.kind == 'layer')


def _names_of_changes(before: object, after: object) -> list[str]:
    """Return the names that were added, removed or changed between two contents."""
    assert isinstance(before, dict) and isinstance(after, dict)
    return sorted(name for name in {*before, *after} if before.get(name, _GONE) != after.get(name, _GONE))


_GONE = object()
