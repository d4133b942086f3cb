"""Images and indexes: lazy values with documents and layers, and the referrers of both."""
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from copy import copy
from types import TracebackType
from typing import NamedTuple, Self, TypeVar, Union

from occystrap_core.errors import InvalidImage
from occystrap_core.image.layer import Layer
from occystrap_core.image.origin import Origin
from occystrap_core.oci.config import ImageConfig
from occystrap_core.oci.digest import Digest
from occystrap_core.oci.manifest import Index, Manifest
from occystrap_core.oci.platform import Platform
from occystrap_core.oci.reference import Reference

C = TypeVar('C', bound=Union['Image', 'ImageIndex'])


class Image:
    """One image of one platform, of which only metadata has been read. Close it, best by a with statement."""

    sequential = False
    """True if layers can only be read one after the other, as they arrive, from `arrivals`."""
    referrers: Sequence['Referrer'] = ()
    """Signatures and other referrers to copy with the image."""
    notes: Sequence[str] = ()
    """Lines for the user about what was left out on purpose."""
    origin: Origin | None = None
    """The manifest that the image's name refers to at the source, or the index that contains the image; None if the
    source has neither."""

    def __init__(self, reference: Reference, config: ImageConfig, layers: Sequence[Layer],
                 manifest: Manifest | None = None) -> None:
        """`manifest` is None if the source has none (docker archive, daemon); layers are in order, lowest first.

        Raises InvalidImage if the numbers of layers in manifest, config and `layers` differ.
        """
        count = len(manifest.layers) if manifest else len(layers)
        if len({len(layers), len(config.diff_ids), count}) > 1:
            raise InvalidImage(f'{reference} has {count} layers, but its config lists {len(config.diff_ids)}',
                               'layer-count')
        self.reference, self.manifest = reference, manifest
        self._config: ImageConfig | None = config
        self._layers = tuple(layers)
        self._closing = ExitStack()
        self._on_copied: list[Callable[[], object]] = []

    @property
    def config(self) -> ImageConfig:
        """The config; of a sequential image it may be known only after the last layer."""
        assert self._config is not None
        return self._config

    @property
    def platform(self) -> Platform | None:
        """The platform; None for a sequential image if it is unknown until the config arrives."""
        return self.config.platform

    @property
    def diff_ids(self) -> tuple[Digest, ...]:
        """The digests of the layers' tars, lowest first; known from the start, also of a sequential image."""
        return self.config.diff_ids

    @property
    def source(self) -> 'Image':
        """The image as the input returned it, before all filters."""
        return self

    @property
    def layers(self) -> Sequence[Layer]:
        """The layers, lowest first; empty for a sequential image."""
        return self._layers

    def arrivals(self) -> Iterator[Layer]:
        """Yield the layers in the best order for reading; read each before asking for the next.

        Layers of a sequential image may know their diff_id and index only after their tar was read to its end. Raises
        what reading the source raises: ServiceError, InvalidImage.
        """
        return iter(self._layers)

    def arrivals_beside(self, blob_size: Callable[[Digest], int | None]) -> Iterator[Layer]:
        """Yield the same for a destination that takes blobs unchanged and can be asked for them.

        `blob_size` returns the size in bytes of a blob there, None if it is missing. For a layer that is there, the
        source may yield a layer that cannot be opened.
        """
        return self.arrivals()

    def named(self, origin: Origin, referrers: Sequence['Referrer'] = ()) -> Self:
        """Return the image with its origin and referrers: what the name means at the source, and what refers to the
        image there."""
        return _named(self, origin, referrers)

    def on_close(self, callback: Callable[[], object]) -> None:
        """Call `callback` when the image is closed, the last added first."""
        self._closing.callback(callback)

    def on_copied(self, callback: Callable[[], object]) -> None:
        """Call `callback` when the whole image is at its destination; never after a failure."""
        self._on_copied.append(callback)

    def copied(self) -> None:
        """Call all callbacks of `on_copied`, the first added first."""
        for callback in self._on_copied:
            callback()

    def close(self) -> None:
        """Close files and connections."""
        self._closing.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None,
                 ) -> None:
        self.close()


Content = Union[Image, 'ImageIndex']
"""What a manifest or index describes: an image, an artifact, or an index of these."""


class Child(NamedTuple):
    """The content of the entry at position `place` of an index."""

    place: int
    content: Content


class Referrer(NamedTuple):
    """A referrer of an image: listed as one of `subject`, or found under a tag made from a digest."""

    content: Content
    subject: Digest | None = None
    tag: str = ''


class ImageIndex:
    """An index, with the selected part of its content. Metadata has been read, no layer has."""

    sequential = False

    def __init__(self, reference: Reference, index: Index, children: Sequence[Child],
                 referrers: Sequence[Referrer] = (), notes: Sequence[str] = ()) -> None:
        """Return the index with its origin and referrers: what the name means at the source, and what refers to its
        parts there."""
        self.origin = Origin.of(index)
        self.reference, self.index, self.children = reference, index, tuple(children)
        self.referrers, self.notes = tuple(referrers), tuple(notes)

    def named(self, origin: Origin, referrers: Sequence[Referrer] = ()) -> Self:
        """Return the index as what a name means at its source, with what refers to it and its parts there."""
        return _named(self, origin, referrers)

    @property
    def layers(self) -> list[Layer]:
        """All layers to copy."""
        return [layer for content in all_contents(self) if isinstance(content, Image) for layer in content.layers]

    def images(self) -> Iterator[Image]:
        """Yield all images and artifacts to copy, each once."""
        return (content for content in all_contents(self) if isinstance(content, Image))

    def close(self) -> None:
        """Close files and connections."""
        for content in all_contents(self):
            if isinstance(content, Image):
                content.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None,
                 ) -> None:
        self.close()


def _named(content: C, origin: Origin, referrers: Sequence[Referrer]) -> C:
    """Return a copy, which shares files and callbacks, with these."""
    named = copy(content)
    named.origin, named.referrers = origin, tuple(referrers)
    return named


def all_contents(*contents: Content) -> Iterator[Content]:
    """Yield these contents, their children and referrers, each once, and each after those it depends on."""
    seen = set[int]()
    for content in contents:
        yield from _unseen(content, seen)


def _unseen(content: Content, seen: set[int]) -> Iterator[Content]:
    if id(content) in seen:
        return
    seen.add(id(content))
    if isinstance(content, ImageIndex):
        for child in content.children:
            yield from _unseen(child.content, seen)
    for each in content.referrers:
        yield from _unseen(each.content, seen)
    yield content


def layer_notes(content: Content) -> list[str]:
    """Return the notes of the layers that were read, each once."""
    notes = [layer.note for each in all_contents(content) if isinstance(each, Image) for layer in each.layers]
    return list(dict.fromkeys(note for note in notes if note))
