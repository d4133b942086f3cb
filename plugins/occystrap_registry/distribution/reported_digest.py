"""The digest that a registry reports for what it stored or sends (distribution-spec, Docker-Content-Digest)."""
from collections.abc import Mapping
from contextlib import suppress

from occystrap_core import InvalidImage
from occystrap_core.oci import Digest


def reported_digest(headers: Mapping[str, str]) -> Digest | None:
    """Return the digest in the header fields of an answer; None if there is none, or one that cannot be compared.

    The field is optional (distribution-spec, Pulling manifests), and some registries write nonsense, or upper case.
    """
    with suppress(InvalidImage):
        return Digest(headers.get('docker-content-digest', '').strip().lower())
    return None
