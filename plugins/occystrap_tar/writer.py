"""Writing images to archives: docker archives with layers as tars, OCI archives with blobs as stored."""
import os

from occystrap_core import (
    Expectation, Image, ImageOutput, Layer, LayerForm, Location, OutgoingLayer, Place, Receipt, Settings, UsageError,
    WrittenImage, WrittenLayer,
)
from occystrap_core.files import ByteStream, output_errors
from occystrap_core.oci import (
    INDEX_FILE, LAYOUT_FILE, LAYOUT_VERSION, REF_NAME, Descriptor, Digest, Reference, blob_name, dump_json, media_types,
)
from occystrap_tar.new_archive.archive_builder import ArchiveBuilder
from occystrap_tar.new_archive.destination_file import indexes_in
from occystrap_tar.new_archive.docker_builder import DockerArchiveBuilder, same_layers
from occystrap_tar.new_archive.layers_of_run import LayersOfRun


def tar_output(location: Location, settings: Settings) -> ImageOutput:
    """Return the writer for the format in the location."""
    kind = OciArchiveOutput if location.options['format'] == 'oci' else DockerArchiveOutput
    return kind(location.with_path(os.path.abspath(location.path)), settings)


def _tag(location: Location, reference: Reference) -> str:
    """Return the name:tag to write: that in the location, or else the source's, empty if it has none."""
    requested = location.options['tag']
    if not requested:
        return reference.familiar
    tag = Reference.parse(requested).with_default_tag()
    if tag.digest:
        raise UsageError(f'?tag={requested}: an archive names its image by a tag, without a digest')
    return tag.familiar


class _ArchiveOutput(ImageOutput):
    """What both formats have in common."""

    def place(self, reference: Reference) -> Place:
        """Return the file: an archive holds one image."""
        return Place.at(self.location.path)

    def _spare_indexes(self) -> None:
        """Refuse to replace an archive of several platforms; raises OutputError."""
        if os.path.isfile(self.location.path):
            with output_errors(self.location.path):
                for index in indexes_in(self.location.path):
                    self.require_no_index(index, self.location.path)


class DockerArchiveOutput(_ArchiveOutput):
    """An archive as `docker save` writes it and `docker load` reads it."""

    layer_form = LayerForm.TAR
    layer_store = 'layers in docker archives'

    def __init__(self, location: Location, settings: Settings) -> None:
        super().__init__(location, settings)
        _tag(location, Reference('checked'))
        self._builder = DockerArchiveBuilder(location.path, settings)

    def prepare(self, image: Image) -> None:
        """Lay out the archive."""
        self._spare_indexes()
        self._builder.prepare(image)

    def write_layer(self, layer: OutgoingLayer) -> WrittenLayer:
        """Write a layer's tar to its place in the archive."""
        return WrittenLayer(self._builder.write_layer(layer))

    def adopt_layer(self, layer: OutgoingLayer) -> WrittenLayer | None:
        """Write a layer from another archive of the run that has it."""
        return self._builder.adopt_layer(layer)

    def finalize(self, image: WrittenImage) -> Receipt:
        """Write the documents and rename the archive to its path."""
        tag = _tag(self.location, image.reference)
        documents = self._builder.finish(image, [tag] if tag else [])
        self.notes = self._builder.notes
        return image.receipt(self.location, documents)

    def abort(self) -> None:
        """Remove what was written; raises OutputError for what cannot be removed."""
        self._builder.discard()


def _size_and_name(layer: Layer) -> tuple[int | None, str]:
    """Return the size of the source's blob in bytes and its name: right unless a filter changes the layer."""
    blob = layer.source.descriptor
    return (blob.size, blob_name(blob.digest)) if blob else (None, '')


class OciArchiveOutput(_ArchiveOutput):
    """An image layout within a tar, manifest and blobs byte for byte as the source has them."""

    layer_form = LayerForm.STORED
    layer_store = 'blobs in OCI archives'

    def __init__(self, location: Location, settings: Settings) -> None:
        super().__init__(location, settings)
        _tag(location, Reference('checked'))
        self.compression = location.options['compression']
        self._archive = ArchiveBuilder(location.path, settings)
        self._layers = LayersOfRun.of(settings)

    def prepare(self, image: Image) -> None:
        """Lay out the archive."""
        self._spare_indexes()
        self._archive.begin(([layer.index for layer in layers], *_size_and_name(layers[-1]))
                            for layers in same_layers(image))

    def write_layer(self, layer: OutgoingLayer) -> WrittenLayer:
        """Write a blob to its place in the archive."""
        with layer.open() as stream:
            return WrittenLayer(self._write(layer.index, stream))

    def adopt_layer(self, layer: OutgoingLayer) -> WrittenLayer | None:
        """Write a blob from another archive of the run that has it."""
        assert layer.descriptor
        return self._layers.adopt(layer.descriptor.digest, lambda stream: self._write(layer.index, stream),
                                  self._archive.notes.append)

    def _write(self, index: int, stream: ByteStream) -> str:
        region = self._archive.write(index, stream.chunks())
        region.name = blob_name(stream.digest)
        self._layers.keep(stream.digest, self._archive, region)
        return region.name

    def finalize(self, image: WrittenImage) -> Receipt:
        """Write config, manifest and index, and rename the archive to its path."""
        manifest = image.manifest
        assert manifest
        index = self._index(manifest.descriptor, _tag(self.location, image.reference))
        documents = [('config', image.config.raw, image.config.digest), ('manifest', manifest.raw, manifest.digest)]
        files = [('layout', LAYOUT_FILE, LAYOUT_VERSION), ('index', INDEX_FILE, index)]
        self._archive.finish([*((blob_name(digest), raw) for _, raw, digest in documents),
                              *((name, raw) for _, name, raw in files)])
        self.notes = self._archive.notes
        return image.receipt(self.location, [
            *(Expectation(kind, blob_name(digest), digest, len(raw)) for kind, raw, digest in documents),
            *(Expectation(kind, name, Digest.of(raw), len(raw)) for kind, name, raw in files)])

    def abort(self) -> None:
        """Remove what was written; raises OutputError for what cannot be removed."""
        self._archive.discard()

    def _index(self, manifest: Descriptor, tag: str) -> bytes:
        """Return index.json, naming the image by tag as skopeo and podman do (image-spec annotations.md)."""
        entry = Descriptor(manifest.media_type, manifest.digest, manifest.size,
                           annotations={REF_NAME: tag} if tag else {})
        return dump_json({'schemaVersion': 2, 'mediaType': media_types.OCI_INDEX, 'manifests': [entry.to_json()]})
