"""Tests for the author of a filter: subclass FilterConformance, name the filter as users do, run pytest.

    class TestWithoutDocs(FilterConformance):
        filter = 'without-docs:suffix=.md'
"""
import io
import tarfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from occystrap_core.api.image_filter import ImageFilter
from occystrap_core.api.image_output import ImageOutput
from occystrap_core.api.uri import Location
from occystrap_core.api.written_image import OutgoingLayer, WrittenImage, WrittenLayer
from occystrap_core.errors import OccystrapError, ServiceUnavailable
from occystrap_core.files.compression import inflate
from occystrap_core.files.stream import ByteStream, Readable
from occystrap_core.image.image import Image
from occystrap_core.image.layer import Layer
from occystrap_core.oci.digest import Digest
from occystrap_core.pipeline.image_copy import ImageCopy
from occystrap_core.plugins.resolver import open_filters
from occystrap_core.settings import Settings
from occystrap_core.testing.altered_images import breaking_image
from occystrap_core.testing.conformance import tars_of
from occystrap_core.testing.later_run import filtered_later
from occystrap_core.testing.memory_limit import BIG, within_memory
from occystrap_core.testing.process_manners import ProcessManners
from occystrap_core.testing.sample import sample_image, sample_layers
from occystrap_core.testing.tricky_images import TRICKY, big_image, plain_image, tar_of
from occystrap_core.testing.watched_calls import observed, written_path
from occystrap_core.verification.expectation import Expectation
from occystrap_core.verification.receipt import Receipt


class FilterConformance(ProcessManners):
    """The requirements for a filter."""

    filter = ''
    """The filter with its options, as after -f; `{directory}` is an empty directory."""
    most_memory = 24 << 20
    """The bytes of Python's memory that may be in use, at most, while a layer of 64 MiB is filtered."""

    def made(self, directory: Path, settings: Settings) -> ImageFilter:
        """Return a new filter."""
        made, = open_filters(self.plugins, [self.filter.format(directory=directory)], settings)
        return made

    def filtered(self, directory: Path, image: Image) -> list[bytes]:
        """Return the tars of an image after a new filter."""
        with self.run(temporary=str(directory)) as settings:
            return tars_of(self.made(directory, settings).apply(image))

    def copied(self, directory: Path, image: Image) -> WrittenImage:
        """Return an image as it is written after the filter."""
        with self.run(temporary=str(directory)) as settings:
            output = _Taking(Location('taking', str(directory), {}, {}), settings)
            ImageCopy(self.made(directory, settings).apply(image), output, settings, 'sample').run()
        assert output.written
        return output.written

    def use(self, directory: Path) -> None:
        """Copy an image through the filter, after one that breaks off."""
        with suppress(OccystrapError):
            self.filtered(directory, breaking_image(1, ServiceUnavailable))
        self.copied(directory, sample_image())

    def digests(self, directory: Path) -> list[str]:
        """Return the digests of config and layers of the sample image after the filter."""
        written = self.copied(directory, sample_image())
        return [str(written.config.digest), *map(str, written.config.diff_ids)]

    def test_another_process_years_later_makes_the_same_image(self, tmp_path: Path) -> None:
        later = filtered_later(self.plugin, self.filter, self.settings, tmp_path)
        assert later == self.digests(tmp_path), 'the result depends on the clock, or on hash() of names'

    def test_layers_give_the_same_bytes_in_any_order(self, tmp_path: Path) -> None:
        forwards = self.filtered(tmp_path, sample_image())
        with self.run(temporary=str(tmp_path)) as settings:
            image = self.made(tmp_path, settings).apply(sample_image())
            backwards = []
            for layer in reversed(image.layers):
                with layer.tar() as stream:
                    backwards.append(b''.join(map(bytes, stream.chunks())))
        assert backwards[::-1] == forwards, 'the filter keeps state between layers, which are read in any order'

    def test_a_damaged_layer_is_not_hidden(self, tmp_path: Path) -> None:
        tar = sample_layers()[0]
        image = plain_image([tar], [lambda: io.BytesIO(tar[:-1] + b'!')])
        with pytest.raises(OccystrapError):
            self.filtered(tmp_path, image)
            pytest.fail('damage after the last entry is not noticed: read the layer to its end')

    def test_the_blob_of_a_layer_has_its_tar(self, tmp_path: Path) -> None:
        with self.run(temporary=str(tmp_path)) as settings:
            image = self.made(tmp_path, settings).apply(sample_image())
            for layer, tar in zip(image.layers, tars_of(image), strict=True):
                if layer.descriptor is not None:
                    with layer.stored() as stream, ByteStream(inflate(stream, 'the blob')) as found:
                        content = b''.join(map(bytes, found.chunks()))
                    assert content == tar, (
                        f'the blob of layer {layer.index} is that of another tar, so registries get the unfiltered one')

    def test_the_same_image_gives_the_same_bytes_each_time(self, tmp_path: Path) -> None:
        first = self.filtered(tmp_path, sample_image())
        assert self.filtered(tmp_path, sample_image()) == first, 'the filter is not deterministic'

    def test_a_layer_gives_the_same_bytes_when_it_is_read_again(self, tmp_path: Path) -> None:
        with self.run(temporary=str(tmp_path)) as settings:
            image = self.made(tmp_path, settings).apply(sample_image())
            assert tars_of(image) == tars_of(image), 'a second reading of the same layers gives other bytes'

    def test_one_filter_serves_all_images_of_a_source(self, tmp_path: Path) -> None:
        first = self.filtered(tmp_path, sample_image())
        with self.run(temporary=str(tmp_path)) as settings:
            made = self.made(tmp_path, settings)
            found = [tars_of(made.apply(sample_image(variant=name))) for name in ('one', '', 'two')]
        assert found[1] == first, 'the result depends on the images that were filtered before'

    def test_applying_a_filter_reads_no_layer(self, tmp_path: Path) -> None:
        reads: list[int] = []

        def opener(number: int) -> Readable:
            reads.append(number)
            return io.BytesIO(sample_layers()[number])
        image = plain_image(sample_layers(), [partial(opener, number) for number in range(3)])
        with self.run(temporary=str(tmp_path)) as settings:
            self.made(tmp_path, settings).apply(image)
        assert reads == [], f'apply() reads the layers {reads}: a filter wraps lazily'

    def test_layers_read_at_once_give_the_same_bytes(self, tmp_path: Path) -> None:
        alone = self.filtered(tmp_path, sample_image())
        with self.run(temporary=str(tmp_path)) as settings:
            image = self.made(tmp_path, settings).apply(sample_image())
            with ThreadPoolExecutor(4) as threads:
                found = list(threads.map(lambda _: tars_of(image), range(4)))
        assert found == [alone] * 4, 'the filter keeps state between layers or entries'

    def test_a_repeatable_result_depends_on_the_layer_alone(self, tmp_path: Path) -> None:
        with self.run(temporary=str(tmp_path)) as settings:
            if not self.made(tmp_path, settings).repeatable:
                pytest.skip('the filter is not repeatable')
        layer = sample_layers()[2]
        alone = self.filtered(tmp_path, plain_image([layer]))
        above = self.filtered(tmp_path, plain_image([tar_of(('other', b'1')), sample_layers()[0], layer]))
        assert above[-1] == alone[0], 'repeatable is set, and the result depends on other layers'

    @pytest.mark.parametrize('name', TRICKY)
    def test_config_and_layers_of_the_result_agree(self, tmp_path: Path, name: str) -> None:
        image = TRICKY[name]()
        assert isinstance(image, Image)
        written = self.copied(tmp_path, image)
        assert len(written.layers) == len(image.diff_ids), 'the result has another number of layers'
        assert [each.diff_id for each in written.layers] == list(written.config.diff_ids), (
            'the config of the result does not list its layers')

    def test_the_digest_of_a_layer_is_that_of_its_bytes(self, tmp_path: Path) -> None:
        with self.run(temporary=str(tmp_path)) as settings:
            image = self.made(tmp_path, settings).apply(sample_image())
            for layer, tar in zip(image.layers, tars_of(image), strict=True):
                assert layer.diff_id in (None, Digest.of(tar)), f'layer {layer.index} has a diff_id of other bytes'

    def test_closing_the_result_closes_the_image(self, tmp_path: Path) -> None:
        called: list[str] = []
        image = sample_image()
        image.on_copied(lambda: called.append('copied'))
        image.on_close(lambda: called.append('close'))
        with self.run(temporary=str(tmp_path)) as settings:
            result = self.made(tmp_path, settings).apply(image)
            tars_of(result)
            result.copied()
            result.close()
        lost = sorted({'copied', 'close'} - {*called})
        assert lost == [], f'what waits for {lost} of the image is not called: the result must call it'

    def test_the_source_is_left_as_it_is(self, tmp_path: Path) -> None:
        image = sample_image()
        self.copied(tmp_path, image)
        assert tars_of(image) == sample_layers() and image.config.raw == sample_image().config.raw, (
            'the filter changes the image that it is given')

    def test_every_layer_of_the_result_is_a_tar_that_other_programs_read(self, tmp_path: Path) -> None:
        for tar in self.filtered(tmp_path, sample_image()):
            with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
                for member in archive:
                    assert member.name, 'an entry has no name'

    def test_files_that_are_written_are_named(self, tmp_path: Path) -> None:
        paths: set[str] = set()

        def observe(event: str, arguments: tuple[object, ...]) -> None:
            path = written_path(event, arguments)
            if path and event != 'os.mkdir':
                paths.add(path)
        temporary = tmp_path / 'temporary'
        temporary.mkdir()
        with self.run(temporary=str(temporary)) as settings:
            made = self.made(tmp_path, settings)
            with observed(observe):
                image = made.apply(sample_image())
                tars_of(image)
                image.copied()
                image.close()
        ours = [path for path in paths if path.startswith(str(tmp_path)) and not path.startswith(str(temporary))]
        unnamed = [path for path in ours if not any(path.startswith(named) for named in map(str, made.files))]
        assert unnamed == [], f'`files` of the filter does not name what it writes: {unnamed}'

    def test_a_layer_is_never_held_in_memory(self, tmp_path: Path) -> None:
        image = big_image(BIG)
        with self.run(temporary=str(tmp_path)) as settings:
            layer, = self.made(tmp_path, settings).apply(image).layers
            within_memory(lambda: _drained(layer), self.most_memory, 'filtering')


def _drained(layer: Layer) -> None:
    with layer.tar() as stream:
        stream.drain()


class _Taking(ImageOutput):
    """Takes an image and keeps what the core passes to it."""

    written: WrittenImage | None = None

    def write_layer(self, layer: OutgoingLayer) -> WrittenLayer:
        """Read the layer to its end."""
        with layer.open() as stream:
            return WrittenLayer(stream.drain())

    def finalize(self, image: WrittenImage) -> Receipt:
        """Keep the image."""
        self.written = image
        config = Expectation('config', 'config', image.config.digest, len(image.config.raw))
        return image.receipt(self.location, [config])
