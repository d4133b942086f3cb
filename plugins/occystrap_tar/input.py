"""Reading images from archives; docker and OCI archives are distinguished by their content."""
import threading
from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from occystrap_core import Image, ImageIndex, ImageInput, ImageNotFound, Location, Place, Settings, UsageError
from occystrap_core.files import prefix_errors
from occystrap_core.oci import Digest, LayoutEntries, Offer, Platform, Reference, has_glob, select_offers
from occystrap_tar.archive import docker_archive, oci_archive
from occystrap_tar.archive.docker_archive import ArchivedImage
from occystrap_tar.archive.open_archives import OpenArchive, OpenArchives


class TarInput(ImageInput):
    """The images of an archive, each perhaps an index of several platforms: all, or those that `?image=`, which may be
    a pattern, selects."""

    gives_indexes = True

    def __init__(self, location: Location, settings: Settings) -> None:
        super().__init__(location.with_path('/dev/stdin') if location.path == '-' else location, settings)
        self._archives = settings.shared.get(OpenArchives, OpenArchives)
        self._open_archive: OpenArchive | None = None
        self._requested = settings.platform_choice(location.options.get('platform'))
        self._chosen: dict[Reference, ArchivedImage | LayoutEntries] = {}
        self._names: dict[Reference, str] = {}
        self._unopened: set[Hashable] = set()
        self._at_work = 0
        self._lock = threading.RLock()

    def references(self) -> Sequence[Reference]:
        """Return the selected images, by default all; raises ImageNotFound, UsageError with the choices, InvalidImage.
        """
        with self._lock, prefix_errors(self.location.path), self._closed_if_failed():
            self._choose()
        self._unopened = set(map(self.content_key, self._chosen))
        if self._open_archive and not self._open_archive.readable.may_wait():
            self.close()
        return list(self._chosen)

    def open(self, reference: Reference) -> Image | ImageIndex:
        """Return the image, or the requested part of an index; raises ImageNotFound, InvalidImage."""
        if reference not in self._chosen and reference not in self.references():
            raise ImageNotFound(f'{self.location.path} holds no image {reference}')
        with self._lock:
            self._unopened.discard(self.content_key(reference))
            self._at_work += 1
        try:
            with prefix_errors(self.location.path):
                opened = self._open(reference)
        except BaseException:
            self._ended()
            raise
        first = opened if isinstance(opened, Image) else next(opened.images(), None)
        if first:
            first.on_close(self._ended)
        else:
            self._ended()
        return opened

    def location_of(self, reference: Reference) -> Location:
        """Return the location of one of several images: by its name in the archive, or its digest."""
        if len(self._chosen) < 2:
            return self.location
        return self.location.with_options(image=self._names.get(reference) or str(reference.digest))

    def content_key(self, reference: Reference) -> Hashable:
        """Return the name of the image's config, or the digests of its entries, which are the same for all its names.
        """
        chosen = self._chosen[reference]
        return chosen.config if isinstance(chosen, ArchivedImage) else tuple(entry.digest for entry in chosen)

    def present_digest(self, reference: Reference) -> Digest | None:
        """Return the digest in index.json, or that of a docker archive's config; None if there is not exactly one."""
        chosen = self._chosen[reference]
        if isinstance(chosen, ArchivedImage):
            return chosen.proved_digest
        return chosen[0].digest if len(chosen) == 1 else None

    def place(self, reference: Reference) -> Place:
        """Return the file."""
        return Place.at(self.location.path)

    def close(self) -> None:
        """Release the archive; its last user also closes an uncompressed copy, which is made again if needed later."""
        with self._lock:
            opened, self._open_archive = self._open_archive, None
            if opened:
                self._archives.release(opened)

    @contextmanager
    def _closed_if_failed(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.close()
            raise

    def _ended(self) -> None:
        """Close the archive after its last image; a pipe cannot be read again."""
        with self._lock:
            self._at_work -= 1
            over = not self._at_work and not self._unopened
            if over and self._open_archive and not self._open_archive.readable.once:
                self.close()

    def _choose(self) -> None:
        name, path, opened = self.location.options['image'], self.location.path, self._opened
        offered: Sequence[Offer[Any]]
        if opened.is_docker(self.location.options.get('format')):
            offered = opened.saved
            if len(offered) > 1:
                offered = docker_archive.for_platform(opened.archive, offered, self._platform)
        else:
            offered = opened.listed if name and not has_glob(name) else opened.independent
        self._chosen = {}
        for image, reference in select_offers(offered, name, path):
            if self._chosen.setdefault(reference, image) != image:
                raise UsageError(f'{path} has several images {reference}: choose one by its digest, ?image=sha256:…')
        self._names = {reference: each for offer in offered for each, reference in offer.names.items()
                       if reference in self._chosen}

    def _open(self, reference: Reference) -> Image | ImageIndex:
        image, opened = self._chosen[reference], self._opened
        if not isinstance(image, ArchivedImage):
            return self._open_stored(opened, image, reference)
        if stored := self._stored_form(opened, image):
            return self._open_stored(opened, stored, reference)
        self._require_platforms(docker_archive.read_config(opened.archive, image).platform, reference)
        return docker_archive.open_image(opened.archive, image, reference)

    def _open_stored(self, opened: OpenArchive, image: LayoutEntries, reference: Reference) -> Image | ImageIndex:
        referrers = opened.referrers if self.location.options.get('referrers') else None
        return oci_archive.open_image(opened.store, image, reference, self._requested, self.settings, referrers)

    def _stored_form(self, opened: OpenArchive, image: ArchivedImage) -> LayoutEntries | None:
        """Return the image from the archive's OCI layout, if only that has what is requested.

        That is the image with all its platforms if another platform than the one in manifest.json, or several, are
        requested, and otherwise the same image if its layers are compressed.
        """
        if not image.config_digest:
            return None
        if self._requested and not self._fits(docker_archive.read_config(opened.archive, image).platform):
            if whole := opened.stored.whole(image.config_digest, image.tags):
                return whole
        holds_blobs = docker_archive.holds_blobs(opened.archive, image)
        return opened.stored.image(image.config_digest, image.tags) if holds_blobs else None

    def _fits(self, platform: Platform) -> bool:
        return bool(self._requested and self._requested.one and platform.may_be(self._requested.one))

    def _require_platforms(self, present: Platform, reference: Reference) -> None:
        """Raise ImageNotFound unless the only image has all requested platforms."""
        for each in self._requested.platforms if self._requested else ():
            if not present.may_be(each):
                raise ImageNotFound(f'no image for platform {each} at {reference}; available: {present.text}')

    @property
    def _opened(self) -> OpenArchive:
        with self._lock:
            if self._open_archive is None:
                self._open_archive = self._archives.take(self.location.path, self.settings)
            return self._open_archive

    @property
    def _platform(self) -> Platform:
        """The platform to prefer if several images have one name."""
        return self._requested.platforms[0] if self._requested and self._requested.platforms else Platform.of_host()
