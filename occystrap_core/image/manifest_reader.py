"""Opening manifests by digest: each read once, several in parallel, indexes with all their entries."""
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from occystrap_core.errors import InvalidImage, SizeMismatch
from occystrap_core.image.blob_store import BlobStore
from occystrap_core.image.image import Child, Content, ImageIndex
from occystrap_core.oci.descriptor import Descriptor
from occystrap_core.oci.digest import Digest
from occystrap_core.oci.manifest import Index, Manifest
from occystrap_core.oci.media_types import is_generic
from occystrap_core.oci.reference import Reference
from occystrap_core.settings import Settings

DEEPEST = 8
"""The deepest nesting of indexes; real ones have a depth of two."""
_MOST = 4096
"""The largest number of manifests of one image."""

A = TypeVar('A')
B = TypeVar('B')


class ManifestReader:
    """Opens the content of one store, for one image; a manifest that is listed several times is one object."""

    def __init__(self, contents: BlobStore, reference: Reference, settings: Settings) -> None:
        """`reference` is the image's, for messages."""
        self.contents, self.reference, self.settings = contents, reference, settings
        self._documents: dict[Digest, Manifest | Index] = {}
        self._contents: dict[Digest, Content] = {}
        self._seen: dict[Digest, Manifest | Index] = {}

    def index(self, index: Index, places: Sequence[int]) -> ImageIndex:
        """Return an index with the entries at these positions; raises InvalidImage, ImageNotFound, ServiceError."""
        contents = self.open([index.manifests[place] for place in places])
        return ImageIndex(self.reference, index, [
            Child(place, content) for place, content in zip(places, contents, strict=True)])

    def take(self, document: Manifest | Index) -> Descriptor:
        """Keep a manifest that was read by name; return its descriptor."""
        self._documents[document.digest] = document
        return document.descriptor

    def open(self, entries: Sequence[Descriptor]) -> list[Content]:
        """Return the contents of these entries, all metadata read; raises as `index` does."""
        self._read_documents(entries)
        manifests = [each for digest, each in self._documents.items()
                     if isinstance(each, Manifest) and digest not in self._contents]
        for manifest, image in zip(manifests, self.in_parallel(self._open_manifest, manifests), strict=True):
            self._contents[manifest.digest] = image
        return [self._assembled(entry) for entry in entries]

    def read(self, entry: Descriptor) -> Manifest | Index:
        """Return the one manifest or index of an entry, its size checked unless it is -1; raises as `index` does."""
        found = self._read(entry)
        if entry.size not in (-1, len(found.raw)):
            raise SizeMismatch(f'manifest {entry.digest} has {len(found.raw)} bytes, expected {entry.size}',
                               'manifest-size')
        if len(self._seen) >= _MOST:
            raise InvalidImage(f'{self.reference} has more than {_MOST} manifests')
        self._seen[entry.digest] = found
        return found

    def document(self, digest: Digest) -> Manifest | Index:
        """Return a manifest that was read before."""
        return self._documents[digest]

    def in_parallel(self, work: Callable[[A], B], items: Iterable[A]) -> list[B]:
        """Return the result of `work` for each item, on the run's threads and this one; raises its first error."""
        return self.settings.in_parallel(work, items, helping=True)

    def _read_documents(self, entries: Sequence[Descriptor]) -> None:
        """Read the manifests of these entries and of the indexes among them, level by level."""
        level, depth = self._unread(entries), 0
        while level:
            depth += 1
            if depth > DEEPEST or len(self._documents) + len(level) > _MOST:
                raise InvalidImage(f'{self.reference} has indexes nested more than {DEEPEST} deep'
                                   if depth > DEEPEST else f'{self.reference} has more than {_MOST} manifests')
            found = self.in_parallel(self._read, level.values())
            self._documents.update(zip(level, found, strict=True))
            level = self._unread([entry for each in found if isinstance(each, Index) for entry in each.manifests])

    def _unread(self, entries: Sequence[Descriptor]) -> Mapping[Digest, Descriptor]:
        unread: dict[Digest, Descriptor] = {}
        for entry in entries:
            if entry.digest not in self._documents:
                unread.setdefault(entry.digest, entry)
        return unread

    def _read(self, entry: Descriptor) -> Manifest | Index:
        self.settings.cancellation.check()
        return self._seen.get(entry.digest) or self.contents.manifest(entry)

    def _open_manifest(self, manifest: Manifest) -> Content:
        self.settings.cancellation.check()
        named = self._named(manifest.digest)
        try:
            return self.contents.open(named, manifest)
        except InvalidImage as error:
            raise error if str(named) in str(error) else error.renamed(f'{named}: {error}') from None

    def _assembled(self, entry: Descriptor) -> Content:
        document = self._documents[entry.digest]
        if len(document.raw) != entry.size:
            raise SizeMismatch(f'{self._named(entry.digest)} has {len(document.raw)} bytes, expected {entry.size}',
                               'manifest-size')
        if document.media_type != entry.media_type and not is_generic(entry.media_type):
            raise InvalidImage(f'{self._named(entry.digest)} is a {document.media_type}, listed as {entry.media_type}',
                               'manifest-media-type')
        if entry.digest not in self._contents:
            assert isinstance(document, Index)
            self._contents[entry.digest] = ImageIndex(self._named(entry.digest), document, [
                Child(place, self._assembled(each)) for place, each in enumerate(document.manifests)])
        return self._contents[entry.digest]

    def _named(self, digest: Digest) -> Reference:
        return self.reference._replace(tag='', digest=digest)
