"""What a daemon has, as its API lists it (Docker Engine API, ImageList): a row for each name of an image."""
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from occystrap_core import InvalidImage, ServiceError
from occystrap_core.oci import Digest

_NOTHING = '<none>'


class Listed(NamedTuple):
    """One name of an image; both halves empty when it has lost its name, the tag alone when only a digest names it.

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
        """What the docker command would call it."""
        return f'{self.repository}:{self.tag or _NOTHING}' if self.repository else _NOTHING


def listed(answer: object, address: str) -> list[Listed]:
    """Return the rows in a daemon's answer; raises ServiceError for what is no such list."""
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
