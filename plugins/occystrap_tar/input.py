"""Reading images from archives: what kind of archive it is, its content tells."""
from collections.abc import Iterable

from occystrap_core import Image, ImageInput, InvalidImage, Location, Settings
from occystrap_core.oci import Platform, Reference
from occystrap_tar import docker_archive, oci_archive
from occystrap_tar.members import Archive
from occystrap_tar.unpacking import ReadableArchive


class TarInput(ImageInput):
    """One image of an archive: `tar://file.tar[?image=name:tag]`."""

    def __init__(self, location: Location, settings: Settings) -> None:
        super().__init__(location, settings)
        self._readable: ReadableArchive | None = None
        self._archive: Archive | None = None

    def references(self) -> Iterable[Reference]:
        """Return the image chosen, or the only one."""
        wanted = self.location.options['image']
        if self._is_docker:
            images = docker_archive.archived_images(self._opened)
            return [docker_archive.choose(images, wanted, self.location.path).reference]
        return [oci_archive.reference_of(oci_archive.choose(self._opened, wanted))]

    def open(self, reference: Reference) -> Image:
        """Return the image, having read the archive's headers and the small documents."""
        wanted = self.location.options['image']
        if self._is_docker:
            images = docker_archive.archived_images(self._opened)
            return docker_archive.open_image(self._opened, docker_archive.choose(images, wanted, self.location.path))
        oci_archive.check_layout(self._opened)
        return oci_archive.open_image(self._opened, oci_archive.choose(self._opened, wanted), self._platform)

    def close(self) -> None:
        """Remove what was decompressed."""
        if self._readable:
            self._readable.close()

    @property
    def _opened(self) -> Archive:
        if self._archive is None:
            path = self.location.path
            self._readable = ReadableArchive(path, self.settings)
            self._archive = Archive(self._readable.path, path)
            if not self._archive.has_end:
                raise InvalidImage(f'{path} is not a tar archive, or cut off: it does not end with two zero blocks')
        return self._archive

    @property
    def _is_docker(self) -> bool:
        """Whether manifest.json leads; Docker 25 and newer write both it and an OCI layout."""
        names = self._opened.members
        if docker_archive.MANIFEST not in names and oci_archive.INDEX not in names:
            raise InvalidImage(f'{self.location.path} is a tar but no image archive: it has neither manifest.json nor '
                               'index.json')
        return docker_archive.MANIFEST in names

    @property
    def _platform(self) -> Platform:
        wanted = self.location.options['platform']
        return Platform.parse(wanted) if wanted else self.settings.platform or Platform.of_host()
