"""Writing images to OCI archives, with blobs as they are stored."""
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from occystrap_core import (
    Evidence, Expectation, Image, ImageIndex, ImageOutput, InvalidImage, LayerForm, Location, OutgoingLayer,
    Place, Receipt, Settings, WrittenImage, WrittenIndex, WrittenLayer, WrittenReferrer,
)
from occystrap_core.files import ByteStream
from occystrap_core.oci import (
    LAYOUT_FILE, LAYOUT_VERSION, Descriptor, Digest, Entry, ImageConfig, Index, IndexFile, Manifest, Reference,
    blob_name, named_entry, names_of,
)
from occystrap_tar.new_archive.archive_output import ArchiveOutput, tag_of
from occystrap_tar.new_archive.destination_file import check_destination
from occystrap_tar.new_archive.layers_of_run import LayersOfRun
from occystrap_tar.new_archive.oci_bundle import OciBundle

_LAYOUT = Expectation('layout', LAYOUT_FILE, Digest.of(LAYOUT_VERSION), len(LAYOUT_VERSION))


class OciArchiveOutput(ArchiveOutput):
    """An image layout within a tar, manifests and blobs byte for byte as the source has them; it may hold many images.
    """

    layer_form = LayerForm.STORED
    layer_store = 'blobs in OCI archives'
    holds_indexes = True

    def __init__(self, location: Location, settings: Settings) -> None:
        super().__init__(location, settings)
        tag_of(location, Reference('checked'))
        self.compression = location.options['compression']
        self.together = self._bundle = OciBundle.of(location.path, settings)
        self._layers = LayersOfRun.of(settings)
        self._notes: list[str] = []
        self._entries: list[Entry] = []
        self._left_out: dict[Digest, str] = {}
        self._receipt: Receipt | None = None

    def place(self, reference: Reference) -> Place:
        """Return the file, with the image's name in index.json; an image without a name replaces no other."""
        name = tag_of(self.location, reference)
        if name:
            self._bundle.names.add(name)
        else:
            self._bundle.digests.add(reference.digest)
        return Place.at(self.location.path, name)

    def require_possible(self, content: Image | ImageIndex) -> None:
        """Raise OutputError if the archive may not be replaced."""
        check_destination(self.location.path, self.settings)
        self._bundle.look()
        self._spare_named(content)
        self._spare_base(content)

    def prepare(self, image: Image) -> None:
        """Lay out the image and its referrers; raises OutputError if the archive may not be replaced."""
        self._bundle.begin(self)
        self._spare_named(image)
        self._spare_base(image)
        self._reserve(image)

    def prepare_index(self, index: ImageIndex) -> None:
        """Lay out all images of the index; raises OutputError if the archive may not be replaced."""
        self._bundle.begin(self)
        self._spare_base(index)
        self._reserve(*index.images())

    def has_layer(self, layer: OutgoingLayer) -> WrittenLayer | None:
        """Return the blob if another image of the run has brought it."""
        assert layer.descriptor
        blob = self._bundle.find(layer.descriptor.digest)
        return blob and WrittenLayer(blob.name, layer.descriptor.digest, blob.region.size, Evidence.STREAMED)

    def omit_layer(self, layer: OutgoingLayer) -> WrittenLayer | None:
        """Note a blob for the annotation of the entry, and return the name that it would have."""
        assert layer.descriptor and self.settings.base
        digest = layer.descriptor.digest
        self._left_out[digest] = self.settings.base[digest]
        return WrittenLayer(blob_name(digest), digest, layer.descriptor.size, Evidence.BASE)

    def blob_size(self, digest: Digest) -> int | None:
        """Return the size in bytes of a blob that another image of the run has written."""
        blob = self._bundle.find(digest)
        return blob and blob.region.size

    def adopt_layer(self, layer: OutgoingLayer) -> WrittenLayer | None:
        """Write a blob from another archive of the run or, if several images are written, from the one that will be
        replaced."""
        descriptor = layer.descriptor
        assert descriptor
        return self._layers.adopt(descriptor.digest, lambda stream: self._write(descriptor, stream), self._notes.append
                                  ) or (self._from_earlier(descriptor) if self.deferred else None)

    def write_layer(self, layer: OutgoingLayer) -> WrittenLayer:
        """Write a blob to its place in the archive."""
        descriptor = layer.descriptor
        assert descriptor
        name = self.kept_blobs.read(layer, lambda stream: self._write(descriptor, stream))
        blob = self._bundle.find(descriptor.digest)
        if blob and layer.source_blob == descriptor:
            self.kept_blobs.note(descriptor.digest, descriptor.size, descriptor,
                                 partial(blob.archive.reread, blob.region))
        return WrittenLayer(name)

    def finalize(self, image: WrittenImage) -> Receipt:
        """Write config and manifest; the image becomes visible with the others of the run."""
        assert image.manifest
        documents = [*self.put_documents(image), *sorted(self.parts, key=str)]
        return self._finished(image.manifest, image.reference, lambda listed: image.receipt(
            self.location, [*listed, *documents]))

    def put_documents(self, part: WrittenImage | WrittenIndex) -> Sequence[Expectation]:
        """Write config and manifest of an image, or an index."""
        if isinstance(part, WrittenIndex):
            return [self._put('index', part.index)]
        assert part.manifest
        return [self._put('config', part.config), self._put('manifest', part.manifest)]

    def attach_referrers(self, referrers: Sequence[WrittenReferrer]) -> Sequence[Expectation]:
        """Remember the entries for index.json, referrers without a name; return their expectations."""
        self._entries = [each.entry for each in referrers]
        return [Expectation.of_entry(entry) for entry in self._entries]

    def finalize_index(self, index: WrittenIndex) -> Receipt:
        """Write the index; it becomes visible with the other images of the run."""
        documents = self.put_documents(index)
        return self._finished(index.index, index.reference, lambda listed: index.receipt(
            self.location, [*listed, *documents]))

    def publish(self, outputs: Sequence[ImageOutput]) -> None:
        """Write index.json and rename the archive to its path."""
        written = [each for each in outputs if isinstance(each, OciArchiveOutput)]
        entries = [entry for each in written for entry in each._entries]
        expected = [each for output in written if output._receipt for each in output._receipt.expectations]
        blobs = sorted((each for each in expected if _is_member(each)), key=lambda each: each.kind != 'layer')
        carried, members = self._bundle.carry({name for entry in entries for name in names_of(entry)})
        self._bundle.publish([*dict.fromkeys([*(each.locator for each in blobs), *sorted(members)])],
                             IndexFile.listing([*entries, *carried]), alone=not self.deferred)
        self.notes = [*self.notes, *self._bundle.notes, *self._bundle.carried]
        for each in written:
            each.kept_blobs.finish()

    def abort(self) -> None:
        """Remove what was written, unless another image needs it; raises OutputError for what cannot be removed."""
        self.kept = self.kept_blobs.leave(self.may_go_on)
        self._bundle.leave(self)

    def _reserve(self, *images: Image) -> None:
        base = self.settings.base or ()
        self._bundle.reserve((digest, size) for digest, size in _known_blobs(*images) if digest not in base)

    def _spare_base(self, content: Image | ImageIndex) -> None:
        """Refuse to replace an archive by a delta based on it; raises OutputError."""
        if base := self.settings.base:
            images = [content] if isinstance(content, Image) else content.images()
            self._bundle.spare_base(digest for digest, _ in _known_blobs(*images) if digest in base)

    def _spare_named(self, content: Image | ImageIndex) -> None:
        """Refuse to replace an index in the archive by a single image; raises OutputError."""
        name = tag_of(self.location, content.reference)
        for each in self._bundle.present if isinstance(content, Image) else ():
            if name in each.names or len(self._bundle.present) == 1 and self._bundle.names.isdisjoint(each.names):
                self.spare_index(each)

    def _write(self, descriptor: Descriptor, stream: ByteStream) -> str:
        blob = self._bundle.write(descriptor.digest, descriptor.size, stream.chunks())
        self._layers.keep(stream.digest, blob.archive, blob.region)
        return blob.name

    def _from_earlier(self, descriptor: Descriptor) -> WrittenLayer | None:
        """Write a blob from the archive that will be replaced; None if it has none, or a damaged one."""
        try:
            found = self._bundle.earlier(descriptor.digest, descriptor.size)
            if found is None:
                return None
            with ByteStream(found, digest=descriptor.digest, size=descriptor.size) as stream:
                name = self._write(descriptor, stream)
        except (OSError, InvalidImage):
            return None
        return WrittenLayer(name, descriptor.digest, descriptor.size, Evidence.STREAMED)

    def _put(self, kind: str, document: Manifest | Index | ImageConfig) -> Expectation:
        """Write a small blob, unless it is there; return its expectation."""
        digest, size = document.digest, len(document.raw)
        blob = self._bundle.find(digest) or self._bundle.write(digest, size, [memoryview(document.raw)])
        return Expectation(kind, blob.name, digest, size)

    def _finished(self, document: Manifest | Index, reference: Reference,
                  receipt_of: Callable[[Sequence[Expectation]], Receipt]) -> Receipt:
        """List a document in index.json; `receipt_of` makes a receipt with the expectations for layout and entries."""
        listed = [Expectation.of_entry(entry) for entry in self._entries]
        entry = named_entry(document.descriptor, tag_of(self.location, reference), self._left_out)
        self._entries.append(entry)
        self._receipt = receipt_of([_LAYOUT, Expectation.of_entry(entry), *listed])
        self.notes = self._notes
        if not self.deferred:
            self.publish([self])
        return self._receipt


def _is_member(expected: Expectation) -> bool:
    """Return whether an expectation is one for a blob in the archive."""
    return expected.kind not in ('layout', 'entry') and expected.evidence is not Evidence.BASE


def _known_blobs(*images: Image) -> Iterator[tuple[Digest, int]]:
    """Yield digest and size of the blobs that are known beforehand and that no filter changes, in order."""
    for image in images:
        blobs = [layer.source.descriptor for layer in image.layers]
        yield from ((blob.digest, blob.size) for blob in blobs if blob)
        if image.manifest and image is image.source and not image.sequential:
            yield from ((each.digest, len(each.raw)) for each in (image.config, image.manifest))
        for referrer in image.referrers:
            content = referrer.content
            yield from _known_blobs(*(content.images() if isinstance(content, ImageIndex) else [content]))
