"""quay://: the images of an organisation on Quay, listed by Quay's own API, then read as from any registry."""
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from occystrap_core import (
    Image, ImageIndex, ImageInput, ImageNotFound, Location, Place, ServiceError, Settings, UsageError,
)
from occystrap_core.oci import (
    Excluded, Reference, compile_pattern, first_names, has_glob, nearest_names, sort_references,
)
from occystrap_registry.distribution.client import RegistryClient
from occystrap_registry.input import RegistryInput
from occystrap_registry.quay.api import Named, QuayApi
from occystrap_registry.transport.address import Address, parse_address

HOST = 'quay.io'
_OWN = ('host', 'since', 'token')
_AT_ONCE = 16
"""Number of repositories whose tags are requested before the first images are yielded."""


class QuayInput(ImageInput):
    """Images on Quay: `quay://organisation/repository[:tag]`; repository and tag may be patterns."""

    gives_indexes = True

    def __init__(self, location: Location, settings: Settings) -> None:
        host = location.options.get('host') or HOST
        self._since = _since(location.options.get('since'))
        self._excluded: Excluded = location.options.get('exclude') or Excluded()
        images = Location('registry', f'{host}/{location.path}', _without(location.options), _without(location.given))
        self._address = _address(images, settings, location)
        super().__init__(images.with_path(str(self._address.reference)), settings)
        self._images = RegistryInput(self.location, settings)
        self._client = RegistryClient(self._address, settings)
        self._api = QuayApi(self._client, _token(location.options.get('token')))

    def references(self) -> Iterable[Reference]:
        """Return the images that match and are new enough; raises ImageNotFound, ServiceError."""
        requested = self._address.reference
        if not self._since and not has_glob(requested.repository + requested.tag):
            return [requested]
        return sort_references([reference for part in self.stream() for reference in part])

    def stream(self) -> Iterator[Sequence[Reference]]:
        """Yield them, a few repositories at a time."""
        requested = self._address.reference
        if not self._since and not has_glob(requested.repository + requested.tag):
            yield [requested]
            return
        repositories, has_any = self._repositories(requested), False
        for first in range(0, len(repositories), _AT_ONCE):
            for part in self.settings.in_parallel(self._tagged, repositories[first:first + _AT_ONCE], helping=True):
                has_any = has_any or bool(part)
                yield part
        if not has_any:
            newer = f' and is newer than {self._since:%Y-%m-%d %H:%M} UTC' if self._since else ''
            raise ImageNotFound.of_pattern(f'{requested}: no tag matches{newer} in {first_names(repositories)}')

    def open(self, reference: Reference) -> Image | ImageIndex:
        """Return the image, from the registry."""
        return self._images.open(reference)

    def place(self, reference: Reference) -> Place:
        """Return its tag in the registry."""
        return self._images.place(reference)

    def close(self) -> None:
        """Close the connections."""
        self._images.close()
        self._api.close()
        self._client.close()

    def _repositories(self, requested: Reference) -> list[str]:
        if not has_glob(requested.repository):
            return [requested.repository]
        pattern, organisation = compile_pattern(requested.repository), requested.repository.partition('/')[0]
        listed = list(self._api.repositories(organisation))
        found = [each.name for each in listed if pattern.fullmatch(each.name) and self._may_be_new(each)
                 and not self._excluded.has_repository(each.name)]
        if not found:
            what = nearest_names(requested.repository, [each.name for each in listed], 'repositories')
            raise ImageNotFound.of_pattern(f'{requested}: no repository of {organisation} matches; {what}')
        return found

    def _tagged(self, repository: str) -> list[Reference]:
        requested = self._address.reference._replace(repository=repository)
        pattern = compile_pattern(requested.tag)
        only = '' if has_glob(requested.tag) else requested.tag
        tags = [(tag, requested._replace(tag=tag.name)) for tag in self._api.tags(repository, only)
                if pattern.fullmatch(tag.name)]
        return [reference for tag, reference in tags
                if reference not in self._excluded and self._is_new(tag, repository)]

    def _may_be_new(self, repository: Named) -> bool:
        """Return whether a repository can have tags that are new enough."""
        return self._since is None or repository.modified is None or repository.modified >= self._since.timestamp()

    def _is_new(self, tag: Named, repository: str) -> bool:
        """Return whether a tag is new enough; raises ServiceError if its time is not known."""
        if self._since and tag.modified is None:
            raise ServiceError(f'{self._address.host} does not report when {repository}:{tag.name} was created: leave '
                               'out since=, or exclude= it')
        return self._may_be_new(tag)


def _address(images: Location, settings: Settings, location: Location) -> Address:
    """Return the address of the images; raises UsageError for anything but `organisation/repository[:tag]`."""
    organisation, slash, repository = location.path.partition('/')
    if not repository or has_glob(organisation) or '@' in organisation:
        raise UsageError(f'{location} is malformed: give quay://organisation/repository:tag; the repository and the '
                         'tag may be patterns, the organisation may not')
    return parse_address(images, settings, patterns=True)


def _without(options: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name not in _OWN}


def _since(text: str | None) -> datetime | None:
    """Return the time of an ISO 8601 date, in UTC unless it has another time zone; raises UsageError."""
    if not text:
        return None
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f'since={text!r} is not a date: give one such as 2024-01-31 or 2024-01-31T12:00:00Z') from None
    return when.astimezone(timezone.utc) if when.tzinfo else when.replace(tzinfo=timezone.utc)


def _token(given: str | None) -> str:
    """Return the token of the option or of OCCYSTRAP_QUAY_TOKEN; raises UsageError for an invalid one."""
    token = given or os.environ.get('OCCYSTRAP_QUAY_TOKEN', '')
    if not token.isascii() or not token.isprintable() or ' ' in token:
        raise UsageError('the token for Quay has invalid characters: check token= and OCCYSTRAP_QUAY_TOKEN')
    return token
