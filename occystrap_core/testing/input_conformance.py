"""Tests for the author of an input: subclass InputConformance, say where it reads, run pytest.

    class TestFlatInput(InputConformance):
        uri = 'flat://{directory}/image'

The images are written there by the writer of the same scheme; without one, override `put`.
"""
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from occystrap_core.errors import ImageNotFound, OccystrapError, UsageError
from occystrap_core.image.image import Content, Image
from occystrap_core.oci.platform import Platform
from occystrap_core.plugins.resolver import open_output
from occystrap_core.testing.conformance import tars_of, uri_fields
from occystrap_core.testing.damage import SPOILS, spoiled, with_content
from occystrap_core.testing.process_manners import bytes_read
from occystrap_core.testing.reread_images import RereadImages, digests_of
from occystrap_core.testing.sample import sample_image
from occystrap_core.testing.tricky_images import LARGE, TRICKY, big_image, several_platforms


class InputConformance(RereadImages):
    """The requirements for an input. Set `uri`; override `put` if the plugin has no writer for the same place."""

    @pytest.mark.parametrize('name', TRICKY)
    def test_an_image_that_was_put_there_comes_out_the_same(self, tmp_path: Path, name: str) -> None:
        image, same = TRICKY[name](), TRICKY[name]()
        assert isinstance(image, Image) and isinstance(same, Image)
        self.put(tmp_path, image)
        with self.opened(tmp_path) as found:
            assert found.diff_ids == image.diff_ids, 'the layers are not those of the image'
            assert self.layers_of(found) == self.layers_of(same), 'the layers have other bytes'
            assert found.config.raw == same_config(same), 'the config has other bytes'

    def test_an_image_has_a_name_that_opens_it(self, tmp_path: Path) -> None:
        self.put(tmp_path, sample_image())
        with self.source(tmp_path) as (source, _):
            references = list(source.references())
            assert len(references) == 1, f'one image was put there, and these are found: {references}'
            assert list(source.references()) == references, 'references gives other names when it is called again'
            hash(source.content_key(references[0]))
            assert str(source.location_of(references[0])), 'location_of must name the image alone'

    def test_opening_reads_no_layer(self, tmp_path: Path) -> None:
        if self.reads_all_to_open:
            pytest.skip('the format has no metadata of its own: reads_all_to_open')
        self.put(tmp_path, big_image(LARGE))
        with self.opened(tmp_path):
            pass  # what is imported at first use is not counted
        before = bytes_read()
        with self.opened(tmp_path):
            read = bytes_read() - before
        assert read < LARGE // 2, f'open reads {read} bytes of an image whose layer has {LARGE}'

    def test_layers_can_be_opened_again_and_from_several_threads(self, tmp_path: Path) -> None:
        self.put(tmp_path, sample_image())
        with self.opened(tmp_path) as image:
            if image.sequential:
                pytest.skip('the layers arrive in a stream')
            expected = tars_of(image)
            with ThreadPoolExecutor(4) as threads:
                found = list(threads.map(lambda _: tars_of(image), range(4)))
        assert found == [expected] * 4, 'layers give other bytes when several threads read them'

    def test_a_layer_can_be_left_half_read(self, tmp_path: Path) -> None:
        self.put(tmp_path, sample_image())
        with self.opened(tmp_path) as image:
            if image.sequential:
                pytest.skip('the layers arrive in a stream')
            for layer in image.layers:
                with layer.tar() as stream:
                    stream.readinto(memoryview(bytearray(100)))
            assert tars_of(image) == tars_of(sample_image())

    def test_a_size_that_is_known_before_is_right(self, tmp_path: Path) -> None:
        self.put(tmp_path, sample_image())
        with self.opened(tmp_path) as image:
            if image.sequential:
                pytest.skip('the layers arrive in a stream')
            sizes = [layer.tar_size() for layer in image.layers]
            for size, tar in zip(sizes, tars_of(image), strict=True):
                assert size in (None, len(tar)), f'tar_size is {size}, and the tar has {len(tar)} bytes'

    def test_the_platform_that_was_chosen_is_opened(self, tmp_path: Path) -> None:
        uri = (self.written or self.uri).format_map(uri_fields(tmp_path))
        with self.run() as settings:
            if not open_output(self.plugins, self.destination(uri), settings).holds_indexes:
                pytest.skip('the writer does not hold indexes')
        self.write_to(self.destination(uri), several_platforms())
        for name in ('amd64', 'arm64'):
            with self.opened(tmp_path, platform=Platform('linux', name)) as image:
                assert image.platform == Platform('linux', name), f'--platform=linux/{name} gives {image.platform}'

    def test_the_digest_that_is_present_is_that_of_what_is_opened(self, tmp_path: Path) -> None:
        self.put(tmp_path, sample_image())
        with self.source(tmp_path) as (source, _):
            reference, = source.references()
            present = source.present_digest(reference)
            with source.open(reference) as content:
                if isinstance(content, Image) and content.sequential:
                    self.layers_of(content)  # the config of a streamed image comes last
                if present is not None:
                    assert present in digests_of(content), 'present_digest is not the digest of manifest or image'

    def test_an_image_that_is_not_there_is_an_error_that_names_it(self, tmp_path: Path) -> None:
        with pytest.raises((ImageNotFound, UsageError, OccystrapError, OSError)) as raised:
            with self.opened(tmp_path / 'absent') as image:
                self.layers_of(image)
        text = str(raised.value)
        name = uri_fields(tmp_path / 'absent')['name'] if '{name}' in self.uri else 'absent'
        assert '\n' not in text and name in text, f'the message does not name the image: {text}'

    @pytest.mark.parametrize('how', SPOILS)
    def test_something_else_in_its_place_is_an_error_without_an_unknown_exception(self, tmp_path: Path, how: str,
                                                                                  ) -> None:
        self.require_files()
        self.put(tmp_path, sample_image())
        for path in [*tmp_path.iterdir(), *self.images(tmp_path)]:
            with spoiled(path, how, tmp_path):
                found = self._read_or_refused(tmp_path)
                assert found is None or path.parent != tmp_path, f'{how} in place of {path.name} is read as an image'
                assert found in (None, self._right()), f'{how} in place of {path.name}: another image is given out'

    def _read_or_refused(self, directory: Path) -> tuple[list[bytes], bytes] | None:
        """Return the layers and the config, or None after an error that users understand."""
        try:
            with self.opened(directory) as image:
                layers = self.layers_of(image)
                return layers, image.config.raw if self.checks_config else b''
        except (OccystrapError, OSError) as error:
            assert '\n' not in str(error), f'the message has several lines: {error}'
            return None

    def _right(self) -> tuple[list[bytes], bytes]:
        image = sample_image()
        return tars_of(image), image.config.raw if self.checks_config else b''

    def test_damaged_bytes_are_never_given_out_as_an_image(self, tmp_path: Path) -> None:
        self.require_files()
        self.put(tmp_path, sample_image())
        config = sample_image().config.raw if self.checks_config else None
        for path in self.images(tmp_path):
            for name, content in _damaged(path.read_bytes(), config):
                with with_content(path, content):
                    found = self._read_or_refused(tmp_path)
                assert found in (None, self._right()), f'{path.name}, {name}: other bytes are given out as the image'


def same_config(image: Content) -> bytes:
    """Return the config of an image, which for a streamed one is known when its layers were read."""
    assert isinstance(image, Image)
    return image.config.raw


def _damaged(content: bytes, config: bytes | None) -> Iterator[tuple[str, bytes]]:
    """Yield damaged contents of a file. A config in it has bits flipped, too, which leave it JSON."""
    yield 'cut in half', content[:len(content) // 2]
    places = [(len(content) - 1) * number // 8 for number in range(9) if content]
    if config and (begin := content.find(config)) >= 0:
        places += [begin + word.start() for word in re.finditer(rb'(?<=[a-z])[a-z](?=[a-z])', config)][::8]
    for place in places:
        yield f'byte {place} flipped', content[:place] + bytes([content[place] ^ 1]) + content[place + 1:]
