"""Writing an image to a docker archive, with layers as tars."""
from occystrap_core import (
    Image, ImageIndex, LayerForm, Location, OutgoingLayer, Place, Receipt, Settings, WrittenImage, WrittenLayer,
)
from occystrap_core.files import output_errors
from occystrap_core.oci import Reference
from occystrap_tar.new_archive.archive_output import ArchiveOutput, tag_of
from occystrap_tar.new_archive.destination_file import check_destination
from occystrap_tar.new_archive.docker_builder import DockerArchiveBuilder
from occystrap_tar.new_archive.replaced_archive import ReplacedArchive


class DockerArchiveOutput(ArchiveOutput):
    """An archive as `docker save` writes it and `docker load` reads it."""

    layer_form = LayerForm.TAR
    layer_store = 'layers in docker archives'

    def __init__(self, location: Location, settings: Settings) -> None:
        super().__init__(location, settings)
        tag_of(location, Reference('checked'))
        self._builder = DockerArchiveBuilder(location.path, settings, self.kept_blobs)

    def place(self, reference: Reference) -> Place:
        """Return the file: an archive holds one image."""
        return Place.at(self.location.path)

    def require_possible(self, content: Image | ImageIndex) -> None:
        """Raise OutputError if the file may not be replaced."""
        self._require_replaceable(content.reference)

    def prepare(self, image: Image) -> None:
        """Lay out the archive."""
        self._spare_others(image.reference)
        self._builder.prepare(image)

    def write_layer(self, layer: OutgoingLayer) -> WrittenLayer:
        """Write a layer's tar to its place in the archive."""
        return WrittenLayer(self._builder.write_layer(layer))

    def adopt_layer(self, layer: OutgoingLayer) -> WrittenLayer | None:
        """Write a layer from another archive of the run that has it."""
        return self._builder.adopt_layer(layer)

    def finalize(self, image: WrittenImage) -> Receipt:
        """Write the documents and rename the archive to its path."""
        tag = tag_of(self.location, image.reference)
        documents = self._builder.finish(image, [tag] if tag else [],
                                         lambda: self._require_replaceable(image.reference))
        self.kept_blobs.finish()
        self.notes = self._builder.notes
        return image.receipt(self.location, documents)

    def abort(self) -> None:
        """Remove what was written; raises OutputError for what cannot be removed."""
        self.kept = self.kept_blobs.leave(self.may_go_on)
        self._builder.discard()

    def _require_replaceable(self, reference: Reference) -> None:
        check_destination(self.location.path, self.settings)
        self._spare_others(reference)

    def _spare_others(self, reference: Reference) -> None:
        """Refuse to replace other images, or an index; raises OutputError."""
        path = self.location.path
        with output_errors(path):
            replaced = ReplacedArchive.at(path, self.settings)
        if not self.settings.force:
            replaced.require_kept(path, filter(None, [tag_of(self.location, reference)]), ())
        for each in replaced.images:
            self.spare_index(each)
