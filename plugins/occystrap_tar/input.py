"""Reading images from archives; docker and OCI archives are distinguished by their content."""
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from occystrap_core import Image, ImageIndex, ImageInput, ImageNotFound, InvalidImage, Location, Place, Settings
from occystrap_core.files import prefix_errors, set_error_rule
from occystrap_core.oci import INDEX_FILE, LayoutEntries, Platform, Reference, select_offer
from occystrap_tar.archive import docker_archive, oci_archive
from occystrap_tar.archive.archive_copy import ReadableArchive
from occystrap_tar.archive.members import Archive


class TarInput(ImageInput):
    """One image of an archive, or an index of several platforms: `tar://file.tar[?image=name:tag]`."""

    gives_indexes = True

    def __init__(self, location: Location, settings: Settings) -> None:
        super().__init__(location, settings)
        self._readable: ReadableArchive | None = None
        self._archive: Archive | None = None
        self._requested = settings.platform_choice(location.options.get('platform'))

    def references(self) -> Iterable[Reference]:
        """Return the selected or only image; raises ImageNotFound, UsageError with the choices, InvalidImage."""
        with prefix_errors(self.location.path), self._closed_if_failed():
            reference = self._docker_choice[1] if self._is_docker else self._oci_choice[1]
        if self._readable and not self._readable.may_wait():
            self.close()
        return [reference]

    def open(self, reference: Reference) -> Image | ImageIndex:
        """Return the image, or the requested part of an index; raises ImageNotFound, InvalidImage."""
        with prefix_errors(self.location.path), self._closed_if_failed():
            opened = self._open(reference)
        first = opened if isinstance(opened, Image) else next(opened.images(), None)
        if first and self._readable and not self._readable.once:
            first.on_close(self.close)
        return opened

    def place(self, reference: Reference) -> Place:
        """Return the file."""
        return Place.at(self.location.path)

    def close(self) -> None:
        """Remove the uncompressed copy, if any; it is made again if the image is opened again."""
        if self._readable:
            self._readable.close()
        self._readable = self._archive = None

    @contextmanager
    def _closed_if_failed(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.close()
            raise

    def _open(self, reference: Reference) -> Image | ImageIndex:
        if not self._is_docker:
            return self._open_stored(*self._oci_choice)
        image, name = self._docker_choice
        if stored := self._stored_form(image):
            return self._open_stored(stored, name)
        self._require_platforms(docker_archive.read_config(self._opened, image).platform, name)
        return docker_archive.open_image(self._opened, image, name)

    def _open_stored(self, image: LayoutEntries, reference: Reference) -> Image | ImageIndex:
        return oci_archive.open_image(self._opened, image, reference, self._requested, self.settings)

    def _stored_form(self, image: docker_archive.ArchivedImage) -> LayoutEntries | None:
        """Return the image in the archive's OCI layout if that, not manifest.json, has what is requested.

        That is the image with all its platforms if another platform than that in manifest.json, or several, are
        requested, and otherwise the same image if its layers are compressed.
        """
        if not image.config_digest:
            return None
        if self._requested and not self._fits(docker_archive.read_config(self._opened, image).platform):
            if whole := oci_archive.find_whole(self._opened, image.config_digest):
                return whole
        holds_blobs = docker_archive.holds_blobs(self._opened, image)
        return oci_archive.find_image(self._opened, image.config_digest) if holds_blobs else None

    def _fits(self, platform: Platform) -> bool:
        return bool(self._requested and self._requested.one and platform.may_be(self._requested.one))

    def _require_platforms(self, present: Platform, reference: Reference) -> None:
        """Raise ImageNotFound unless the only image has all requested platforms."""
        for each in self._requested.platforms if self._requested else ():
            if not present.may_be(each):
                raise ImageNotFound(f'no image for platform {each} at {reference}; there is: {present.text}')

    @property
    def _docker_choice(self) -> tuple[docker_archive.ArchivedImage, Reference]:
        offers = docker_archive.offers(self._opened)
        if len(offers) > 1:
            offers = docker_archive.for_platform(self._opened, offers, self._platform)
        return select_offer(offers, self.location.options['image'], self.location.path)

    @property
    def _oci_choice(self) -> tuple[LayoutEntries, Reference]:
        return select_offer(oci_archive.offers(self._opened), self.location.options['image'], self.location.path)

    @property
    def _opened(self) -> Archive:
        if self._archive is None:
            path = self.location.path
            self._readable = ReadableArchive(path, self.settings)
            with set_error_rule('archive'):
                archive = Archive(self._readable.path, path)
                if not archive.has_end:
                    raise InvalidImage(f'{path} is not a tar archive, or cut off: it does not end with two zero blocks')
            self._archive = archive
        return self._archive

    @property
    def _is_docker(self) -> bool:
        """Whether the archive has a manifest.json, which takes precedence: Docker 25 and newer add an OCI layout."""
        names = self._opened.members
        if docker_archive.MANIFEST not in names and INDEX_FILE not in names:
            raise InvalidImage(f'{self.location.path} is a tar but not an image archive: it has neither manifest.json '
                               'nor index.json', 'manifest-missing')
        return docker_archive.MANIFEST in names

    @property
    def _platform(self) -> Platform:
        """The platform to prefer if several images have one name."""
        return self._requested.platforms[0] if self._requested and self._requested.platforms else Platform.of_host()
