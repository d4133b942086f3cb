"""What writers of docker archives and OCI archives have in common."""
from typing import TYPE_CHECKING

from occystrap_core import ImageOutput, Location, Settings, UsageError
from occystrap_core.files import remove_abandoned_lock
from occystrap_core.oci import Reference
from occystrap_tar.new_archive.kept_blobs import KeptBlobs

if TYPE_CHECKING:
    from occystrap_tar.archive.present_images import PresentImage


def tag_of(location: Location, reference: Reference) -> str:
    """Return the name:tag to write: that in the location, or else the source's, empty if it has none."""
    requested = location.options['tag']
    if not requested:
        return reference.familiar
    tag = Reference.parse(requested).with_default_tag()
    if tag.digest:
        raise UsageError(f'?tag={requested}: an archive names its image by a tag, without a digest')
    return tag.familiar


class ArchiveOutput(ImageOutput):
    """Writes one image into an archive."""

    keeps = True
    """Whether what an interrupted run has fetched is kept beside the archive."""

    def __init__(self, location: Location, settings: Settings) -> None:
        super().__init__(location, settings)
        self.kept_blobs = KeptBlobs(location.path if self.keeps else '')
        self.kept_at = self.kept_blobs.directory

    def leave_unchanged(self) -> None:
        """Remove what a killed run left beside the archive."""
        remove_abandoned_lock(self.location.path)

    def spare_index(self, present: 'PresentImage') -> None:
        """Refuse to replace an image of several platforms in the archive; raises OutputError."""
        if present.several:
            self.require_no_index(present.several, self.location.path)
