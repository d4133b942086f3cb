"""Indexes: several images under one name, and the referrers of images."""
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import NamedTuple, Self, Union

from occystrap_core.image.artifact import Artifact
from occystrap_core.image.image import Image
from occystrap_core.image.layer import Layer
from occystrap_core.image.origin import Origin
from occystrap_core.oci.digest import Digest
from occystrap_core.oci.manifest import Index
from occystrap_core.oci.reference import Reference

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
        """`children` may be fewer than the entries of the index; a manifest that is listed twice is one object.

        `notes` are lines for the user about what was left out.
        """
        self.origin = Origin.of(index)
        self.reference, self.index, self.children = reference, index, tuple(children)
        self.referrers, self.notes = tuple(referrers), tuple(notes)

    @property
    def layers(self) -> list[Layer]:
        """All layers to copy."""
        return [layer for content in all_contents(self) if isinstance(content, Image) for layer in content.layers]

    def images(self) -> Iterator[Image]:
        """Yield all images and artifacts to copy, each once."""
        return (content for content in all_contents(self) if isinstance(content, Image))

    def filtered(self, change: Callable[[Image], Image]) -> 'ImageIndex':
        """Return the index with `change` applied to each image, lazily; artifacts are left out, with a note.

        Artifacts refer to images by digest, and filters change the digests.
        """
        return _Filter(change).index(self)

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


def all_contents(*contents: Content) -> Iterator[Content]:
    """Yield these contents, their children and referrers, each once, and each after those it depends on."""
    seen: set[int] = set()

    def walk(content: Content) -> Iterator[Content]:
        if id(content) in seen:
            return
        seen.add(id(content))
        if isinstance(content, ImageIndex):
            for child in content.children:
                yield from walk(child.content)
        for each in content.referrers:
            yield from walk(each.content)
        yield content

    for content in contents:
        yield from walk(content)


def layer_notes(content: Content) -> list[str]:
    """Return the notes of the layers that were read, each once."""
    notes = [layer.note for each in all_contents(content) if isinstance(each, Image) for layer in each.layers]
    return list(dict.fromkeys(note for note in notes if note))


class _Filter:
    """Filters each image once, even if it is listed several times."""

    def __init__(self, change: Callable[[Image], Image]) -> None:
        self._change = change
        self._changed: dict[int, Content | None] = {}

    def index(self, index: ImageIndex) -> ImageIndex:
        children, notes = [], list(index.notes)
        for child in index.children:
            if changed := self._content(child.content):
                children.append(child._replace(content=changed))
                notes += changed.notes if isinstance(changed, ImageIndex) else ()
            else:
                entry = index.index.manifests[child.place]
                notes.append(f'{index.reference}: {entry.digest} is no image: it is left out of the filtered index')
        filtered = ImageIndex(index.reference, index.index, children, (), notes)
        filtered.origin = index.origin
        return filtered

    def _content(self, content: Content) -> Content | None:
        if id(content) not in self._changed:
            self._changed[id(content)] = self._filtered(content)
        return self._changed[id(content)]

    def _filtered(self, content: Content) -> Content | None:
        if isinstance(content, ImageIndex):
            return self.index(content)
        return None if isinstance(content, Artifact) else self._change(content)
