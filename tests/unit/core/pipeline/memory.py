"""A source and a destination in memory, as a plugin's author would write them, and the plugin that brings them."""
import threading
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from occystrap_core import (
    READ, CheckResults, EntryFilter, Expectation, FilterKind, Image, ImageInput, ImageOutput, InputScheme, Layer,
    LayerForm, Location, Many, Option, OptionType, OutgoingLayer, OutputError, Receipt, Settings, VerifyLevel,
    WriterScheme, WrittenImage, WrittenLayer, hookimpl,
)
from occystrap_core.filters.plugin import register_filters
from occystrap_core.oci import Digest, ImageConfig, Reference
from occystrap_core.plugins.manager import Plugins, build_plugin_manager
from occystrap_core.sources.plugin import register_inputs
from occystrap_core.tar import SequentialImage, TarEntry, TarLayer
from occystrap_core.testing.sample import sample_image
from tests.unit.core.image.sources import Source

HOME = 'tests.unit.core.pipeline.memory'


@dataclass
class Shelf:
    """What lies at a destination, and what was done there."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    images: list[WrittenImage] = field(default_factory=list)
    writes: list[str] = field(default_factory=list)
    aborts: int = 0


SHELVES: dict[str, Shelf] = {}
IMAGES: dict[str, Callable[[], Image]] = {}


class MemoryOutput(ImageOutput):
    """Keeps layers in memory, by digest; `form` as an option."""

    layer_form = LayerForm.STORED

    def __init__(self, location: Any, settings: Settings) -> None:
        super().__init__(location, settings)
        self.layer_form = LayerForm(location.options.get('form', 'stored'))
        self.compression = location.options.get('compression', 'gzip')
        self.shelf = SHELVES.setdefault(location.path, Shelf())

    def prepare(self, image: Image) -> None:
        if self.location.path == 'full':
            raise OutputError('the shelf is full')

    def has_layer(self, layer: OutgoingLayer) -> WrittenLayer | None:
        digest = layer.descriptor.digest if layer.descriptor else layer.diff_id
        assert digest
        blob = self.shelf.blobs.get(digest)
        return WrittenLayer(digest, digest, len(blob)) if blob is not None else None

    def write_layer(self, layer: OutgoingLayer) -> WrittenLayer:
        with layer.open() as stream:
            content = b''.join(bytes(chunk) for chunk in stream.chunks())
        self.shelf.blobs[stream.digest] = content
        self.shelf.writes.append(stream.digest)
        return WrittenLayer(stream.digest)

    def finalize(self, image: WrittenImage) -> Receipt:
        self.shelf.images.append(image)
        config, manifest = image.config, image.manifest
        documents = {config.digest: ('config', config.raw)}
        if manifest and self.layer_form is LayerForm.STORED:
            documents[manifest.digest] = 'manifest', manifest.raw
        self.shelf.blobs.update((digest, raw) for digest, (_, raw) in documents.items())
        return image.receipt(self.location, [Expectation(kind, digest, digest, len(raw))
                                             for digest, (kind, raw) in documents.items()])

    def abort(self) -> None:
        self.shelf.aborts += 1


class MemoryInput(ImageInput):
    """Opens the images that tests put into IMAGES, named by commas."""

    def references(self) -> Iterable[Reference]:
        return [Reference.parse(name) for name in self.location.path.split(',')]

    def location_of(self, reference: Reference) -> Location:
        return self.location.with_path(reference.repository)

    def present_digest(self, reference: Reference) -> Digest | None:
        return IMAGES[reference.repository]().config.digest

    def open(self, reference: Reference) -> Image:
        return IMAGES[reference.repository]()


class Without(EntryFilter):
    """Leaves out the entries whose name starts so."""

    def entry(self, entry: TarEntry) -> TarEntry | None:
        return None if entry.name.startswith(self.options['name'].encode()) else entry


class Stream(SequentialImage):
    """Layers one after the other, of unknown digest until read, the config last."""

    def __init__(self, reference: Reference, config: ImageConfig, arriving: Sequence[bytes]) -> None:
        super().__init__(reference, config.diff_ids)
        self._late, self._arriving = config, arriving

    def arrivals(self) -> Iterator[Layer]:
        for number, tar in enumerate(self._arriving):
            yield TarLayer(-1, None, lambda tar=tar: Source(tar), name=f'number {number}')  # type: ignore[misc]
        self.found_config(self._late)


def verify_output(receipt: Receipt, level: VerifyLevel, settings: Settings) -> CheckResults | None:
    """Hold a shelf against the receipt."""
    if receipt.scheme != 'memory':
        return None
    results, blobs = CheckResults(), SHELVES[receipt.path].blobs
    for each in receipt.expectations:
        if each.locator not in blobs:
            results.missing(each, 'is gone')
        else:
            blob = blobs[each.locator]
            full = level is VerifyLevel.FULL or each.kind != 'layer'
            results.found(each, size=len(blob), digest=Digest.of(blob) if full else None, evidence=READ)
    return results


@dataclass(frozen=True)
class Distribution:
    """The part of a distribution that is used."""

    name: str
    version: str = '1.0'


@dataclass(frozen=True)
class FakeEntryPoint:
    """An entry point of a module with hooks."""

    name: str
    module: object
    dist: Distribution = Distribution('occystrap-memory')
    value: str = 'memory.plugin'

    def load(self) -> Any:
        return self.module


def hooks(**functions: Callable[..., object]) -> types.ModuleType:
    """Return a module with these hooks."""
    module = types.ModuleType('memory_plugin')
    for name, function in functions.items():
        setattr(module, name, hookimpl(function))
    return module


def memory_plugins(output: str = f'{HOME}:MemoryOutput', source: str = f'{HOME}:MemoryInput', *,
                   verifier: Callable[..., object] | None = verify_output, many: Many = Many(True),
                   keeps: Sequence[str] = ()) -> Plugins:
    """Return the plugins of a machine that has memory:// alone, and lists."""
    options = [Option('form', OptionType.STRING, 'stored'), Option('compression', OptionType.STRING, 'gzip'),
               Option('many', OptionType.BOOLEAN)]
    functions: dict[str, Callable[..., object]] = {
        'register_inputs': lambda: [*register_inputs(), InputScheme('memory', source)],
        'register_writers': lambda: [WriterScheme('memory', output, options, many=many, keeps=keeps)],
        'register_filters': lambda: [*register_filters(), FilterKind('without', f'{HOME}:Without',
                                                                     [Option('name', OptionType.STRING, '')])]}
    if verifier:
        functions['verify_output'] = verifier
    return build_plugin_manager([FakeEntryPoint('memory', hooks(**functions))], [])


def offer(*names: str, image: Callable[[str], Image] = sample_image) -> str:
    """Put images into IMAGES; return the URI that names them."""
    for name in names:
        IMAGES[name] = lambda name=name: image(name)  # type: ignore[misc]
    return f'memory://{",".join(names)}'


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for another thread, half a minute on a busy machine; fail when the condition does not come true."""
    for _ in range(3000):
        if condition():
            return
        threading.Event().wait(0.01)
    raise AssertionError('waited in vain')
