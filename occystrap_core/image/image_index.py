"""Indexes: several images under one name, and what hangs on images by their digests."""
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
"""What a manifest is behind: an image, an artifact, or an index of such."""


class Child(NamedTuple):
    """What the entry at `place` of an index points at."""

    place: int
    content: Content


class Attached(NamedTuple):
    """What hangs on an image: listed as a referrer of `subject`, or found under a tag made from a digest."""

    content: Content
    subject: Digest | None = None
    tag: str = ''


class ImageIndex:
    """An index as its source has it, with what was chosen of it. Metadata is read, no layer is."""

    sequential = False

    def __init__(self, reference: Reference, index: Index, children: Sequence[Child], attached: Sequence[Attached] = (),
                 notes: Sequence[str] = ()) -> None:
        """`children` may be fewer than the index has entries; a manifest listed twice is one object both times.

        `notes` are lines for people about what was left out.
        """
        self.origin = Origin.of(index)
        self.reference, self.index, self.children = reference, index, tuple(children)
        self.attached, self.notes = tuple(attached), tuple(notes)

    @property
    def layers(self) -> list[Layer]:
        """All layers of all that is to be copied."""
        return [layer for content in below(self) if isinstance(content, Image) for layer in content.layers]

    def images(self) -> Iterator[Image]:
        """Yield all images and artifacts that are to be copied, each once."""
        return (content for content in below(self) if isinstance(content, Image))

    def filtered(self, change: Callable[[Image], Image]) -> 'ImageIndex':
        """Return the index of what `change` makes of each image, lazily; artifacts are left out, which is noted.

        They are about images by their digests, which are others then.
        """
        return _Filter(change).index(self)

    def close(self) -> None:
        """Let go of files and connections."""
        for content in below(self):
            if isinstance(content, Image):
                content.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None,
                 ) -> None:
        self.close()


def below(*contents: Content) -> Iterator[Content]:
    """Yield these, what they list and what hangs on them: each once, what is pointed at before what points at it."""
    seen: set[int] = set()

    def walk(content: Content) -> Iterator[Content]:
        if id(content) in seen:
            return
        seen.add(id(content))
        if isinstance(content, ImageIndex):
            for child in content.children:
                yield from walk(child.content)
        for each in content.attached:
            yield from walk(each.content)
        yield content

    for content in contents:
        yield from walk(content)


def layer_notes(content: Content) -> list[str]:
    """Return what there is to say of the layers that were read, each once."""
    notes = [layer.note for each in below(content) if isinstance(each, Image) for layer in each.layers]
    return list(dict.fromkeys(note for note in notes if note))


class _Filter:
    """Filters each image once, however often it is listed."""

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
                notes.append(f'{index.reference}: {entry.digest} is no image, and so is left out of the filtered index')
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
