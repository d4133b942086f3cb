"""Opening what a plugin's input reads, and tests that doing so again gives what is there then, and leaves nothing."""
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from occystrap_core.api.image_input import ImageInput
from occystrap_core.errors import OccystrapError
from occystrap_core.image.image import Content, Image
from occystrap_core.oci.digest import Digest
from occystrap_core.plugins.resolver import open_source, source_location
from occystrap_core.settings import Settings
from occystrap_core.testing.conformance import DestinationConformance, tars_of, uri_fields
from occystrap_core.testing.memory_limit import BIG, within_memory
from occystrap_core.testing.process_manners import ProcessManners
from occystrap_core.testing.sample import sample_image
from occystrap_core.testing.tricky_images import big_image


class RereadImages(DestinationConformance, ProcessManners):
    """An input, and the destination at which it finds images."""

    written = ''
    """The destination at which the writer of the plugin puts the images, if not at `uri`."""
    checks_config = True
    """Whether the format has a digest of the config, so that a changed one is noticed."""
    most_memory = 24 << 20
    """The bytes of Python's memory that may be in use, at most, while a layer of 64 MiB is read."""
    reads_all_to_open = False
    """Whether the format has no metadata that can be read without the layers, such as a stream."""

    def put(self, directory: Path, image: Image) -> None:
        """Put an image where `uri` will find it."""
        uri = (self.written or self.uri).format_map(uri_fields(directory))
        self.write_to(self.destination(uri), image)

    def use(self, directory: Path) -> None:
        """Read an image, after one that is not there."""
        (directory / 'absent').mkdir()
        with suppress(OccystrapError, OSError):
            with self.opened(directory / 'absent') as image:
                self.layers_of(image)
        self.put(directory, sample_image())
        with self.opened(directory) as image:
            self.layers_of(image)

    @contextmanager
    def source(self, directory: Path, **changed: Any) -> Iterator[tuple[ImageInput, Settings]]:
        """Yield an input for the time of a block, with changed settings if there are any."""
        location = source_location(self.plugins, self.uri.format_map(uri_fields(directory)))
        with self.run(**changed) as settings:
            source = open_source(self.plugins, location, settings)
            assert isinstance(source, ImageInput), f'{type(source).__name__} is no ImageInput'
            try:
                yield source, settings
            finally:
                source.close()

    @contextmanager
    def opened(self, directory: Path, **changed: Any) -> Iterator[Image]:
        """Yield the only image at the source for the time of a block, with changed settings if there are any."""
        with self.source(directory, **changed) as (source, _):
            reference, = source.references()
            with source.open(reference) as content:
                assert isinstance(content, Image), 'one image was put there, and an index was opened'
                yield content

    def layers_of(self, image: Image) -> list[bytes]:
        """Return the tars of all layers, lowest first, also of an image that arrives in a stream."""
        if not image.sequential:
            return tars_of(image)
        found = {}
        for layer in image.arrivals():
            with layer.tar() as stream:
                found[layer] = b''.join(bytes(chunk) for chunk in stream.chunks())
        by_digest = {layer.diff_id: tar for layer, tar in found.items()}
        return [by_digest[diff_id] for diff_id in image.diff_ids]

    def test_a_layer_is_never_held_in_memory(self, tmp_path: Path) -> None:
        self.put(tmp_path, big_image(BIG))
        within_memory(lambda: self._drained(tmp_path), self.most_memory, 'reading')

    def _drained(self, tmp_path: Path) -> None:
        with self.opened(tmp_path) as image:
            for layer in image.arrivals():
                with layer.tar() as stream:
                    stream.drain()

    def test_an_image_can_be_opened_again(self, tmp_path: Path) -> None:
        self.put(tmp_path, sample_image())
        with self.source(tmp_path) as (source, _):
            for _ in range(2):
                reference, = source.references()
                with source.open(reference) as image:
                    assert isinstance(image, Image) and self.layers_of(image) == tars_of(sample_image())

    def test_an_image_that_was_replaced_is_noticed(self, tmp_path: Path) -> None:
        for name in ('one', 'two'):
            image = sample_image(variant=name)
            self.put(tmp_path, image)
            with self.source(tmp_path) as (source, _):
                reference, = source.references()
                present = source.present_digest(reference)
                with source.open(reference) as found:
                    assert isinstance(found, Image)
                    assert found.diff_ids == image.diff_ids, 'the image that was there before is given out'
                    if found.sequential:
                        self.layers_of(found)
                    assert present in (None, *digests_of(found)), 'present_digest is that of the image before'

    def test_reading_changes_nothing(self, tmp_path: Path) -> None:
        place, temporary = tmp_path / 'place', tmp_path / 'temporary'
        for directory in (place, temporary):
            directory.mkdir()
        self.put(place, sample_image())
        before = self.content(place) if '{directory}' in self.uri else {}
        with self.opened(place, temporary=str(temporary)) as image:
            self.layers_of(image)
        after = self.content(place) if '{directory}' in self.uri else {}
        assert after == before, f'reading has changed the source: {sorted(after.keys() ^ before.keys())}'
        assert not os.listdir(temporary), f'this is left in --temporary: {os.listdir(temporary)}'


def digests_of(content: Content) -> set[Digest | None]:
    """Return the digests that may stand for an image or an index."""
    if not isinstance(content, Image):
        return {content.index.digest}
    found = {content.config.digest, *([content.manifest.digest] if content.manifest else [])}
    return {*found, *([content.origin.digest] if content.origin else [])}
