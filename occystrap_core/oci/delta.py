"""Deltas: layouts and archives without blobs that the far side has; each entry of index.json lists its own.

The annotation has `DIGEST=NAME` for each of them, separated by spaces: NAME is that of an image with the blob.
"""
from collections.abc import Iterable, Mapping

from occystrap_core.errors import InvalidImage
from occystrap_core.oci.descriptor import Descriptor
from occystrap_core.oci.digest import Digest

LEFT_OUT = 'occystrap.left-out'
"""The annotation of an entry whose image lacks blobs."""


def left_out_text(blobs: Mapping[Digest, str]) -> str:
    """Return the annotation for blobs that are left out, each with the name of an image that has it."""
    return ' '.join(f'{digest}={name}' for digest, name in sorted(blobs.items()))


def left_out_by(entries: Iterable[Descriptor]) -> dict[Digest, str]:
    """Return the blobs that these entries leave out; raises InvalidImage for a malformed annotation."""
    found: dict[Digest, str] = {}
    for entry in entries:
        for text in entry.annotations.get(LEFT_OUT, '').split():
            digest, equals, name = text.partition('=')
            if not equals:
                raise InvalidImage(f'the annotation {LEFT_OUT} has {text[:100]!r}, expected DIGEST=NAME')
            found.setdefault(Digest(digest), name)
    return found
