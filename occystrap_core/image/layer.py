"""Layers: lazy values that open as stored bytes or as a tar."""
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

from occystrap_core.errors import InvalidImage
from occystrap_core.files.compression import inflate
from occystrap_core.files.readahead import ReadAhead
from occystrap_core.files.stream import ByteStream, Readable
from occystrap_core.oci import media_types
from occystrap_core.oci.descriptor import Descriptor
from occystrap_core.oci.digest import Digest
from occystrap_core.oci.media_types import Compression

_WORTH_A_THREAD = 1 << 20


class ReadObservers(NamedTuple):
    """Callbacks for what is read of a layer at its source, on whatever thread reads it; what they raise ends it."""

    moved: Callable[[int], None] | None = None
    """Gets the number of bytes that were just read, for progress."""
    kept: Callable[[memoryview], object] | None = None
    """Gets the bytes of the blob, where the source has one, so that they can be had again without the source."""


NO_OBSERVERS = ReadObservers()


class Layer(ABC):
    """One layer of an image. Nothing is read before a stream is opened; each opening starts from the first byte."""

    index: int
    """The place in the image, 0 the lowest; -1 while a sequential source cannot know it."""
    descriptor: Descriptor | None
    """Media type, digest and size of the stored bytes, where the source holds the layer as a blob."""
    diff_id: Digest | None
    """Digest of the tar; None where only reading tells (a filter's result, a source that streams)."""
    differs = False
    """Whether what the tar that was opened last gave so far is something else than the source's tar."""
    note = ''
    """What people are to know of it once it was read, without a full stop; empty for nothing."""
    original: 'Layer | None' = None
    """The layer that this one was made from, which stands in for it when nothing was changed after all."""

    @abstractmethod
    def stored(self, observers: ReadObservers = NO_OBSERVERS) -> ByteStream:
        """Open the blob as the source has it, checked against the descriptor; only where there is a descriptor."""

    @abstractmethod
    def tar(self, observers: ReadObservers = NO_OBSERVERS) -> ByteStream:
        """Open the uncompressed tar, checked against the diff_id."""

    def content(self, observers: ReadObservers = NO_OBSERVERS) -> ByteStream:
        """Open the tar for somebody who only looks: checked by the digest of what its source holds.

        Where that is a blob it settles what is in the layer, and the diff_id need not be hashed as well.
        """
        return self.tar(observers)

    def tar_ahead(self, observers: ReadObservers = NO_OBSERVERS) -> ByteStream:
        """Open the tar for somebody who has much to do with it: received, inflated and hashed on another thread."""
        return _hashed_ahead(self.tar(observers))

    def tar_size(self) -> int | None:
        """Return the size of the tar in bytes if it can be had cheaply: a hint, right for all but odd layers."""
        return None

    def present_size(self) -> int | None:
        """Ask the source for the size in bytes of what it holds, without reading it; None if it does not tell.

        Raises ImageNotFound if it holds nothing, ServiceError.
        """
        return None

    @property
    def source(self) -> 'Layer':
        """The layer as the input gave it, below all filters."""
        return self.original.source if self.original else self

    @property
    def stored_size(self) -> int:
        """Bytes that reading the layer moves, as far as known, to do the largest first; 0 if not."""
        return self.descriptor.size if self.descriptor else self.tar_size() or 0


def _hashed_ahead(tar: ByteStream) -> ByteStream:
    """Return a stream of what another thread reads and checks."""
    return ByteStream(ReadAhead(tar), what='a layer that is read ahead', hashed=lambda: tar.digest.hex)


def _nobody_asks() -> str:
    raise ValueError('a tar that is checked by its blob is not hashed itself')


class StoredLayer(Layer):
    """A layer of a source that holds blobs (registry, OCI layout, OCI archive)."""

    def __init__(self, index: int, descriptor: Descriptor, diff_id: Digest, opener: Callable[[], Readable],
                 size_hint: Callable[[], int | None] = lambda: None,
                 present: Callable[[], int | None] = lambda: None) -> None:
        """`opener` opens the blob; `size_hint` tells the tar's size, such as from a gzip blob's last four bytes;
        `present` asks the source for the blob's size, None if it does not tell, and raises if it is missing."""
        media_types.layer_compression(descriptor.media_type)
        self.index, self.descriptor, self.diff_id = index, descriptor, diff_id
        self._opener, self._size_hint, self._present = opener, size_hint, present

    def present_size(self) -> int | None:
        """Return the size in bytes that the source tells of the blob."""
        return self._present()

    def stored(self, observers: ReadObservers = NO_OBSERVERS) -> ByteStream:
        """Open the blob; its end checks digest and size."""
        assert self.descriptor
        stream = ByteStream(self._opener(), digest=self.descriptor.digest, size=self.descriptor.size,
                            what=f'layer {self.descriptor.digest}', rule='layer-digest')
        if observers.moved:
            stream.observe(observers.moved)
        if observers.kept:
            stream.copy_to(observers.kept)
        return stream

    def tar(self, observers: ReadObservers = NO_OBSERVERS) -> ByteStream:
        """Open the tar; its end checks blob and diff_id. Large ones are received and inflated on another thread."""
        assert self.descriptor
        source = self._inflated(observers)
        return self._checked(ReadAhead(source) if self.descriptor.size > _WORTH_A_THREAD else source)

    def tar_ahead(self, observers: ReadObservers = NO_OBSERVERS) -> ByteStream:
        """Open the tar, all that can be done beforehand on one other thread, without a second ring of buffers."""
        return _hashed_ahead(self._checked(self._inflated(observers)))

    def _checked(self, source: Readable) -> ByteStream:
        assert self.descriptor
        return ByteStream(source, digest=self.diff_id, what=f'the tar of layer {self.descriptor.digest}',
                          rule='layer-diff-id')

    def content(self, observers: ReadObservers = NO_OBSERVERS) -> ByteStream:
        """Open the tar; its end checks the blob. All on one thread, since hardly anything is left to do beside it."""
        assert self.descriptor
        return ByteStream(self._inflated(observers), what=f'the tar of layer {self.descriptor.digest}',
                          hashed=_nobody_asks)

    def _inflated(self, observers: ReadObservers) -> Readable:
        assert self.descriptor
        what = f'layer {self.descriptor.digest}'
        return _ToTheEnd(lambda: self.stored(observers), lambda stored: inflate(stored, what, self._found))

    def _found(self, compression: Compression) -> None:
        """Note that a blob is compressed otherwise than its media type says: the diff_id proves what is in it."""
        assert self.descriptor
        promised = media_types.layer_compression(self.descriptor.media_type)
        if compression is not promised:
            self.note = (f'layer {self.index}, {self.descriptor.digest}, is {compression.told}, its media type says '
                         f'{promised.told}: it was read as what it is')

    def tar_size(self) -> int | None:
        """Return what the source's hint says, or the blob's size when it is not compressed."""
        assert self.descriptor
        if media_types.layer_compression(self.descriptor.media_type) is Compression.NONE:
            return self.descriptor.size
        return self._size_hint()


class TarLayer(Layer):
    """A layer of a source that holds tars (docker archive, daemon, directory), compressed or not."""

    def __init__(self, index: int, diff_id: Digest | None, opener: Callable[[], Readable], size: int | None = None,
                 name: str = '') -> None:
        """`opener` opens the tar or its compressed form; `size` is the tar's in bytes; `name` is for messages."""
        self.index, self.diff_id, self.descriptor = index, diff_id, None
        self._opener, self._size = opener, size
        self._what = f'layer {name or diff_id or index}'

    def stored(self, observers: ReadObservers = NO_OBSERVERS) -> ByteStream:
        """Raise InvalidImage: there is no blob. The pipeline makes one where a writer wants it."""
        raise InvalidImage(f'{self._what} is held as a tar, its source has no blob of it')

    def tar(self, observers: ReadObservers = NO_OBSERVERS) -> ByteStream:
        """Open the tar; its end checks the diff_id, or tells it where it was not known."""
        stream = ByteStream(_ToTheEnd(self._opener, lambda source: inflate(source, self._what)), digest=self.diff_id,
                            what=self._what, rule='layer-diff-id')
        stream.observe(lambda count: self._learn(stream))
        if observers.moved:
            stream.observe(observers.moved)
        return stream

    def _learn(self, stream: ByteStream) -> None:
        if stream.ended:
            self.diff_id = stream.digest

    def tar_size(self) -> int | None:
        """Return the size in bytes that the source gave."""
        return self._size


class _ToTheEnd:
    """Opens a source when first read, decodes it, and reads it to its true end after the decoder has seen enough."""

    def __init__(self, opener: Callable[[], Readable], decode: Callable[[Readable], Readable]) -> None:
        self._opener, self._decode = opener, decode
        self._source: Readable | None = None
        self._decoded: Readable | None = None

    def readinto(self, buffer: memoryview, /) -> int:
        if self._source is None:
            self._source = self._opener()
            self._decoded = self._decode(self._source)
        assert self._decoded
        if count := self._decoded.readinto(buffer):
            return count
        while self._source.readinto(buffer):
            pass
        return 0

    def close(self) -> None:
        if self._source is not None:
            self._source.close()
