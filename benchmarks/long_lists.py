"""What `process` needs for a very long list: sources and destinations that have nothing to copy, in this process.

    python benchmarks/long_lists.py 1000000

Prints a line: images, seconds until the first is copied, seconds in all, those of the processor, memory of the process
at its most.
"""
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.bulk_orders import peak_memory, write_list  # noqa: E402
from occystrap_core import (  # noqa: E402
    Expectation, Image, ImageInput, ImageOutput, InputScheme, LayerForm, Many, OutgoingLayer, Place, Receipt, Settings,
    VerifyLevel, WriterScheme, WrittenImage, WrittenLayer,
)
from occystrap_core.oci import Reference  # noqa: E402
from occystrap_core.pipeline.run import Run  # noqa: E402
from occystrap_core.plugins.manager import Plugins, build_plugin_manager  # noqa: E402
from occystrap_core.report.progress import Progress  # noqa: E402
from occystrap_core.sources.plugin import register_inputs  # noqa: E402
from occystrap_core.testing.sample import sample_image  # noqa: E402
from tests.unit.core.pipeline.memory import FakeEntryPoint, hooks  # noqa: E402

copied: list[float] = []
IMAGE = sample_image('nothing')


class NothingInput(ImageInput):
    """Has the same image under every name."""

    def references(self) -> Iterable[Reference]:
        """Return the one that is named."""
        return [Reference.parse(self.location.path, with_host=True)]

    def open(self, reference: Reference) -> Image:
        """Return the image."""
        return Image(reference, IMAGE.config, IMAGE.layers, IMAGE.manifest)

    def place(self, reference: Reference) -> Place:
        """Return a place of its own."""
        return Place(name=f'nothing://{reference}')


class NothingOutput(ImageOutput):
    """Says that it has every layer, and forgets the image."""

    layer_form = LayerForm.STORED

    def prepare(self, image: Image) -> None:
        """Do nothing."""

    def place(self, reference: Reference) -> Place:
        """Return the place that the path names."""
        return Place(name=f'nothing://{self.location.path}')

    def has_layer(self, layer: OutgoingLayer) -> WrittenLayer:
        """Return the layer."""
        assert layer.descriptor
        return WrittenLayer(layer.descriptor.digest, layer.descriptor.digest, layer.descriptor.size)

    def write_layer(self, layer: OutgoingLayer) -> WrittenLayer:
        """Never called."""
        raise AssertionError

    def finalize(self, image: WrittenImage) -> Receipt:
        """Return a receipt."""
        copied[:] = copied or [time.monotonic()]
        assert image.manifest
        documents = {'config': image.config, 'manifest': image.manifest}
        return image.receipt(self.location, [Expectation(kind, each.digest, each.digest, len(each.raw))
                                             for kind, each in documents.items()])

    def abort(self) -> None:
        """Do nothing."""


def nothing_plugins() -> Plugins:
    """Return the plugins of a machine that has nothing:// alone."""
    factory = f'{NothingInput.__module__}:{{}}'
    inputs = [*register_inputs(), InputScheme('nothing', factory.format('NothingInput'))]
    module = hooks(register_inputs=lambda: inputs,
                   register_writers=lambda: [WriterScheme('nothing', factory.format('NothingOutput'),
                                                          many=Many(True))])
    return build_plugin_manager([FakeEntryPoint('nothing', module)], [])


def main(count: int) -> None:
    """Copy so many images."""
    with tempfile.TemporaryDirectory() as directory:
        listed = write_list(Path(directory), 'nothing', count)
        run = Run(nothing_plugins(), Settings(), VerifyLevel.NONE, Progress(), keeps_images=False)
        started = time.monotonic()
        report = run.process(f'list://{listed}', ['nothing://mirror.example/{repository}:{tag}'])
    assert report.succeeded and report.count == count, [report.summary(), *(each.failure for each in report.images[:1])]
    print(f'{count} images: the first after {copied[0] - started:.1f} s, all after {time.monotonic() - started:.1f} s, '
          f'{time.process_time():.1f} s of the processor, {peak_memory():.0f} MiB')


if __name__ == '__main__':
    main(int(sys.argv[1]))
