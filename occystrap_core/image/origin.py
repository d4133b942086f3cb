"""What the name of an image meant at its source, whatever was taken of it."""
from typing import NamedTuple, Self

from occystrap_core.oci.descriptor import Descriptor
from occystrap_core.oci.digest import Digest
from occystrap_core.oci.manifest import Index, Manifest

_ATTESTATION = 'vnd.docker.reference.type'


class Origin(NamedTuple):
    """A manifest or an index at the source; `digest` is None where that has several entries of one name instead.

    `platforms` of the images that an index lists, `unknown` where the entry does not say; none for a manifest.
    """

    digest: Digest | None
    platforms: tuple[str, ...] = ()

    @classmethod
    def of(cls, found: Manifest | Index) -> Self:
        """Return the origin of what is taken from a document, in whole or in part."""
        if isinstance(found, Manifest):
            return cls(found.digest)
        return cls(found.digest, platforms_of(found))

    @classmethod
    def of_entries(cls, entries: Index) -> Self:
        """Return the origin of what is taken of several entries of one name, made an index that nobody has."""
        return cls(None, platforms_of(entries))


def platforms_of(index: Index) -> tuple[str, ...]:
    """Return the platforms of the images that an index lists, without attestations about them."""
    return tuple(str(entry.platform or 'unknown') for entry in index.manifests if is_image(entry))


def is_image(entry: Descriptor) -> bool:
    """Tell whether the entry of an index is for an image, and not an attestation about one."""
    return not (entry.platform and entry.platform.os == 'unknown') and _ATTESTATION not in entry.annotations
