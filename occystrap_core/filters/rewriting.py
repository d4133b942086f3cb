"""Images whose layers are rewritten entry by entry; neighbouring filters share one pass."""
from collections.abc import Iterator, Sequence

from occystrap_core.image.image import Image
from occystrap_core.image.layer import Layer
from occystrap_core.image.stream import ByteStream
from occystrap_core.image_filter import EntryFilter
from occystrap_core.layertar.rewriter import EntryFunction, RewrittenTar
from occystrap_core.oci.config import ImageConfig
from occystrap_core.oci.digest import Digest


class RewrittenLayer(Layer):
    """A layer seen through entry functions. Its diff_id is known when its tar was read to the end once."""

    descriptor = None

    def __init__(self, original: Layer, functions: Sequence[EntryFunction], folder: str | None = None) -> None:
        """`folder` is for temporary files."""
        self.original, self._functions, self._folder = original, tuple(functions), folder
        self._stream: ByteStream | None = None

    @property
    def index(self) -> int:  # type: ignore[override]
        """The original's place."""
        assert self.original
        return self.original.index

    @property
    def diff_id(self) -> Digest | None:  # type: ignore[override]
        """The digest of the new tar, None until it was read."""
        return self._stream.digest if self._stream and self._stream.ended else None

    def stored(self) -> ByteStream:
        """Not to be had: the pipeline compresses the tar where a writer wants a blob."""
        raise NotImplementedError('a rewritten layer has no blob')

    def tar(self) -> ByteStream:
        """Open the new tar; reading it to the end also checks the original."""
        assert self.original
        source = self.original.tar()
        tar = RewrittenTar(source, self._functions, self._folder)
        self._stream = ByteStream(tar, what=f'rewritten layer {self.index}', hashed=tar.digest.hexdigest)
        return self._stream

    def with_function(self, function: EntryFunction) -> 'RewrittenLayer':
        """Return the layer with one more function in the same pass."""
        assert self.original
        return RewrittenLayer(self.original, (*self._functions, function), self._folder)

    def tar_size(self) -> int | None:
        """Return the original's size in bytes, which is the new one's unless headers grow or entries go."""
        assert self.original
        return self.original.tar_size()

    @property
    def stored_size(self) -> int:
        """Bytes that reading the original moves."""
        assert self.original
        return self.original.stored_size


class RewrittenImage(Image):
    """An image whose layers are rewritten; config and manifest are the original's, the pipeline makes new ones."""

    def __init__(self, original: Image, function: EntryFunction, folder: str | None = None) -> None:
        self._original, self._function, self._folder = original, function, folder
        self.reference, self.manifest, self.sequential = original.reference, original.manifest, original.sequential
        self._layers = tuple(self._rewritten(layer) for layer in original.layers)

    @property
    def config(self) -> ImageConfig:
        """The original's config."""
        return self._original.config

    @property
    def diff_ids(self) -> tuple[Digest, ...]:
        """The original's diff_ids."""
        return self._original.diff_ids

    def arrivals(self) -> Iterator[Layer]:
        """Yield each layer as it arrives, rewritten."""
        return (self._rewritten(layer) for layer in self._original.arrivals())

    def close(self) -> None:
        """Close the original."""
        self._original.close()

    def _rewritten(self, layer: Layer) -> Layer:
        if isinstance(layer, RewrittenLayer):
            return layer.with_function(self._function)
        return RewrittenLayer(layer, [self._function], self._folder)


def rewrite_entries(image: Image, entry_filter: EntryFilter) -> Image:
    """Return `image` with every entry of every layer passed through the filter, lazily."""
    return RewrittenImage(image, entry_filter.entry, entry_filter.settings.temporary)
