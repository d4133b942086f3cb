"""Referrers of an image: signatures, SBOMs, attestations (distribution-spec, Referrers; cosign's tags)."""
import re
from dataclasses import replace
from typing import Any

from occystrap_core.errors import InvalidImage
from occystrap_core.oci.descriptor import Descriptor
from occystrap_core.oci.digest import Digest
from occystrap_core.oci.documents import parse_object
from occystrap_core.oci.field_names import MANIFEST_FIELDS
from occystrap_core.oci.manifest import Index, Manifest

COSIGN_SUFFIXES = ('.sig', '.att', '.sbom')
"""What cosign appends to the tag of a signature, an attestation, an SBOM."""


_LONGEST = 64
_REFERRER_TAG = r'(?:.*:)?sha(?:256|512)-[0-9a-f]{64}(\.[a-z]+)?'


def referrers_tag(subject: Digest) -> str:
    """Return the tag under which registries without the referrers API list the referrers of `subject`.

    A digest is cut, so that the tag has at most 128 characters (distribution-spec, Referrers tag schema).
    """
    return f'{subject.algorithm}-{subject.hex[:_LONGEST]}'


def is_referrer_tag(*names: str) -> bool:
    """Return whether there are names and all of them are tags that belong to a digest: lists of referrers, cosign's
    signatures."""
    return bool(names) and all(re.fullmatch(_REFERRER_TAG, name) for name in names)


def subject_of(document: Manifest | Index) -> Digest | None:
    """Return the subject that a manifest or index refers to; raises InvalidImage if it is malformed."""
    subject = _parsed(document).get('subject')
    return Descriptor.from_json(subject, 'the subject').digest if subject is not None else None


def referrer_of(document: Manifest | Index) -> Descriptor:
    """Return the descriptor of a manifest in a list of referrers: with its artifact type and annotations."""
    parsed = _parsed(document)
    kind, annotations = parsed.get('artifactType'), parsed.get('annotations') or {}
    if not kind and isinstance(document, Manifest):
        kind = document.config.media_type
    if not isinstance(kind, str | None) or not isinstance(annotations, dict) or not all(
            isinstance(each, str) for each in annotations.values()):
        raise InvalidImage(f'manifest {document.digest} has a malformed artifactType or annotations')
    return replace(document.descriptor, artifact_type=kind or '', annotations=annotations)


def _parsed(document: Manifest | Index) -> dict[str, Any]:
    return parse_object(document.raw, 'the manifest', names=MANIFEST_FIELDS)
