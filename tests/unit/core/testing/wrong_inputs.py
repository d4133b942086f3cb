"""An input for the directories of the example plugin, and inputs and filters with one flaw each."""
import io
import json
import os
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from occystrap_dir import plugin as directories

from occystrap_core import (
    EntryFilter, FilterKind, Image, ImageFilter, ImageInput, ImageNotFound, InputScheme, InvalidImage, Layer, Option,
    WriterScheme, hookimpl,
)
from occystrap_core.files import ByteStream
from occystrap_core.image.layer import NO_OBSERVERS, ReadObservers
from occystrap_core.oci import Digest, ImageConfig, Reference
from occystrap_core.tar import TarEntry, TarLayer

HOME = 'tests.unit.core.testing.wrong_inputs'


class RightInput(ImageInput):
    def references(self) -> Iterable[Reference]:
        return [Reference.parse('flat:v1')]

    def open(self, reference: Reference) -> Image:
        path = Path(self.location.path)
        try:
            config = ImageConfig.parse((path / 'config.json').read_bytes())
        except (FileNotFoundError, NotADirectoryError):
            raise ImageNotFound(f'{path} holds no image') from None
        return Image(reference, config, [self.layer(*each) for each in enumerate(config.diff_ids)])

    def layer(self, index: int, diff_id: Digest) -> Layer:
        path = f'{self.location.path}/{diff_id.hex}.tar'
        return TarLayer(index, diff_id, partial(_opened, path))


def _opened(path: str) -> Any:
    try:
        return open(path, 'rb')
    except FileNotFoundError:
        raise InvalidImage(f'{path} is missing') from None


class ReadsLayersToOpen(RightInput):
    def layer(self, index: int, diff_id: Digest) -> Layer:
        Path(f'{self.location.path}/{diff_id.hex}.tar').read_bytes()
        return super().layer(index, diff_id)


class _Unchecked(TarLayer):
    def tar(self, observers: ReadObservers = NO_OBSERVERS) -> ByteStream:
        return ByteStream(self._opener())


class ChecksNothing(RightInput):
    def layer(self, index: int, diff_id: Digest) -> Layer:
        return _Unchecked(index, diff_id, partial(_opened, f'{self.location.path}/{diff_id.hex}.tar'))


_leaked: list[int] = []


class LeaksDescriptors(RightInput):
    def open(self, reference: Reference) -> Image:
        _leaked.append(os.open(self.location.path, os.O_RDONLY))
        return super().open(reference)


class KnowsAnotherDigest(RightInput):
    def present_digest(self, reference: Reference) -> Digest | None:
        return Digest.of(b'another')


class CrashesOnNoise(RightInput):
    def open(self, reference: Reference) -> Image:
        json.loads(Path(self.location.path, 'config.json').read_bytes())
        return super().open(reference)


class SharesOneFile(RightInput):
    def layer(self, index: int, diff_id: Digest) -> Layer:
        file = _opened(f'{self.location.path}/{diff_id.hex}.tar')
        return TarLayer(index, diff_id, lambda: file)


class NamesNothing(RightInput):
    def open(self, reference: Reference) -> Image:
        try:
            return super().open(reference)
        except ImageNotFound:
            raise ImageNotFound('there is no image') from None


class FindsAnotherNameEachTime(RightInput):
    def references(self) -> Iterable[Reference]:
        return [Reference.parse(f'flat:v{time.time_ns()}')]


INPUTS = [each for each in list(globals().values())
          if isinstance(each, type) and issubclass(each, RightInput) and each is not RightInput]


class RightFilter(EntryFilter):
    repeatable = True

    def entry(self, entry: TarEntry) -> TarEntry | None:
        return None if entry.name.startswith(b'etc/old') else entry


class WritesTheTimeIntoEntries(EntryFilter):
    def entry(self, entry: TarEntry) -> TarEntry | None:
        entry.set_times(time.time_ns() % 10 ** 9)
        return entry


class ReadsToApply(RightFilter):
    def apply(self, image: Image) -> Image:
        for layer in image.layers:
            with layer.tar() as stream:
                stream.drain()
        return super().apply(image)


class CountsImages(ImageFilter):
    seen = 0

    def apply(self, image: Image) -> Image:
        self.seen += 1
        return _Leaving({'number': self.seen}, self.settings).apply(image)


class _Leaving(EntryFilter):
    def entry(self, entry: TarEntry) -> TarEntry | None:
        return entry if self.options['number'] == 1 else None


class DependsOnOtherLayers(ImageFilter):
    repeatable = True

    def apply(self, image: Image) -> Image:
        return _Leaving({'number': len(image.layers)}, self.settings).apply(image)


class WritesAFileUnasked(RightFilter):
    def apply(self, image: Image) -> Image:
        Path(self.options['file']).write_text('seen')
        return super().apply(image)


class _Held(TarLayer):
    def tar(self, observers: ReadObservers = NO_OBSERVERS) -> ByteStream:
        with self._opener() as stream:  # type: ignore[attr-defined]
            return ByteStream(io.BytesIO(b''.join(bytes(chunk) for chunk in stream.chunks())))


class HoldsLayers(ImageFilter):
    def apply(self, image: Image) -> Image:
        return Image(image.reference, image.config, [_Held(layer.index, layer.diff_id, layer.tar)
                                                     for layer in image.layers])


class LeavesLayersOut(ImageFilter):
    def apply(self, image: Image) -> Image:
        kept = image.layers[1:]
        return Image(image.reference, image.config.with_diff_ids(image.diff_ids[1:]), kept)


class NamesOtherDigests(ImageFilter):
    def apply(self, image: Image) -> Image:
        found = _Leaving({'number': 2}, self.settings).apply(image)
        return Image(image.reference, image.config, [_Lying(*each) for each in zip(found.layers, image.diff_ids)])


class _Lying(TarLayer):
    def __init__(self, layer: Layer, diff_id: Digest) -> None:
        super().__init__(layer.index, diff_id, layer.tar)

    def tar(self, observers: ReadObservers = NO_OBSERVERS) -> ByteStream:
        return ByteStream(self._opener())


FILTERS = [each for each in list(globals().values()) if isinstance(each, type) and issubclass(each, ImageFilter)
           and each.__module__ == HOME and not each.__name__.startswith('_') and each is not RightFilter]


@hookimpl
def register_inputs() -> list[InputScheme]:
    from tests.unit.core.testing import careless_inputs
    options = next(each.options for each in directories.register_inputs() if each.name == 'layout')
    return [InputScheme('right-source', f'{HOME}:RightInput'),
            *(InputScheme(each.__name__.lower(), f'{each.__module__}:{each.__name__}')
              for each in [*INPUTS, *careless_inputs.INPUTS]),
            InputScheme('ignorestheplatform', 'tests.unit.core.testing.careless_inputs:IgnoresThePlatform', options)]


@hookimpl
def register_writers() -> list[WriterScheme]:
    return [WriterScheme('put', 'occystrap_flat.writer:FlatOutput')]


@hookimpl
def register_filters() -> list[FilterKind]:
    from tests.unit.core.testing import careless_inputs
    file = Option('file', help='a file')
    return [FilterKind('right', f'{HOME}:RightFilter'),
            *(FilterKind(each.__name__.lower(), f'{each.__module__}:{each.__name__}', [file])
              for each in [*FILTERS, *careless_inputs.FILTERS])]
