"""Reading images from archives: what kind of archive it is, its content tells."""
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from occystrap_core import Image, ImageError, ImageInput, InvalidImage, Location, Place, Settings, concerning
from occystrap_core.oci import INDEX, LayoutEntries, Platform, Reference, choose
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
        with _naming(self.location.path):
            return [self._docker_choice[1] if self._is_docker else self._oci_choice[1]]

    def open(self, reference: Reference) -> Image:
        """Return the image, having read the archive's headers and the small documents."""
        with _naming(self.location.path):
            return self._open(reference)

    def place(self, reference: Reference) -> Place:
        """Return the file."""
        return Place.at(self.location.path)

    def close(self) -> None:
        """Remove what was decompressed."""
        if self._readable:
            self._readable.close()

    def _open(self, reference: Reference) -> Image:
        if not self._is_docker:
            return self._open_stored(*self._oci_choice)
        image, name = self._docker_choice
        if image.config_digest and docker_archive.holds_blobs(self._opened, image):
            stored = oci_archive.find_image(self._opened, image.config_digest)
            if stored:
                return self._open_stored(stored, name)
        return docker_archive.open_image(self._opened, image, name)

    def _open_stored(self, image: LayoutEntries, reference: Reference) -> Image:
        return oci_archive.open_image(self._opened, image, reference, self._platform)

    @property
    def _docker_choice(self) -> tuple[docker_archive.ArchivedImage, Reference]:
        return choose(docker_archive.offers(self._opened), self.location.options['image'], self.location.path)

    @property
    def _oci_choice(self) -> tuple[LayoutEntries, Reference]:
        return choose(oci_archive.offers(self._opened), self.location.options['image'], self.location.path)

    @property
    def _opened(self) -> Archive:
        if self._archive is None:
            path = self.location.path
            self._readable = ReadableArchive(path, self.settings)
            with concerning('archive'):
                archive = Archive(self._readable.path, path)
                if not archive.has_end:
                    raise InvalidImage(f'{path} is not a tar archive, or cut off: it does not end with two zero blocks')
            self._archive = archive
        return self._archive

    @property
    def _is_docker(self) -> bool:
        """Whether manifest.json leads; Docker 25 and newer write both it and an OCI layout."""
        names = self._opened.members
        if docker_archive.MANIFEST not in names and INDEX not in names:
            raise InvalidImage(f'{self.location.path} is a tar but no image archive: it has neither manifest.json nor '
                               'index.json', 'manifest-missing')
        return docker_archive.MANIFEST in names

    @property
    def _platform(self) -> Platform:
        wanted = self.location.options['platform']
        return Platform.parse(wanted) if wanted else self.settings.platform or Platform.of_host()


@contextmanager
def _naming(archive: str) -> Iterator[None]:
    """Put the archive before an ImageError that speaks only of something in it."""
    try:
        yield
    except ImageError as error:
        if archive in str(error):
            raise
        raise error.renamed(f'{archive}: {error}') from None
