"""Reading images from a registry."""
import threading
from collections.abc import Iterable, Sequence

from occystrap_core import (
    Image, ImageIndex, ImageInput, ImageNotFound, IndexReader, InvalidImage, Location, Place, Settings,
)
from occystrap_core.oci import Descriptor, Digest, Excluded, Index, Manifest, Reference, has_glob
from occystrap_registry.distribution.client import RegistryClient
from occystrap_registry.distribution.documents import present_digest
from occystrap_registry.distribution.repository import RepositoryStore
from occystrap_registry.transport.address import parse_address


class RegistryInput(ImageInput):
    """Images in a registry: `registry://host/repository[:tag][@digest]`; repository and tag may be patterns."""

    gives_indexes = True

    def __init__(self, location: Location, settings: Settings) -> None:
        self._address = parse_address(location, settings, patterns=True)
        self._excluded: Excluded = location.options.get('exclude') or Excluded()
        super().__init__(location.with_path(str(self._address.reference)), settings)
        self._client = RegistryClient(self._address, settings)
        self._referrers = bool(location.options.get('referrers'))
        self._platforms = settings.platform_choice(location.options.get('platform'))
        self._others: dict[str, RegistryInput] = {}
        self._lock = threading.Lock()

    def references(self) -> Iterable[Reference]:
        """Return the image, or all that match a pattern; raises ImageNotFound, ServiceError."""
        requested = self._address.reference
        if has_glob(requested.repository + requested.tag):
            from occystrap_registry.distribution.selection import matching  # late, as only patterns need it
            return matching(self._client, requested, self._excluded)
        return [requested]

    def stream(self) -> Iterable[Sequence[Reference]]:
        """Yield them as they are listed, in the registry's order."""
        requested = self._address.reference
        if has_glob(requested.repository + requested.tag):
            from occystrap_registry.distribution.selection import stream_matching
            return stream_matching(self._client, requested, self._excluded)
        return [[requested]]

    def open(self, reference: Reference) -> Image | ImageIndex:
        """Return the image after reading manifest and config; from an index, the requested platforms."""
        if reference.repository != self._address.reference.repository:
            return self._other(reference).open(reference)
        try:
            return self._open(reference)
        except (InvalidImage, ImageNotFound) as error:
            raise _named(error, reference) from None

    def present_digest(self, reference: Reference) -> Digest | None:
        """Return the digest of the manifest or index, by a HEAD request."""
        if reference.repository != self._address.reference.repository:
            return self._other(reference).present_digest(reference)
        try:
            return present_digest(self._client, reference.digest or reference.tag)
        except (InvalidImage, ImageNotFound) as error:
            raise _named(error, reference) from None

    def location_of(self, reference: Reference) -> Location:
        """Return the location of an image that matches the pattern."""
        return self.location.with_path(str(reference))

    def place(self, reference: Reference) -> Place:
        """Return its tag, or its digest if the reference has one."""
        named = reference._replace(tag='') if reference.digest else reference
        return self._address._replace(reference=named).place

    def close(self) -> None:
        """Close the connections."""
        for other in self._others.values():
            other.close()
        self._client.close()

    def _other(self, reference: Reference) -> 'RegistryInput':
        """Return the input for another repository that matches the pattern, as tokens are for one repository."""
        with self._lock:
            if reference.repository not in self._others:
                location = self.location.with_path(str(reference))
                self._others[reference.repository] = RegistryInput(location, self.settings)
            return self._others[reference.repository]

    def _open(self, reference: Reference) -> Image | ImageIndex:
        store = RepositoryStore(self._client, self.settings.documents)
        found = store.named(reference.digest or reference.tag)
        reader = IndexReader(store, reference, self.settings)
        return reader.select(found, self._platforms, self._find_referrers if self._referrers else None)

    def _find_referrers(self, subject: Digest) -> tuple[Sequence[Descriptor], Sequence[tuple[str, Manifest | Index]]]:
        from occystrap_registry.distribution.referrers import referring_to  # late, as few copies need it
        return referring_to(self._client, subject)


def _named(error: InvalidImage | ImageNotFound, reference: Reference) -> InvalidImage | ImageNotFound:
    """Return the error with the image's name, added if the message lacks it."""
    text = str(error)
    return error if reference.name in text else error.renamed(f'{reference}: {text}')
