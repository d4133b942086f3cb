"""Images whose layers are rewritten entry by entry; adjacent filters share one pass."""
from collections.abc import Callable, Sequence
from typing import NamedTuple

from occystrap_core.files.stream import ByteStream
from occystrap_core.image.derived import DerivedImage, DerivedLayer
from occystrap_core.image.image import Image
from occystrap_core.image.layer import NO_OBSERVERS, Layer, ReadObservers
from occystrap_core.oci.digest import Digest
from occystrap_core.settings import Settings
from occystrap_core.tar.rewriter import EntryFunction, RewrittenTar


def _nothing() -> None:
    """Do nothing."""


class LayerPass(NamedTuple):
    """The functions of one filter for one pass over a layer."""

    entry: EntryFunction
    ended: Callable[[], None] = _nothing
    """Called when the layer was read to its end and checked."""


class RewrittenLayer(DerivedLayer):
    """A layer after entry filters. Its diff_id is known once its tar was read to the end."""

    descriptor = None

    def __init__(self, original: Layer, begins: Sequence[Callable[[Layer], LayerPass]],
                 settings: Settings | None = None) -> None:
        """Each of `begins` is called when the layer is opened."""
        super().__init__(original)
        self._begins, self._settings = tuple(begins), settings or Settings()
        self._stream: ByteStream | None = None
        self._tar: RewrittenTar | None = None

    @property
    def diff_id(self) -> Digest | None:  # type: ignore[override]
        """The digest of the new tar; None before it was read."""
        return self._stream.digest if self._stream and self._stream.ended else None

    def stored(self, observers: ReadObservers = NO_OBSERVERS) -> ByteStream:
        """Raise NotImplementedError: the pipeline compresses the tar if a writer takes blobs."""
        raise NotImplementedError('a rewritten layer has no blob')

    def tar(self, observers: ReadObservers = NO_OBSERVERS) -> ByteStream:
        """Open the new tar; reading it to the end also checks the original."""
        passes = [begin(self.original) for begin in self._begins]
        tar = RewrittenTar(self.original.tar(observers), [each.entry for each in passes], self._settings.temporary,
                           self._settings.names)
        stream = ByteStream(tar, what=f'rewritten layer {self.index}', hashed=tar.digest.total)

        def passed(count: int) -> None:
            for each in passes if stream.ended else ():
                each.ended()
        stream.observe(passed)
        self._stream, self._tar = stream, tar
        return stream

    @property
    def differs(self) -> bool:  # type: ignore[override]
        """Whether an entry has been changed or left out so far."""
        return self.original.differs or (self._tar is not None and self._tar.digest.changed)

    def with_pass(self, begin: Callable[[Layer], LayerPass]) -> 'RewrittenLayer':
        """Return the layer with one more filter in the same pass."""
        return RewrittenLayer(self.original, (*self._begins, begin), self._settings)


def rewrite_layers(image: Image, begin: Callable[[Layer], LayerPass], settings: Settings) -> Image:
    """Return `image` with the entries of each layer passed through what `begin` returns for that layer, lazily.

    `begin` is called each time a layer is opened, so again if it is sent again.
    """
    def rewritten(layer: Layer) -> Layer:
        if isinstance(layer, RewrittenLayer):
            return layer.with_pass(begin)
        return RewrittenLayer(layer, [begin], settings)
    return DerivedImage(image, rewritten)


def rewrite_entries(image: Image, entry: EntryFunction, settings: Settings) -> Image:
    """Return `image` with every entry of every layer passed through the function, lazily."""
    layer_pass = LayerPass(entry)
    return rewrite_layers(image, lambda layer: layer_pass, settings)
