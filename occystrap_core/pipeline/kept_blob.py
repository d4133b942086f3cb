"""A layer's blob, kept while the layer goes through filters: as long as they change nothing it may be the result."""
from collections.abc import Iterator

from occystrap_core.errors import InvalidImage
from occystrap_core.image.compression import inflate_cut
from occystrap_core.image.layer import Layer
from occystrap_core.image.stream import CHUNK
from occystrap_core.oci import media_types
from occystrap_core.oci.descriptor import Descriptor
from occystrap_core.pipeline.temporary_file import TemporaryFile


class KeptBlob:
    """The blob of a layer's source, written down as it is read; nothing where the source has no blob."""

    def __init__(self, layer: Layer, folder: str) -> None:
        """`folder` is for the temporary file. Set this up before the layer is opened."""
        self._layer, self._folder = layer, folder
        self._file: TemporaryFile | None = None
        self._passed = 0
        if layer.source.descriptor:
            self._file = TemporaryFile(folder)
            layer.source.kept = self._write

    def first_that_differs(self, chunks: Iterator[memoryview]) -> memoryview | None:
        """Take chunks of the layer's tar as long as it is the source's; return the first that may be another one's.

        Returns None when the tar has come to its end the same, and its blob is kept.
        """
        for chunk in chunks:
            if self._layer.differs or self._file is None:
                self._layer.source.kept = None
                return chunk
            self._passed += len(chunk)
        return memoryview(b'') if self._layer.differs or self._file is None else None

    def tar_before(self) -> Iterator[memoryview]:
        """Yield what was taken before the first chunk that differs; raises InvalidImage if that cannot be had."""
        left = self._passed
        if not left:
            return
        assert self._file and self._layer.source.descriptor
        promised = media_types.layer_compression(self._layer.source.descriptor.media_type)
        source = inflate_cut(self._file.reopened(), promised)
        buffer = memoryview(bytearray(CHUNK))
        while left:
            count = source.readinto(buffer[:left])
            if not count:
                raise InvalidImage(f'the beginning of layer {self._layer.source.descriptor.digest} is not to be had')
            yield buffer[:count]
            left -= count
        source.close()

    def taken(self) -> tuple[Descriptor, TemporaryFile]:
        """Return the whole blob; closing it is the caller's."""
        file, self._file = self._file, None
        assert file and self._layer.source.descriptor
        return self._layer.source.descriptor, file

    def close(self) -> None:
        """Give the disk space back, unless the blob was taken."""
        self._layer.source.kept = None
        if self._file:
            self._file.close()

    def _write(self, data: memoryview) -> None:
        """Called on the thread that receives the blob, perhaps after it is not wanted any more."""
        if self._layer.source.kept is not None and self._file:
            self._file.write(data)
