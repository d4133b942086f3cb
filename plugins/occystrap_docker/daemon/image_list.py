"""The image list of a daemon (Docker Engine API, ImageList): a row for each name of an image."""
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from occystrap_core import InvalidImage, ServiceError
from occystrap_core.oci import Digest

_NOTHING = '<none>'


class Listed(NamedTuple):
    """One name of an image; repository and tag are empty if it is untagged, the tag alone if only a digest names it.

    `size` in bytes, `created` in seconds since 1970.
    """

    repository: str
    tag: str
    id: Digest
    size: int
    created: int
    digests: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name that the docker command shows."""
        return f'{self.repository}:{self.tag or _NOTHING}' if self.repository else _NOTHING


def listed(answer: object, address: str) -> list[Listed]:
    """Return the rows of a daemon's answer; raises ServiceError when it is not a list of images."""
    try:
        if not isinstance(answer, list):
            raise TypeError('no list')
        return [row for each in answer for row in _rows(each)]
    except (TypeError, ValueError, LookupError, AttributeError, InvalidImage) as error:
        raise ServiceError(f'the daemon at {address} does not answer with a list of images: {error}') from None


def _rows(image: Mapping[str, Any]) -> Iterator[Listed]:
    names = [name.rpartition(':')[::2] for name in image.get('RepoTags') or () if not name.startswith(_NOTHING)]
    digests = tuple(name for name in image.get('RepoDigests') or () if not name.startswith(_NOTHING))
    if not names:
        names = [(name, '') for name in dict.fromkeys(name.partition('@')[0] for name in digests)] or [('', '')]
    for repository, tag in names:
        yield Listed(repository, tag.replace(_NOTHING, ''), Digest(_with_algorithm(image['Id'])),
                     int(image.get('Size') or 0), int(image.get('Created') or 0), digests)


def _with_algorithm(image_id: str) -> str:
    return image_id if ':' in image_id else f'sha256:{image_id}'
