"""Reading OCI archives: an image layout (image-spec image-layout.md) within a tar."""
import threading
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain

from occystrap_core import BlobStore, Image, ImageIndex, ImageNotFound, IndexReader, Settings
from occystrap_core.files import Readable, SizeMismatch, set_error_rule
from occystrap_core.oci import (
    CONFIG_CAP, INDEX_FILE, LAYOUT_FILE, MANIFEST_CAP, Descriptor, Digest, Index, LayoutEntries, LayoutReferrers,
    Offer, PlatformChoice, Reference, blob_name, independent_images, layout_offers, left_out_by, parse_name,
    require_version,
)
from occystrap_core.tar import StoredLayer
from occystrap_tar.archive.members import Archive
from occystrap_tar.archive.tar_sizes import tar_size


def offers(archive: Archive, all_listed: bool = False) -> list[Offer[LayoutEntries]]:
    """Return the images in index.json, with `all_listed` also referrers and parts of indexes.

    Raises InvalidImage if it is malformed, or the layout's version is unknown.
    """
    with set_error_rule('archive'):
        require_version(archive.read(LAYOUT_FILE, MANIFEST_CAP), archive.name)
    store = ArchiveStore(archive)
    listed = layout_offers(read_index(archive).manifests, with_platform=store.with_platform)
    return listed if all_listed else independent_images(store.manifest, listed)


class StoredImages:
    """The images of an OCI layout by their configs; manifests are read once, when they are needed. For several threads.
    """

    def __init__(self, archive: Archive) -> None:
        """An archive without a layout has none; raises InvalidImage if the layout is malformed."""
        is_layout = INDEX_FILE in archive.members and LAYOUT_FILE in archive.members
        self._archive, self._lock = archive, threading.Lock()
        self._anywhere = _Configs(archive, read_index(archive).manifests if is_layout else ())
        self._is_layout = is_layout

    def image(self, config: Digest, names: Sequence[str]) -> LayoutEntries | None:
        """Return the image with this config: the one with one of these names, or else any that index.json leads to.

        Return None if it, or its manifest, is missing.
        """
        with self._lock:
            named = (below.find(config) for _, below in self._named(names))
            found = next(filter(None, named), None) or self._anywhere.find(config)
        return [found] if found else None

    def whole(self, config: Digest, names: Sequence[str]) -> LayoutEntries | None:
        """Return the entries, with all platforms, of the image to which the manifest with this config belongs; None
        without one.

        Of several such images it is the one with one of these names, if there is one.
        """
        with self._lock:
            return next((image for image, below in chain(self._named(names), self._images) if below.find(config)), None)

    def _named(self, names: Sequence[str]) -> Iterator[tuple[LayoutEntries, '_Configs']]:
        for name in names:
            whole, tag = name_keys(name)
            yield from self._by_name.get(whole, self._by_name.get(tag, ()))

    @cached_property
    def _images(self) -> list[tuple[LayoutEntries, '_Configs']]:
        return [(each.image, _Configs(self._archive, each.image)) for each in self._offers]

    @cached_property
    def _by_name(self) -> Mapping[str, list[tuple[LayoutEntries, '_Configs']]]:
        found: defaultdict[str, list[tuple[LayoutEntries, _Configs]]] = defaultdict(list)
        for offer, image in zip(self._offers, self._images, strict=True):
            for name in offer.names:
                found[stored_key(name)].append(image)
        return found

    @cached_property
    def _offers(self) -> Sequence[Offer[LayoutEntries]]:
        return offers(self._archive, all_listed=True) if self._is_layout else ()


def stored_key(name: str) -> str:
    """Return the key by which a name in index.json is compared with one in manifest.json: one of its `name_keys`.

    The name may be a tag alone (image-spec annotations.md).
    """
    return str(parse_name(name).as_docker) if '/' in name or ':' in name else name


def name_keys(name: str) -> tuple[str, str]:
    """Return the whole name, as docker stores it, and its tag."""
    named = parse_name(name).as_docker
    return str(named), named.tag


class _Configs:
    """Manifests by their configs: those of entries, and those in indexes that entries lead to."""

    def __init__(self, archive: Archive, entries: Iterable[Descriptor]) -> None:
        self._archive, self._pending = archive, deque(entries)
        self._seen: set[Digest] = set()
        self._found: dict[Digest, Descriptor] = {}

    def find(self, config: Digest) -> Descriptor | None:
        """Return the entry of the manifest with this config; raises InvalidImage."""
        while config not in self._found and self._pending:
            entry = self._pending.popleft()
            if entry.digest in self._seen or blob_name(entry.digest) not in self._archive.members:
                continue
            self._seen.add(entry.digest)
            manifest = ArchiveStore(self._archive).manifest(entry)
            if isinstance(manifest, Index):
                self._pending.extend(manifest.manifests)
            else:
                self._found.setdefault(manifest.config.digest, entry)
        return self._found.get(config)


def referrers(archive: Archive) -> LayoutReferrers:
    """Return the referrers that index.json lists; raises InvalidImage."""
    return LayoutReferrers(ArchiveStore(archive).manifest, read_index(archive).manifests, archive.name)


def open_image(contents: 'ArchiveStore', image: LayoutEntries, reference: Reference, requested: PlatformChoice | None,
               settings: Settings, referrers: LayoutReferrers | None = None) -> Image | ImageIndex:
    """Return the image, or the requested part of an index; raises InvalidImage, ImageNotFound."""
    reader = IndexReader(contents, reference, settings)
    return reader.select_listed(image, requested, referrers.of if referrers else None)


class ArchiveStore(BlobStore):
    """The blobs of an image layout within a tar."""

    def __init__(self, archive: Archive) -> None:
        self._archive, self.place = archive, archive.name

    def small_blob(self, digest: Digest, what: str) -> bytes:
        """Read a small member."""
        return self._archive.read(blob_name(digest), CONFIG_CAP)

    def base(self, digest: Digest) -> str:
        """Return the name of an image that has a blob which a delta leaves out."""
        return '' if blob_name(digest) in self._archive.members else self._left_out.get(digest, '')

    def blob(self, descriptor: Descriptor) -> Readable:
        """Open a member."""
        if base := self.base(descriptor.digest):
            raise ImageNotFound(f'{self._archive.name} is a delta: it leaves out {descriptor.digest}, which {base} has')
        return self._archive.open(self._archive.find(blob_name(descriptor.digest)))

    def tar_size(self, descriptor: Descriptor) -> int | None:
        """Return the size of a layer's tar, from the first and last bytes of its blob."""
        if self.base(descriptor.digest):
            return None
        return tar_size(self._archive, self._archive.find(blob_name(descriptor.digest)))

    def layer(self, index: int, descriptor: Descriptor, diff_id: Digest) -> StoredLayer:
        """Return a layer, its size checked."""
        with set_error_rule('layer'):
            member = None if self.base(descriptor.digest) else self._archive.find(blob_name(descriptor.digest))
            if member and member.size != descriptor.size:
                raise SizeMismatch(f'{self._archive.name}: layer {descriptor.digest} has {member.size} bytes, '
                                   f'expected {descriptor.size}')
        return super().layer(index, descriptor, diff_id)

    @cached_property
    def _left_out(self) -> Mapping[Digest, str]:
        return left_out_by(read_index(self._archive).manifests) if INDEX_FILE in self._archive.members else {}


def read_index(archive: Archive) -> Index:
    """Return what index.json lists; raises InvalidImage."""
    return Index.parse(archive.read(INDEX_FILE, MANIFEST_CAP))
