"""Layers: lazy values that open as stored bytes or as a tar."""
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

from occystrap_core.errors import InvalidImage
from occystrap_core.files.compression import inflate
from occystrap_core.files.held_bytes import HeldBytes, with_held
from occystrap_core.files.readahead import ReadAhead
from occystrap_core.files.stream import ByteStream, Readable
from occystrap_core.oci import media_types
from occystrap_core.oci.descriptor import Descriptor
from occystrap_core.oci.digest import Digest
from occystrap_core.oci.media_types import Compression

_WORTH_A_THREAD = 1 << 20


class ReadObservers(NamedTuple):
    """Callbacks for reading a layer at its source, called on the thread that reads it; an exception stops the reading.
    """

    moved: Callable[[int], None] | None = None
    """Called with the number of bytes just read, for progress."""
    kept: Callable[[memoryview], object] | None = None
    """Called with the bytes of the blob, if the source has one, so that the caller can keep them."""
    held: HeldBytes | None = None
    """The first bytes of the blob, kept by an earlier run: they are read instead of the source's."""


NO_OBSERVERS = ReadObservers()


class Layer(ABC):
    """One layer of an image. Nothing is read before a stream is opened; each opening starts at the first byte."""

    index: int
    """The position in the image, 0 for the lowest; -1 while unknown for a sequential image."""
    descriptor: Descriptor | None
    """Media type, digest and size of the blob; None if the source has the layer as a tar."""
    diff_id: Digest | None
    """Digest of the tar; None until the tar has been read, for a filter's result or a streamed layer."""
    differs = False
    """Whether the tar opened last has differed from the source's tar so far."""
    note = ''
    """A note for the user after the layer was read, without a full stop; empty for none."""
    base = ''
    """The name of an image with this blob, which a delta leaves out: the destination must have it. Empty if the source
    has it."""
    original: 'Layer | None' = None
    """The layer that this one was made from. It is used instead if nothing was changed."""

    @abstractmethod
    def stored(self, observers: ReadObservers = NO_OBSERVERS) -> ByteStream:
        """Open the blob, checked against the descriptor; only if there is a descriptor. Close the stream after use.

        Opening and reading raise ImageNotFound, ServiceError, InvalidImage; the end raises DigestMismatch.
        """

    @abstractmethod
    def tar(self, observers: ReadObservers = NO_OBSERVERS) -> ByteStream:
        """Open the uncompressed tar, checked against the diff_id; raises as `stored` does."""

    def content(self, observers: ReadObservers = NO_OBSERVERS) -> ByteStream:
        """Open the tar for inspection only: checked by the digest of what the source holds.

        If that is a blob, its digest determines the content, and the diff_id is not checked as well. Raises as `stored`
        does.
        """
        return self.tar(observers)

    def tar_ahead(self, observers: ReadObservers = NO_OBSERVERS) -> ByteStream:
        """Open the tar for a reader with much other work: another thread receives, inflates and hashes it.

        Raises as `stored` does.
        """
        return _hashed_ahead(self.tar(observers))

    def tar_size(self) -> int | None:
        """Return the size of the tar in bytes if it is cheap to get: a hint, correct for all but unusual layers."""
        return None

    def present_size(self) -> int | None:
        """Return the size in bytes of what the source holds, without reading it; None if unknown.

        Raises ImageNotFound if it holds nothing, ServiceError.
        """
        return None

    @property
    def source(self) -> 'Layer':
        """The layer as the input returned it, before all filters."""
        return self.original.source if self.original else self

    @property
    def stored_size(self) -> int:
        """Bytes to read for the layer, by which the largest layers are read first; 0 if unknown."""
        return self.descriptor.size if self.descriptor else self.tar_size() or 0


def _hashed_ahead(tar: ByteStream) -> ByteStream:
    """Return a stream that another thread reads and checks."""
    return ByteStream(ReadAhead(tar), what='a layer that is read ahead', hashed=lambda: tar.digest)


def _no_digest() -> Digest:
    raise ValueError('a tar that is checked by its blob is not hashed itself')


class StoredLayer(Layer):
    """A layer of a source that holds blobs (registry, OCI layout, OCI archive)."""

    def __init__(self, index: int, descriptor: Descriptor, diff_id: Digest, opener: Callable[[], Readable],
                 size_hint: Callable[[], int | None] = lambda: None,
                 present: Callable[[], int | None] = lambda: None,
                 rest: Callable[[int], Readable] | None = None, base: str = '') -> None:
        """`opener` opens the blob; `size_hint` returns the tar's size, for example from a gzip blob's last four bytes;
        `present` returns the blob's size at the source, None if unknown, and raises ImageNotFound if it is missing;
        `rest` opens the blob at an offset in bytes, None if that is impossible; `base` names the image that has a blob
        which the source, a delta, leaves out."""
        media_types.layer_compression(descriptor.media_type)
        self.index, self.descriptor, self.diff_id, self.base = index, descriptor, diff_id, base
        self._opener, self._size_hint, self._present, self._rest = opener, size_hint, present, rest

    def present_size(self) -> int | None:
        """Return the size in bytes of the blob at the source."""
        return self._present()

    def stored(self, observers: ReadObservers = NO_OBSERVERS) -> ByteStream:
        """Open the blob; its end checks digest and size."""
        assert self.descriptor
        source = with_held(observers.held, self.descriptor.size, self._opener, self._rest)
        stream = ByteStream(source, digest=self.descriptor.digest, size=self.descriptor.size,
                            what=f'layer {self.descriptor.digest}', rule='layer-digest')
        if observers.moved:
            stream.observe(observers.moved)
        if observers.kept:
            stream.tee(observers.kept)
        return stream

    def tar(self, observers: ReadObservers = NO_OBSERVERS) -> ByteStream:
        """Open the tar; its end checks blob and diff_id. Large blobs are received and inflated on another thread."""
        return self._checked(self._inflated_beside(observers))

    def tar_ahead(self, observers: ReadObservers = NO_OBSERVERS) -> ByteStream:
        """Open the tar; all preparation is done on one other thread, with one ring of buffers."""
        return _hashed_ahead(self._checked(self._inflated(observers)))

    def _checked(self, source: Readable) -> ByteStream:
        assert self.descriptor
        return ByteStream(source, digest=self.diff_id, what=f'the tar of layer {self.descriptor.digest}',
                          rule='layer-diff-id')

    def content(self, observers: ReadObservers = NO_OBSERVERS) -> ByteStream:
        """Open the tar; its end checks the blob. Large blobs are received and inflated on another thread."""
        assert self.descriptor
        return ByteStream(self._inflated_beside(observers), what=f'the tar of layer {self.descriptor.digest}',
                          hashed=_no_digest)

    def _inflated_beside(self, observers: ReadObservers) -> Readable:
        assert self.descriptor
        source = self._inflated(observers)
        return ReadAhead(source) if self.descriptor.size > _WORTH_A_THREAD else source

    def _inflated(self, observers: ReadObservers) -> Readable:
        assert self.descriptor
        what = f'layer {self.descriptor.digest}'
        return _ToTheEnd(lambda: self.stored(observers), lambda stored: inflate(stored, what, self._found))

    def _found(self, compression: Compression) -> None:
        """Note a blob whose compression differs from its media type; the diff_id still proves its content."""
        assert self.descriptor
        promised = media_types.layer_compression(self.descriptor.media_type)
        if compression is not promised:
            said = media_types.said_of_layer(self.descriptor.media_type)
            self.note = (f'layer {self.index}, {self.descriptor.digest}, is {compression.text}, its media type {said}: '
                         'it was read according to its content')

    def tar_size(self) -> int | None:
        """Return the source's hint, or the blob's size if it is not compressed."""
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
        """Raise InvalidImage: there is no blob. The pipeline makes one if a writer takes blobs."""
        raise InvalidImage(f'{self._what} is held as a tar, its source has no blob of it')

    def tar(self, observers: ReadObservers = NO_OBSERVERS) -> ByteStream:
        """Open the tar; its end checks the diff_id, or determines it if it was unknown."""
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
        """Return the size in bytes according to the source."""
        return self._size


class _ToTheEnd:
    """Opens a source at the first read and decodes it. After the decoder's end it reads the source to its own end."""

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
