"""Opening many manifests by digest: each read once, several at once, indexes with all that they list."""
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from occystrap_core.errors import InvalidImage, SizeMismatch
from occystrap_core.image.blob_store import BlobStore
from occystrap_core.image.image_index import Child, Content, ImageIndex
from occystrap_core.oci.descriptor import Descriptor
from occystrap_core.oci.digest import Digest
from occystrap_core.oci.manifest import Index, Manifest
from occystrap_core.oci.reference import Reference
from occystrap_core.settings import Settings

DEEPEST = 8
"""Indexes within indexes; real ones are two deep."""
_MOST = 4096
"""Manifests that one image may bring."""

A = TypeVar('A')
B = TypeVar('B')


class ManifestReader:
    """Opens what lies in one place, for one image; a manifest named twice is one object."""

    def __init__(self, contents: BlobStore, reference: Reference, settings: Settings) -> None:
        """`reference` is the image's, for messages."""
        self.contents, self.reference, self.settings = contents, reference, settings
        self._documents: dict[Digest, Manifest | Index] = {}
        self._contents: dict[Digest, Content] = {}
        self._seen: dict[Digest, Manifest | Index] = {}

    def index(self, index: Index, places: Sequence[int]) -> ImageIndex:
        """Return an index with the entries at these places; raises InvalidImage, ImageNotFound, ServiceError."""
        contents = self.open([index.manifests[place] for place in places])
        return ImageIndex(self.reference, index, [
            Child(place, content) for place, content in zip(places, contents, strict=True)])

    def take(self, document: Manifest | Index) -> Descriptor:
        """Keep a manifest that was read by a name; return what points at it."""
        self._documents[document.digest] = document
        return document.descriptor

    def open(self, entries: Sequence[Descriptor]) -> list[Content]:
        """Return what these point at, all metadata read; raises as `index` does."""
        self._read_documents(entries)
        manifests = [each for digest, each in self._documents.items()
                     if isinstance(each, Manifest) and digest not in self._contents]
        for manifest, image in zip(manifests, self.in_parallel(self._open_manifest, manifests), strict=True):
            self._contents[manifest.digest] = image
        return [self._assembled(entry) for entry in entries]

    def read(self, entry: Descriptor) -> Manifest | Index:
        """Return the one manifest or index that an entry points at, its size checked; raises as `index` does."""
        found = self._read(entry)
        if len(found.raw) != entry.size:
            raise SizeMismatch(f'manifest {entry.digest} has {len(found.raw)} bytes, should have {entry.size}',
                               'manifest-size')
        if len(self._seen) >= _MOST:
            raise InvalidImage(f'{self.reference} has more than {_MOST} manifests')
        self._seen[entry.digest] = found
        return found

    def document(self, digest: Digest) -> Manifest | Index:
        """Return a manifest that was read."""
        return self._documents[digest]

    def in_parallel(self, work: Callable[[A], B], items: Iterable[A]) -> list[B]:
        """Return what `work` makes of each item, on the run's threads and this one."""
        return self.settings.in_parallel(work, items, helping=True)

    def _read_documents(self, entries: Sequence[Descriptor]) -> None:
        """Read what these point at and what that lists, level by level."""
        level, depth = self._unread(entries), 0
        while level:
            depth += 1
            if depth > DEEPEST or len(self._documents) + len(level) > _MOST:
                raise InvalidImage(f'{self.reference} has indexes within indexes, more than {DEEPEST} deep'
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
            raise SizeMismatch(f'{self._named(entry.digest)} has {len(document.raw)} bytes, should have {entry.size}',
                               'manifest-size')
        if document.media_type != entry.media_type:
            raise InvalidImage(f'{self._named(entry.digest)} is a {document.media_type}, listed as {entry.media_type}',
                               'manifest-media-type')
        if entry.digest not in self._contents:
            assert isinstance(document, Index)
            self._contents[entry.digest] = ImageIndex(self._named(entry.digest), document, [
                Child(place, self._assembled(each)) for place, each in enumerate(document.manifests)])
        return self._contents[entry.digest]

    def _named(self, digest: Digest) -> Reference:
        return self.reference._replace(tag='', digest=digest)
