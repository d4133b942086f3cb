"""An index whose images go through filters."""
from collections.abc import Callable

from occystrap_core.image.artifact import Artifact
from occystrap_core.image.image import Content, Image, ImageIndex


def filtered_index(index: ImageIndex, change: Callable[[Image], Image]) -> ImageIndex:
    """Return the index with `change` applied to each image, lazily; artifacts are left out, with a note.

    Artifacts refer to images by digest, and filters change the digests.
    """
    return _Filter(change).index(index)


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
                notes.append(f'{index.reference}: {entry.digest} is not an image and is left out of the filtered index')
        return ImageIndex(index.reference, index.index, children, (), notes).named(index.origin)

    def _content(self, content: Content) -> Content | None:
        if id(content) not in self._changed:
            self._changed[id(content)] = self._filtered(content)
        return self._changed[id(content)]

    def _filtered(self, content: Content) -> Content | None:
        if isinstance(content, ImageIndex):
            return self.index(content)
        return None if isinstance(content, Artifact) else self._change(content)
