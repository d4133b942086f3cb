"""Writers of archives that are sent to stdout when they are complete."""
from collections.abc import Sequence
from dataclasses import replace

from occystrap_core import (
    Image, ImageIndex, ImageOutput, Location, Place, Receipt, Settings, WrittenImage, WrittenIndex,
)
from occystrap_core.oci import Reference
from occystrap_tar.new_archive.docker_output import DockerArchiveOutput
from occystrap_tar.new_archive.oci_output import OciArchiveOutput
from occystrap_tar.new_archive.stdout_archive import StdoutArchive

STDOUT = '-'


class DockerToStdout(DockerArchiveOutput):
    """A docker archive that is sent to stdout when it is complete."""

    keeps = False

    def __init__(self, location: Location, settings: Settings) -> None:
        self._stdout = StdoutArchive.of(settings)
        super().__init__(location.with_path(self._stdout.path), settings)

    def place(self, reference: Reference) -> Place:
        """Return stdout, which holds one archive."""
        return Place('', STDOUT)

    def require_possible(self, content: Image | ImageIndex) -> None:
        """Do nothing: there is nothing to replace."""

    def prepare(self, image: Image) -> None:
        """Lay out the archive."""
        self._stdout.begin()
        super().prepare(image)

    def finalize(self, image: WrittenImage) -> Receipt:
        """Write the documents, and send the archive."""
        receipt = replace(super().finalize(image), path=STDOUT)
        self._stdout.send()
        self.notes = [*self.notes, self._stdout.note]
        return receipt

    def abort(self) -> None:
        """Remove what was written."""
        super().abort()
        self._stdout.discard()


class OciToStdout(OciArchiveOutput):
    """An OCI archive, perhaps of many images, that is sent to stdout when it is complete."""

    keeps = False

    def __init__(self, location: Location, settings: Settings) -> None:
        self._stdout = StdoutArchive.of(settings)
        super().__init__(location.with_path(self._stdout.path), settings)

    def place(self, reference: Reference) -> Place:
        """Return stdout, and the image's name in index.json."""
        return Place('', f'{STDOUT}#{super().place(reference).name}')

    def require_possible(self, content: Image | ImageIndex) -> None:
        """Do nothing: there is nothing to replace."""

    def prepare(self, image: Image) -> None:
        """Lay out the archive."""
        self._stdout.begin()
        super().prepare(image)

    def prepare_index(self, index: ImageIndex) -> None:
        """Lay out the archive."""
        self._stdout.begin()
        super().prepare_index(index)

    def finalize(self, image: WrittenImage) -> Receipt:
        """Write config and manifest."""
        return replace(super().finalize(image), path=STDOUT)

    def finalize_index(self, index: WrittenIndex) -> Receipt:
        """Write the index."""
        return replace(super().finalize_index(index), path=STDOUT)

    def publish(self, outputs: Sequence[ImageOutput]) -> None:
        """Write index.json, and send the archive."""
        super().publish(outputs)
        self._stdout.send()
        self.notes = [*self.notes, self._stdout.note]
