"""Inputs and filters as a hurried author makes them."""
import io
import os
import tarfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from tempfile import NamedTemporaryFile

from occystrap_dir.layout.input import LayoutInput

from occystrap_core import EntryFilter, Image, ImageFilter, InvalidImage, Layer, Location, Settings
from occystrap_core.files import ByteStream
from occystrap_core.image.layer import NO_OBSERVERS, ReadObservers
from occystrap_core.oci import Digest, ImageConfig, Reference
from occystrap_core.tar import TarEntry, TarLayer
from tests.unit.core.testing.wrong_inputs import RightFilter, RightInput

_first: dict[str, ImageConfig] = {}


class OpensOnce(RightInput):
    _opened = False

    def open(self, reference: Reference) -> Image:
        if self._opened:
            raise InvalidImage('the source is closed')
        image = super().open(reference)
        image.on_close(lambda: setattr(self, '_opened', True))
        return image


class HoldsWhatItReads(RightInput):
    def layer(self, index: int, diff_id: Digest) -> Layer:
        path = Path(self.location.path, f'{diff_id.hex}.tar')
        return TarLayer(index, diff_id, lambda: io.BytesIO(path.read_bytes()))


class RemembersTheFirstImage(RightInput):
    def open(self, reference: Reference) -> Image:
        image = super().open(reference)
        config = _first.setdefault(self.location.path, image.config)
        return Image(reference, config, [self.layer(*each) for each in enumerate(config.diff_ids)])


class RemembersTheFirstDigest(RightInput):
    def present_digest(self, reference: Reference) -> Digest | None:
        return _first.setdefault(self.location.path, super().open(reference).config).digest


class WritesIntoItsSource(RightInput):
    def open(self, reference: Reference) -> Image:
        image = super().open(reference)
        Path(self.location.path, 'index.cache').write_text('cached')
        return image


class LeavesTemporaryFiles(RightInput):
    def layer(self, index: int, diff_id: Digest) -> Layer:
        def opened() -> io.BufferedReader:
            with NamedTemporaryFile(dir=self.settings.temporary, delete=False) as file:
                with suppress(OSError):
                    file.write(Path(self.location.path, f'{diff_id.hex}.tar').read_bytes())
            return open(file.name, 'rb')
        return TarLayer(index, diff_id, opened)


class LeaksWhenOpeningFails(RightInput):
    def open(self, reference: Reference) -> Image:
        descriptor = os.open(os.path.dirname(self.location.path), os.O_RDONLY)
        image = super().open(reference)
        image.on_close(partial(os.close, descriptor))
        return image


class GuessesSizes(RightInput):
    def layer(self, index: int, diff_id: Digest) -> Layer:
        path = Path(self.location.path, f'{diff_id.hex}.tar')
        return TarLayer(index, diff_id, lambda: open(path, 'rb'), 10240)


class PrintsWhatItReads(RightInput):
    def open(self, reference: Reference) -> Image:
        print(f'reading {self.location.path}')
        return super().open(reference)


class IgnoresThePlatform(LayoutInput):
    def __init__(self, location: Location, settings: Settings) -> None:
        super().__init__(location, replace(settings, platform=None))


class _Changed(TarLayer):
    """A layer with another tar, and with the blob of the layer that it was made from."""

    def __init__(self, layer: Layer, changed: Layer) -> None:
        super().__init__(layer.index, None, changed.tar)
        self.descriptor, self.original = layer.descriptor, layer

    def stored(self, observers: ReadObservers = NO_OBSERVERS) -> ByteStream:
        assert self.original
        return self.original.stored(observers)


class KeepsTheBlob(RightFilter):
    def entry(self, entry: TarEntry) -> TarEntry | None:
        return entry if entry.name.startswith(b'etc') else None

    def apply(self, image: Image) -> Image:
        found = super().apply(image)
        return Image(image.reference, image.config, [*map(_Changed, image.layers, found.layers)], image.manifest)


class GivesAllTheOwnerOfTheFirst(EntryFilter):
    def __init__(self, options: object, settings: Settings) -> None:
        super().__init__({}, settings)
        self._first: bytes = b''

    def entry(self, entry: TarEntry) -> TarEntry | None:
        self._first = self._first or entry.name
        entry.set_times(len(self._first))
        return entry


class DatesTheConfig(RightFilter):
    def apply(self, image: Image) -> Image:
        found = super().apply(image)
        config = found.config.with_times(int(datetime.now().replace(month=1, day=1, hour=0, minute=0, second=0,
                                                                    microsecond=0).timestamp()))
        return Image(image.reference, config, found.layers)


class OrdersByHash(EntryFilter):
    def entry(self, entry: TarEntry) -> TarEntry | None:
        entry.set_times(hash(entry.name) % 10 ** 9)
        return entry


class _Repacked(TarLayer):
    """A tar that is read entry by entry, by another library, up to the last one."""

    def __init__(self, layer: Layer) -> None:
        super().__init__(layer.index, None, partial(self._repacked, layer.tar))

    def _repacked(self, opener: Callable[[], ByteStream]) -> io.BytesIO:
        target = io.BytesIO()
        with opener() as stream, tarfile.open(fileobj=_File(stream), mode='r|') as source, \
                tarfile.open(fileobj=target, mode='w', format=tarfile.GNU_FORMAT) as tar:
            for member in source:
                tar.addfile(member, source.extractfile(member) if member.isreg() else None)
        target.seek(0)
        return target


class _File(io.RawIOBase):
    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        buffer = memoryview(bytearray(size))
        return bytes(buffer[:self._stream.readinto(buffer)])


class ReadsNoFurtherThanTheLastEntry(ImageFilter):
    def apply(self, image: Image) -> Image:
        return Image(image.reference, image.config, [*map(_Repacked, image.layers)])


class LosesWhatWaits(RightFilter):
    def apply(self, image: Image) -> Image:
        return Image(image.reference, image.config, super().apply(image).layers)


class PrintsWhatItFilters(RightFilter):
    def apply(self, image: Image) -> Image:
        print(f'filtering {image.reference}')
        return super().apply(image)


INPUTS = [each for each in list(globals().values()) if isinstance(each, type) and each.__module__ == __name__
          and issubclass(each, RightInput)]
FILTERS = [each for each in list(globals().values()) if isinstance(each, type) and each.__module__ == __name__
           and issubclass(each, ImageFilter)]
