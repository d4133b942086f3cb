"""What the name of an image refers to at its source."""
from typing import NamedTuple, Self

from occystrap_core.oci.descriptor import Descriptor
from occystrap_core.oci.digest import Digest
from occystrap_core.oci.manifest import Index, Manifest
from occystrap_core.oci.media_types import INDEXES

_ATTESTATION = 'vnd.docker.reference.type'


class Origin(NamedTuple):
    """What a name means at the source: a manifest or an index; `digest` is None for several entries of that name.

    `platforms` are those of the images in an index, `unknown` for an entry without one; empty for a manifest.
    """

    digest: Digest | None
    platforms: tuple[str, ...] = ()
    unlabelled: int = 0
    """The number of images in the index whose entry has no platform."""
    selected: str = ''
    """The platform under which an index lists the one image that was taken; its config may say another."""

    @classmethod
    def of(cls, found: Manifest | Index) -> Self:
        """Return the origin of content that is taken from a document, in whole or in part."""
        if isinstance(found, Manifest):
            return cls(found.digest)
        return cls(found.digest, platforms_of(found), sum(map(_is_unlabelled, found.manifests)))

    @classmethod
    def of_entries(cls, entries: Index) -> Self:
        """Return the origin of content from several entries of one name, combined to an index that the source does not
        have."""
        return cls(None, platforms_of(entries))


def platforms_of(index: Index) -> tuple[str, ...]:
    """Return the platforms of the images in an index, without attestations."""
    return tuple(str(entry.platform or 'unknown') for entry in index.manifests if is_image(entry))


def _is_unlabelled(entry: Descriptor) -> bool:
    return is_image(entry) and not (entry.platform and str(entry.platform)) and entry.media_type not in INDEXES


def is_image(entry: Descriptor) -> bool:
    """Return whether an entry of an index is an image, not an attestation about one."""
    return not (entry.platform and entry.platform.os == 'unknown') and _ATTESTATION not in entry.annotations
