"""Receipts: what a writer meant to write, as verifiers need to know it, today or in another process."""
import json
from collections.abc import Mapping, Sequence
from dataclasses import field
from enum import Enum
from typing import Any, Self

from occystrap_core.errors import InvalidImage, UsageError
from occystrap_core.oci.digest import Digest
from occystrap_core.oci.documents import parse_json
from occystrap_core.oci.field_names import STRICT
from occystrap_core.values import value

VERSION = 1


class Evidence(Enum):
    """How the core knows what must be there: it saw the bytes pass, or takes a descriptor's word."""

    STREAMED = 'streamed'
    DESCRIPTOR = 'descriptor'


@value
class Expectation:
    """One thing that must be at the destination: what it is, where, its digest, its size in bytes."""

    kind: str
    locator: str
    digest: Digest
    size: int
    evidence: Evidence = Evidence.STREAMED

    def __str__(self) -> str:
        return f'{self.kind} {self.locator}'


@value
class Receipt:
    """All expectations of one written image. `scheme`, `path` and `options` say where; they hold no secrets."""

    scheme: str
    path: str
    options: Mapping[str, str]
    reference: str
    source: str
    image_id: Digest
    diff_ids: Sequence[Digest]
    expectations: Sequence[Expectation] = field(default_factory=tuple)
    manifest_digest: Digest | None = None
    place: str = ''
    """The canonical name of the place, which two images cannot have at once; empty in receipts of earlier versions."""
    source_digest: Digest | None = None
    """The digest of the manifest or index that the name meant at the source, of which one image may have been taken."""

    @property
    def destination(self) -> str:
        """The URI of the destination, for people."""
        return f'{self.scheme}://{self.path}'

    @property
    def evidence(self) -> Evidence:
        """The weakest evidence among the expectations."""
        weak = any(expectation.evidence is Evidence.DESCRIPTOR for expectation in self.expectations)
        return Evidence.DESCRIPTOR if weak else Evidence.STREAMED

    def of_kind(self, *kinds: str) -> list[Expectation]:
        """Return the expectations of these kinds."""
        return [expectation for expectation in self.expectations if expectation.kind in kinds]

    def to_json(self) -> str:
        """Return the receipt as one line of JSON, the same for the same image and destination."""
        document = {
            'receipt': VERSION, 'scheme': self.scheme, 'path': self.path, 'options': dict(self.options),
            'reference': self.reference, 'source': self.source, 'image_id': self.image_id,
            'manifest_digest': self.manifest_digest, 'place': self.place, 'source_digest': self.source_digest,
            'diff_ids': list(self.diff_ids),
            'expectations': [{'kind': each.kind, 'locator': each.locator, 'digest': each.digest, 'size': each.size,
                              'evidence': each.evidence.value} for each in self.expectations]}
        return json.dumps(document)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Return the receipt in `text`; raises UsageError when it is none that this version can read."""
        try:
            raw = text.encode() if isinstance(text, str) else text
            document = parse_json(raw, 'it', len(raw), STRICT)
            if document['receipt'] != VERSION:
                raise UsageError(f'the receipt has version {document["receipt"]}, this program reads {VERSION}')
            return cls._from_document(document)
        except KeyError as error:
            raise UsageError(f'this is not a receipt: it has no field {error}') from None
        except (ValueError, TypeError, AttributeError, RecursionError, InvalidImage) as error:
            raise UsageError(f'this is not a receipt: {error}') from None

    @classmethod
    def _from_document(cls, document: dict[str, Any]) -> Self:
        manifest, source = document['manifest_digest'], document.get('source_digest')
        return cls(
            str(document['scheme']), str(document['path']), {str(k): str(v) for k, v in document['options'].items()},
            str(document['reference']), str(document['source']), Digest(document['image_id']),
            tuple(Digest(diff_id) for diff_id in document['diff_ids']),
            tuple(Expectation(str(each['kind']), str(each['locator']), Digest(each['digest']), int(each['size']),
                              Evidence(each['evidence'])) for each in document['expectations']),
            Digest(manifest) if manifest else None, str(document.get('place') or ''),
            Digest(source) if source else None)
