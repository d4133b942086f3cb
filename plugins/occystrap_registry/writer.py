"""Writing images to a registry."""
import threading
from collections.abc import Iterator, Sequence

from occystrap_core import (
    Expectation, Image, ImageIndex, ImageOutput, LayerForm, Location, OutgoingLayer, OutputError, Place, Receipt,
    Settings, UsageError, WrittenImage, WrittenIndex, WrittenLayer, WrittenReferrer,
)
from occystrap_core.oci import Digest, Index, Manifest, ManifestForm, Reference
from occystrap_registry.distribution.client import RegistryClient
from occystrap_registry.distribution.known_blobs import KnownBlobs
from occystrap_registry.distribution.manifest_forms import ManifestForms
from occystrap_registry.distribution.manifests import attach_referrers, fetch_existing, parsed_or_none
from occystrap_registry.distribution.present_image import PresentImage, diff_ids_of, digest_in
from occystrap_registry.distribution.uploads import Uploads, whole
from occystrap_registry.transport.address import Address, parse_address
from occystrap_registry.transport.answers import Reply
from occystrap_registry.transport.connections import Body

_WORTH_STREAMING = 4 << 20
"""A blob is sent while it is made if its tar has at least this many bytes. A smaller blob is quickly made, and need not
be sent if it is there already."""


class RegistryOutput(ImageOutput):
    """Pushes one image, or an index of several; blobs that the registry has are not sent, the tag is moved last."""

    layer_form = LayerForm.STORED
    holds_indexes = True

    def __init__(self, location: Location, settings: Settings) -> None:
        self._address = parse_address(location, settings)
        super().__init__(location.with_path(str(self._address.reference)), settings)
        self.compression = location.options.get('compression') or 'gzip'
        form = ManifestForm(location.options['format']) if location.options.get('format') else None
        if form is ManifestForm.DOCKER and self.compression == 'zstd':
            raise UsageError('format=docker has no layers compressed with zstd: leave out compression=zstd')
        self._client = RegistryClient(self._address, settings)
        self._forms = ManifestForms(self._client, form, self._address.reference.digest)
        self._resent: frozenset[Digest] = location.options.get('resend') or frozenset()
        self._uploads = Uploads(self._client, self._resent)
        self._tagged: Reply | None = None
        """The answer to the request for the tag, or the digest, before the copy; None if it was not requested."""
        self._bases: dict[Digest, Address] = {}
        """The images that should have what the source, a delta, leaves out."""
        self._looking = threading.Lock()
        self._replaced: frozenset[Digest] | None = None
        """The diff_ids of the image to which the tag referred before the copy; None until they are needed."""
        self.layer_store = 'registry', self._address.host

    def place(self, reference: Reference) -> Place:
        """Return the destination tag, with the canonical name of its host."""
        return self._address.place

    def present_digest(self, reference: Reference) -> Digest | None:
        """Return the digest of what the tag means now; None if another form, or sending blobs again, is requested."""
        address = self._address.reference
        if self._forms.is_requested or self._resent or not (address.tag or address.digest):
            return None
        self._client.connect_once(self._address.push_scope)
        return digest_in(self._present(), self._present_name)

    def present_receipt(self, reference: Reference, source: str) -> Receipt:
        """Return a receipt of what the tag means now, after reading its manifests and configs."""
        return PresentImage(self._client, self.location, source, self._present_name).receipt(self._present())

    def require_possible(self, content: Image | ImageIndex) -> None:
        """Check that the registry answers, that the content can have the requested form, and look up the tag."""
        self._forms.prepare(content)
        self._client.connect_once(self._address.push_scope)
        if isinstance(content, Image):
            self._look_up_tag()

    def prepare(self, image: Image) -> None:
        """Check that the registry answers and allows the push, if it requires a login, and look up the tag."""
        self._forms.prepare(image)
        self._check_access()
        self._look_up_tag()

    def prepare_index(self, index: ImageIndex) -> None:
        """Check that the registry answers and allows the push, if it requires a login."""
        self._forms.prepare(index)
        self._check_access()

    def blob_size(self, digest: Digest) -> int | None:
        """Return the size of a blob in the repository, by HEAD, None without one."""
        return self._uploads.size(digest)

    def has_layer(self, layer: OutgoingLayer) -> WrittenLayer | None:
        """Return the layer if the repository has its blob, by HEAD."""
        descriptor = layer.descriptor
        assert descriptor
        if not self._uploads.has(descriptor):
            return None
        return WrittenLayer(descriptor.digest, descriptor.digest, descriptor.size)

    def adopt_layer(self, layer: OutgoingLayer) -> WrittenLayer | None:
        """Mount the blob from another repository of the registry that is known to have it."""
        descriptor = layer.descriptor
        assert descriptor
        if not self._uploads.mount(descriptor):
            return None
        return WrittenLayer(descriptor.digest, descriptor.digest, descriptor.size)

    def note_base(self, digest: Digest, location: Location) -> None:
        """Note another repository of the registry that should have a blob, to mount it from there."""
        there = parse_address(location, self.settings)
        if there.host == self._address.host:
            KnownBlobs.of(there.host, self.settings).add(there.reference.repository, [digest])
            self._bases[digest] = there

    def copy_base(self, layer: OutgoingLayer) -> WrittenLayer | None:
        """Copy the blob from the repository of the noted image, for registries that mount nothing."""
        from occystrap_registry.distribution.repository import stored_elsewhere  # late, as only deltas need it
        descriptor = layer.descriptor
        assert descriptor
        there = self._bases.get(descriptor.digest)
        body = stored_elsewhere(there, descriptor, self.settings) if there else None
        if body is None:
            return None
        self._uploads.put(descriptor, body)
        return WrittenLayer(descriptor.digest, descriptor.digest, descriptor.size)

    def stream_layer(self, layer: OutgoingLayer) -> WrittenLayer | None:
        """Push the blob while it is made, unless it is small, or the tag may have it already."""
        size = layer.tar_size()
        is_small = size is not None and size < _WORTH_STREAMING
        if is_small or not self._uploads.can_stream or self._may_have(layer):
            return None
        sent = self._uploads.stream(_body_of(layer), lambda: layer.descriptor)
        return WrittenLayer(sent.digest) if sent else None

    def _may_have(self, layer: OutgoingLayer) -> bool:
        """Return whether the image that is replaced seems to have the layer; then the registry is asked for the blob.
        """
        if self._tagged is None or self._resent:
            return False
        with self._looking:
            if self._replaced is None:
                self._replaced = diff_ids_of(self._client, parsed_or_none(self._tagged))
        return layer.diff_id in self._replaced if layer.diff_id else bool(self._replaced)

    def write_layer(self, layer: OutgoingLayer) -> WrittenLayer:
        """Push the blob as it streams."""
        descriptor = layer.descriptor
        assert descriptor
        if self._uploads.put(descriptor, _body_of(layer)):
            return WrittenLayer(descriptor.digest)
        return WrittenLayer(descriptor.digest, descriptor.digest, descriptor.size)

    def finalize(self, image: WrittenImage) -> Receipt:
        """Push the config, then the manifest under its tag, unless the registry has them."""
        config = self._put_config(image)
        assert image.manifest
        written, pushed = self._forms.put(image.manifest, image.config.raw, self._name, self._is_other)
        assert isinstance(written, Manifest)
        self._note(written)
        self._client.close()
        return image._replace(manifest=written).receipt(self.location, [pushed, config],
                                                        reference=self._address.reference)

    def put_documents(self, part: WrittenImage | WrittenIndex) -> Sequence[Expectation]:
        """Push config and manifest of a part, or an index within the index, under its digest."""
        if isinstance(part, WrittenIndex):
            return [self._put_part(part.index)]
        config = self._put_config(part)
        assert part.manifest
        return [self._put_part(part.manifest, part.config.raw), config]

    def _put_config(self, image: WrittenImage) -> Expectation:
        assert image.manifest
        config = image.manifest.config
        if not self._uploads.has_config(config):
            self._uploads.put(config, whole(image.config.raw))
        return Expectation('config', config.digest, config.digest, config.size)

    def _put_part(self, document: Manifest | Index, config: bytes | None = None) -> Expectation:
        written, pushed = self._forms.put(document, config, lambda form: str(form.digest))
        self.rewritten_parts[document.digest] = written
        return pushed

    def attach_referrers(self, referrers: Sequence[WrittenReferrer]) -> Sequence[Expectation]:
        """Push tags and lists of referrers, and return their expectations."""
        return attach_referrers(self._client, referrers)

    def finalize_index(self, index: WrittenIndex) -> Receipt:
        """Push the index under its tag, after everything that it lists."""
        written, pushed = self._forms.put(index.index, None, self._name)
        assert isinstance(written, Index)
        self._note(written)
        self._client.close()
        return index._replace(index=written).receipt(self.location, [pushed], reference=self._address.reference)

    def abort(self) -> None:
        """Close the connections: the registry discards unfinished uploads, and no tag was moved."""
        self._client.close()

    def _note(self, written: Manifest | Index) -> None:
        """Note the written document, and lines for the user about it."""
        self.rewritten, self.settle_seconds = written, self._client.settle_seconds
        self.notes = [*self._forms.notes, *self._uploads.notes()]

    def _check_access(self) -> None:
        odd = self._client.connect_once(self._address.push_scope)
        if odd or self._client.authentication.was_challenged:
            self._uploads.check_access(odd)

    def _look_up_tag(self) -> None:
        if self._address.reference.tag:
            self.require_no_index(parsed_or_none(self._present()), str(self._address.reference))

    def _present(self) -> Reply:
        if self._tagged is None:
            self._tagged = fetch_existing(self._client, self._present_name)
            self._uploads.is_for_new_name = self._tagged.status == 404
        return self._tagged

    @property
    def _present_name(self) -> str:
        """The tag, or without one the digest, of the destination."""
        return self._address.reference.tag or str(self._address.reference.digest)

    def _is_other(self, manifest: Manifest | Index) -> bool:
        """Return whether the tag is known to refer to something else."""
        return self._tagged is not None and self._tagged.body != manifest.raw

    def _name(self, document: Manifest | Index) -> str:
        """Return the tag, or without one the digest, under which a manifest is pushed; raises OutputError."""
        expected = self._address.reference.digest
        if expected not in (None, document.digest):
            raise OutputError(f'{self._address.reference} cannot be written: the manifest has digest {document.digest}')
        return self._address.reference.tag or str(document.digest)


def _body_of(layer: OutgoingLayer) -> Body:
    def body() -> Iterator[memoryview]:
        with layer.open() as stream:
            yield from stream.chunks()
    return body
