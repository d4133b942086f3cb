"""A daemon's reports about images: a row for each name (Docker Engine API, ImageList), facts of one image
(ImageInspect)."""
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from occystrap_core import InvalidImage, ServiceError
from occystrap_core.oci import Digest, Platform, required_field

_NOTHING = '<none>'
_PLATFORM = ('Os', 'Architecture', 'Variant')


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


@dataclass(frozen=True)
class ImageFacts:
    """The facts that a daemon reports of an image; `size` in bytes, approximately.

    With containerd's store `id` is the digest of a manifest or an index; `in_directories` is true for other stores
    only. With containerd's, `manifest` may be known, and `blobs`: the layers' diff_ids by the digests of their blobs.
    `created` is a time in ISO 8601, or empty; `digests` are names with the digests that they had in registries.
    """

    id: Digest
    diff_ids: tuple[Digest, ...]
    tags: tuple[str, ...]
    size: int
    platform: Platform | None = None
    in_directories: bool = False
    manifest: Digest | None = None
    blobs: Mapping[Digest, Digest] | None = field(default=None, compare=False)
    created: str = field(default='', compare=False)
    digests: tuple[str, ...] = field(default=(), compare=False)
    platforms: tuple[str, ...] = field(default=(), compare=False)
    """All platforms of the image in the store, known after an export has shown several."""

    @property
    def root(self) -> Digest:
        """The digest that leads to the config: that of the manifest if it is known, else the ID."""
        return self.manifest or self.id


def facts_of(document: dict[str, Any], name: str) -> ImageFacts:
    """Return the facts in the answer to an inspection of `name`; raises InvalidImage."""
    what = f'the description of {name} by the daemon'
    layers = (document.get('RootFS') or {}).get('Layers') or []
    return ImageFacts(Digest(required_field(document, 'Id', str, what)), tuple(Digest(layer) for layer in layers),
                      tuple(document.get('RepoTags') or ()), int(document.get('Size') or 0),
                      _platform(document), bool((document.get('GraphDriver') or {}).get('Data')),
                      created=str(document.get('Created') or ''), digests=tuple(
                          each for each in document.get('RepoDigests') or () if isinstance(each, str)))


def _platform(document: dict[str, Any]) -> Platform | None:
    os, architecture, variant = (str(document.get(key) or '') for key in _PLATFORM)
    return Platform(os, architecture, variant) if os and architecture else None
