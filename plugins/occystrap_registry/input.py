"""Reading images from a registry."""
import threading
from collections.abc import Iterable

from occystrap_core import (
    Image, ImageIndex, ImageInput, ImageNotFound, InvalidImage, Location, Settings, SizeMismatch,
)
from occystrap_core.oci import Index, Manifest, Platform, PlatformChoice, Reference, media_types
from occystrap_registry.address import parse_address
from occystrap_registry.client import RegistryClient
from occystrap_registry.contents import open_artifact, open_content, open_image
from occystrap_registry.documents import get_manifest
from occystrap_registry.globs import Excluded, has_glob
from occystrap_registry.matching import matching, not_excluded
from occystrap_registry.reader import Reader
from occystrap_registry.referrers import attached_to, digests_of


class RegistryInput(ImageInput):
    """Images in a registry: `registry://host/repository[:tag][@digest]`, repository and tag maybe patterns."""

    gives_indexes = True

    def __init__(self, location: Location, settings: Settings) -> None:
        self._address = parse_address(location, settings, patterns=True)
        self._excluded = Excluded.parse(location.options.get('exclude') or '')
        super().__init__(location.with_path(str(self._address.reference)), settings)
        self._client = RegistryClient(self._address, settings)
        self._referrers = bool(location.options.get('referrers'))
        self._wanted = _wanted(location.options.get('platform'), settings)
        self._others: dict[str, RegistryInput] = {}
        self._lock = threading.Lock()

    def references(self) -> Iterable[Reference]:
        """Return the image, or all that match a pattern and are not excluded; raises ImageNotFound, ServiceError."""
        wanted = self._address.reference
        if has_glob(wanted.repository + wanted.tag):
            return matching(self._client, wanted, self._excluded)
        return not_excluded(wanted, self._excluded)

    def open(self, reference: Reference) -> Image | ImageIndex:
        """Return the image, having read manifest and config; of an index, the platform or platforms asked for."""
        if reference.repository != self._address.reference.repository:
            return self._other(reference).open(reference)
        try:
            return self._open(reference)
        except (InvalidImage, ImageNotFound) as error:
            raise _named(error, reference) from None

    def location_of(self, reference: Reference) -> Location:
        """Return the location of an image that matches the pattern."""
        return self.location.with_path(str(reference))

    def close(self) -> None:
        """Close the connections."""
        for other in self._others.values():
            other.close()
        self._client.close()

    def _other(self, reference: Reference) -> 'RegistryInput':
        """Return the input for another repository that matches the pattern: tokens are for one."""
        with self._lock:
            if reference.repository not in self._others:
                location = self.location.with_path(str(reference))
                self._others[reference.repository] = RegistryInput(location, self.settings)
            return self._others[reference.repository]

    @property
    def _choice(self) -> PlatformChoice:
        """What to take of an index: what was asked for, or what fits this machine."""
        return self._wanted or PlatformChoice((Platform.of_host(),))

    def _open(self, reference: Reference) -> Image | ImageIndex:
        found = get_manifest(self._client, reference.digest or reference.tag)
        reader = Reader(self._client, reference)
        if isinstance(found, Index) and not self._choice.one:
            return self._several(reader, found)
        image = self._one(reference, found)
        if self._referrers and image.manifest:
            image.attached = attached_to(reader, [image.manifest.digest])
        return image

    def _several(self, reader: Reader, index: Index) -> ImageIndex:
        """Return the index, or a choice of its entries: then what hangs on the whole does not fit."""
        opened = reader.index(index, index.places(self._choice))
        if self._referrers:
            digests = digests_of(opened)
            complete = len(opened.children) == len(index.manifests)
            opened.attached = tuple(attached_to(reader, digests if complete else digests[:-1]))
        return opened

    def _one(self, reference: Reference, found: Manifest | Index) -> Image:
        manifest = self._selected(found) if isinstance(found, Index) else found
        if manifest.config.media_type not in media_types.CONFIGS:
            if not self._choice.platforms:  # all: whatever there is
                return open_artifact(self._client, reference, manifest)
            raise InvalidImage(f'{reference} is no container image: its config is a {manifest.config.media_type}')
        if not self._choice.platforms:
            return open_content(self._client, reference, manifest)
        image = open_image(self._client, reference, manifest)
        if manifest is found and self._wanted:
            self._require_platforms(image)
        return image

    def _require_platforms(self, image: Image) -> None:
        """Raise ImageNotFound when the one image that there is is not for all the platforms that were asked for."""
        actual = image.config.platform
        for wanted in self._choice.platforms:
            if not actual.satisfies(wanted):
                raise ImageNotFound(f'no image for platform {wanted}; there is: {actual}')

    def _selected(self, index: Index) -> Manifest:
        assert self._choice.one
        entry = index.select(self._choice.one)
        found = get_manifest(self._client, entry.digest)
        if len(found.raw) != entry.size:
            raise SizeMismatch(f'manifest {entry.digest} has {len(found.raw)} bytes, should have {entry.size}',
                               'manifest-size')
        if isinstance(found, Index):
            raise InvalidImage(f'the entry for {entry.platform} is an index within the index: take all of it with '
                               'platform=all')
        return found


def _wanted(option: str | None, settings: Settings) -> PlatformChoice | None:
    """Return what the user wants of an index, by the option or else for the whole run; None if nobody said."""
    if option:
        return PlatformChoice.parse(option)
    return PlatformChoice((settings.platform,)) if settings.platform else settings.platforms


def _named(error: InvalidImage | ImageNotFound, reference: Reference) -> InvalidImage | ImageNotFound:
    """Return the error with the image's name, where it does not say it itself."""
    text = str(error)
    return error if reference.name in text else error.renamed(f'{reference}: {text}')
