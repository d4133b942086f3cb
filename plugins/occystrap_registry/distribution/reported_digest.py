"""The digests that a registry reports for what it stored or sends (distribution-spec, Docker-Content-Digest)."""
from contextlib import suppress

from occystrap_core import InvalidImage
from occystrap_core.oci import Digest
from occystrap_registry.transport.headers import Headers

CONTENT = 'Docker-Content-Digest'
STORED = 'Occystrap-Stored-Digest'
"""The header field in which `occystrap proxy` reports the digest of a manifest after its filters; Docker-Content-Digest
has that of what was sent, which clients compare."""


def reported_digest(headers: Headers, field: str = CONTENT) -> Digest | None:
    """Return the digest in the header fields of an answer; None if it is missing or cannot be compared.

    The field is optional (distribution-spec, Pulling manifests); some registries send an invalid one, or upper case.
    """
    with suppress(InvalidImage):
        return Digest(headers.get(field.lower(), '').strip().lower())
    return None
