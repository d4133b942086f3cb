"""Opening manifests as images with layers, or as artifacts with opaque blobs."""
from abc import ABC, abstractmethod
from dataclasses import replace
from functools import cache, partial

from occystrap_core.errors import (
    DigestMismatch, ImageNotFound, InvalidImage, PluginError, SizeMismatch, set_error_rule,
)
from occystrap_core.files.stream import Readable
from occystrap_core.image.artifact import Artifact
from occystrap_core.image.image import Image
from occystrap_core.image.layer import StoredLayer
from occystrap_core.oci import media_types
from occystrap_core.oci.config import ImageConfig
from occystrap_core.oci.descriptor import Descriptor
from occystrap_core.oci.digest import Digest
from occystrap_core.oci.manifest import Index, Manifest, parse_manifest_or_index
from occystrap_core.oci.platform import Platform
from occystrap_core.oci.reference import Reference


class BlobStore(ABC):
    """A place that holds manifests and blobs by digest: a repository of a registry, an image layout.

    `blob` must be defined, and `small_blob`, or else `manifest` and `document`; the others work by these. All methods
    may be called from several threads in parallel. What a library raises for damaged bytes, such as
    zipfile.BadZipFile, must become InvalidImage.
    """

    place = 'the store'
    """Names the store in errors."""

    def small_blob(self, digest: Digest, what: str) -> bytes:
        """Return all bytes of a blob that is a document, which is checked by its digest; `what` names it in errors.

        Raises as `manifest` does.
        """
        raise PluginError(f'{type(self).__name__} has neither small_blob() nor manifest() and document()')

    def manifest(self, entry: Descriptor) -> Manifest | Index:
        """Return the manifest or index that an entry of an index refers to, checked against its digest.

        An empty media type in `entry` matches any. Raises ImageNotFound, InvalidImage, ServiceError.
        """
        with set_error_rule('manifest'):
            raw = self._checked(entry.digest, 'manifest')
            try:
                return parse_manifest_or_index(raw, entry.media_type, entry.digest.algorithm)
            except InvalidImage as error:
                raise error.renamed(f'{self.place}: manifest {entry.digest}: {error}') from None

    def document(self, descriptor: Descriptor, what: str) -> bytes:
        """Return a small blob, such as a config, checked against digest and size; raises as `manifest` does."""
        raw = self._checked(descriptor.digest, what)
        if len(raw) != descriptor.size:
            raise SizeMismatch(f'{self.place}: {what}, blob {descriptor.digest}, has {len(raw)} bytes, expected '
                               f'{descriptor.size}')
        return raw

    def _checked(self, digest: Digest, what: str) -> bytes:
        raw = self.small_blob(digest, what)
        if (found := Digest.of(raw, digest.algorithm)) != digest:
            raise DigestMismatch(f'{self.place}: {what} has digest {found}, expected {digest}')
        return raw

    @abstractmethod
    def blob(self, descriptor: Descriptor) -> Readable:
        """Open the bytes of a blob, which the layer made of it checks. Raises as `manifest` does."""

    def rest_of_blob(self, descriptor: Descriptor, offset: int) -> Readable:
        """Open a blob at `offset`, in bytes; raises as `manifest` does. Here the bytes before are read and dropped."""
        return _Behind(self.blob(descriptor), offset)

    def blob_size(self, descriptor: Descriptor) -> int | None:
        """Return the size in bytes of the blob in the store; None if unknown. Raises ImageNotFound if it is missing."""
        return None

    def tar_size(self, descriptor: Descriptor) -> int | None:
        """Return a hint of the uncompressed size in bytes of a compressed blob; None if unknown."""
        return None

    def base(self, digest: Digest) -> str:
        """Return the name of an image that has a blob which the store, a delta, leaves out; empty if it should be here.
        """
        return ''

    def with_platform(self, entry: Descriptor) -> Descriptor:
        """Return an entry of an index with the platform of its image, from the config if the entry has none.

        Raises as `manifest` does, except ImageNotFound.
        """
        if entry.platform and str(entry.platform):
            return entry
        try:
            found = self.manifest(entry)
            platform = self.platform(found) if isinstance(found, Manifest) else None
        except ImageNotFound:  # a missing manifest cannot be of the requested platform
            return entry
        return replace(entry, platform=platform)

    def platform(self, manifest: Manifest) -> Platform | None:
        """Return the platform in the config of an image; None if it has none, or if the manifest is not of an image.

        Raises as `manifest` does.
        """
        if not manifest.may_be_image:
            return None
        raw = self.document(manifest.config, 'the config')
        if not manifest.is_image_with(raw):
            return None
        platform = ImageConfig.parse(raw).platform
        return platform if str(platform) else None

    def layer(self, index: int, descriptor: Descriptor, diff_id: Digest) -> StoredLayer:
        """Return the layer at this index of an image, without reading it; raises InvalidImage for its media type."""
        return StoredLayer(index, descriptor, diff_id, partial(self.blob, descriptor),
                           cache(partial(self.tar_size, descriptor)), partial(self.blob_size, descriptor),
                           partial(self.rest_of_blob, descriptor), self.base(descriptor.digest))

    def image(self, reference: Reference, manifest: Manifest, raw: bytes | None = None) -> Image:
        """Return the image; its config is read unless it is given as `raw`. Raises as `manifest` does."""
        with set_error_rule('config'):
            raw = self._config(reference, manifest) if raw is None else raw
            readable = all(media_types.may_be_layer(layer.media_type) for layer in manifest.layers)
            if readable and not manifest.is_image_with(raw):  # else the error names its first unreadable layer
                kind = manifest.config.media_type or 'blob without a media type'
                raise InvalidImage(f'{reference} is not a container image: its config is {kind} that lists other '
                                   'layers or has no platform; to copy it unchanged, use '
                                   '--platform=all', 'image-invalid')
            config = ImageConfig.parse(raw, manifest.config.digest.algorithm)
        # Image checks that there are as many layers as diff_ids
        layers = [self._layer(reference, index, descriptor, diff_id)
                  for index, (descriptor, diff_id) in enumerate(zip(manifest.layers, config.diff_ids))]
        return Image(reference, config, layers, manifest)

    def _layer(self, reference: Reference, index: int, descriptor: Descriptor, diff_id: Digest) -> StoredLayer:
        try:
            return self.layer(index, descriptor, diff_id)
        except InvalidImage as error:
            if error.rule != 'layer-media-type':
                raise
            raise error.renamed(f'{reference}: layer {index}, {descriptor.digest}: {error}') from None

    def artifact(self, reference: Reference, manifest: Manifest) -> Artifact:
        """Return the artifact, having read the blob that its manifest has as its config; raises as `manifest` does."""
        return self._artifact(reference, self._config(reference, manifest), manifest)

    def open(self, reference: Reference, manifest: Manifest) -> Image:
        """Return the image or, by the manifest's media types or else by its config, the artifact.

        Raises as `manifest` does.
        """
        if not manifest.may_be_image:
            return self.artifact(reference, manifest)
        with set_error_rule('config'):
            raw = self._config(reference, manifest)
        if manifest.is_image_with(raw):
            return self.image(reference, manifest, raw)
        return self._artifact(reference, raw, manifest)

    def _artifact(self, reference: Reference, config: bytes, manifest: Manifest) -> Artifact:
        return Artifact(reference, config, manifest, self.blob, self.rest_of_blob, self.base)

    def _config(self, reference: Reference, manifest: Manifest) -> bytes:
        return self.document(manifest.config, f'the config of {reference}')


class _Behind:
    """What follows the first `offset` bytes of a source."""

    def __init__(self, source: Readable, offset: int) -> None:
        self._source, self._left = source, offset

    def readinto(self, buffer: memoryview, /) -> int | None:
        while self._left and (dropped := self._source.readinto(buffer[:self._left])):
            self._left -= dropped
        return self._source.readinto(buffer)

    def close(self) -> None:
        self._source.close()
