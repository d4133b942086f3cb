"""Writing images to archives: docker archives of tars, OCI archives of blobs as stored."""
import os

from occystrap_core import (
    Expectation, Image, ImageOutput, LayerForm, Location, OutgoingLayer, Receipt, Settings, WrittenImage, WrittenLayer,
)
from occystrap_core.oci import Descriptor, Digest, Index, Reference, dump, media_types
from occystrap_tar.archive_builder import ArchiveBuilder
from occystrap_tar.builder import DockerArchiveBuilder
from occystrap_tar.oci_archive import INDEX, LAYOUT, REF_NAME, blob_name

_LAYOUT_VERSION = dump({'imageLayoutVersion': '1.0.0'})


def tar_output(location: Location, settings: Settings) -> ImageOutput:
    """Return the writer of the format asked for."""
    kind = OciArchiveOutput if location.options['format'] == 'oci' else DockerArchiveOutput
    return kind(location.with_path(os.path.abspath(location.path)), settings)


def _tag(location: Location, reference: Reference) -> str:
    """Return the name:tag to write: as asked, else the source's; empty where it has none."""
    wanted = location.options['tag']
    return Reference.parse(wanted).with_default_tag().familiar if wanted else reference.familiar


class DockerArchiveOutput(ImageOutput):
    """An archive as `docker save` writes it and `docker load` reads it."""

    wants = LayerForm.TAR

    def __init__(self, location: Location, settings: Settings) -> None:
        super().__init__(location, settings)
        _tag(location, Reference('checked'))
        self._builder = DockerArchiveBuilder(location.path, settings)

    def prepare(self, image: Image) -> None:
        """Lay out the archive."""
        self._builder.prepare(image)

    def write_layer(self, layer: OutgoingLayer) -> WrittenLayer:
        """Write a layer's tar into its place."""
        return WrittenLayer(self._builder.write_layer(layer))

    def finalize(self, image: WrittenImage) -> Receipt:
        """Write the documents and let the archive appear."""
        tag = _tag(self.location, image.reference)
        documents = self._builder.finish(image, [tag] if tag else [])
        return image.receipt(self.location, documents)

    def abort(self) -> None:
        """Remove what was written."""
        self._builder.discard()


class OciArchiveOutput(ImageOutput):
    """An image layout within a tar, manifest and blobs byte for byte as the source has them."""

    wants = LayerForm.STORED

    def __init__(self, location: Location, settings: Settings) -> None:
        super().__init__(location, settings)
        _tag(location, Reference('checked'))
        self.compression = location.options['compression']
        self._archive = ArchiveBuilder(location.path, settings)
        self._sequential = False

    def prepare(self, image: Image) -> None:
        """Lay out the archive; blobs that are still to be compressed find their place at the end."""
        self._sequential = image.sequential
        first: dict[Digest | None, int] = {}
        shared = {layer.index: first[layer.diff_id] for layer in image.layers
                  if first.setdefault(layer.diff_id or layer.source.diff_id, layer.index) != layer.index}
        self._archive.begin({layer.index: layer.descriptor.size if layer.descriptor else None
                             for layer in image.layers if layer.index not in shared}, shared)

    def write_layer(self, layer: OutgoingLayer) -> WrittenLayer:
        """Write a blob into its place."""
        assert layer.descriptor
        with layer.open() as stream:
            chunks = stream.chunks()
            region = self._archive.append(chunks) if self._sequential else self._archive.write(layer.index, chunks)
        name = blob_name(layer.descriptor.digest)
        self._archive.name(region, name)
        return WrittenLayer(name)

    def finalize(self, image: WrittenImage) -> Receipt:
        """Write config, manifest and index, and let the archive appear."""
        manifest = image.manifest
        assert manifest
        index = self._index(manifest.descriptor, _tag(self.location, image.reference))
        documents = [('config', blob_name(manifest.config.digest), image.config.raw),
                     ('manifest', blob_name(manifest.digest), manifest.raw),
                     ('layout', LAYOUT, _LAYOUT_VERSION), ('index', INDEX, index)]
        self._archive.finish([(name, raw) for _, name, raw in documents])
        return image.receipt(self.location, [Expectation(kind, name, Digest.of(raw), len(raw))
                                             for kind, name, raw in documents])

    def abort(self) -> None:
        """Remove what was written."""
        self._archive.discard()

    def _index(self, manifest: Descriptor, tag: str) -> bytes:
        """Return index.json, naming the image by tag as skopeo and podman do (image-spec annotations.md)."""
        entry = Descriptor(manifest.media_type, manifest.digest, manifest.size,
                           annotations={REF_NAME: tag} if tag else {})
        raw = dump({'schemaVersion': 2, 'mediaType': media_types.OCI_INDEX, 'manifests': [entry.to_json()]})
        return Index.parse(raw).raw
