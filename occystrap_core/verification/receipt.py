"""Receipts: what a writer meant to write, for verifiers in this or another process.

A receipt is complete: it covers the config, the manifest if the destination keeps one, and every layer, also of each
image in an index. It has the digest of its own content, which reveals damage, but not an attacker.
"""
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Self

from occystrap_core.errors import InvalidImage, InvalidReceipt, UsageError
from occystrap_core.oci.digest import Digest
from occystrap_core.oci.documents import parse_json
from occystrap_core.oci.field_names import STRICT
from occystrap_core.oci.named_images import parse_name
from occystrap_core.verification.expectation import (
    FORMS, Expectation, Expected, Part, digest_or_none, digests_of, expectation_from_json, expectation_to_json, text_of,
)
from occystrap_core.verification.provenance import Bringer, PlatformChoices, RecordedVerdict

LONGEST = 16 << 20
"""The largest receipt, in bytes: some 60,000 expectations."""
_BRACKETS, _BYTES_PER_BRACKET = 256, 16
"""A receipt may have this many brackets, plus one for each 16 bytes; real ones have a tenth of that."""
VERSION = 2
"""Version 1 had no seal and no mapping of blobs to layers; it can be read, and is reported as unsealed."""


class KeptReceipts(NamedTuple):
    """The receipts that a destination keeps of its images, and images without a usable one, by name, each with the
    reason."""

    receipts: 'Sequence[Receipt]'
    unproved: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Receipt(Expected):
    """All expectations of one written image. `scheme`, `path` and `options` are the destination, without secrets.

    `form` is that of its layers: `stored`, with the manifest, `tar`, or `merged` into one tree. `parts` are the images
    in an index, and referrers. For an index, `image_id` and `manifest_digest` are its own digest. `sealed` is true if
    the receipt was read with a correct seal; a receipt of this run needs none. `by_digest` is true if it was derived
    from a receipt for another place (`located_by_digest`, `located_by_diff_id`).
    """

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
    """The canonical name of the place, which no two images share; empty in receipts of earlier versions."""
    source_digest: Digest | None = None
    """The digest of the manifest or index that the name referred to at the source."""
    form: str = ''
    parts: Sequence[Part] = ()
    platforms: PlatformChoices = PlatformChoices()
    verdict: RecordedVerdict | None = None
    brought_by: Sequence[Bringer] = ()
    """All sources from which the image was copied to this place, in order; empty in receipts of earlier versions."""
    sealed: bool = field(default=True, compare=False)
    by_digest: bool = field(default=False, compare=False)

    @property
    def destination(self) -> str:
        """The URI of the destination, for messages."""
        return f'{self.scheme}://{self.path}'

    @property
    def identity(self) -> tuple[str, str, str, tuple[tuple[str, str], ...]]:
        """A key that is equal for receipts of one image in one place."""
        if self.place:
            return self.scheme, self.place, self.reference, ()
        return self.scheme, self.path, self.reference, tuple(sorted(self.options.items()))

    @property
    def source_name(self) -> str:
        """The image's name in the registry that it was copied from; empty if the source was not a registry, or had no
        tag."""
        name = re.split(r'[?\s]', self.source.partition('://')[2])[0]  # options and filters follow the name
        named = parse_name(name)
        return name if named.host and named.tag else ''

    def at(self, path: str) -> Self:
        """Return the receipt for the same image after its destination moved to another path."""
        return replace(self, path=path)

    def located_by_digest(self, locate: Callable[[Digest], str] = str, name: str = '') -> Self:
        """Return the receipt for any place that keeps the image's manifests and blobs.

        `locate` returns the locator for a digest. A `tag` expectation says that a name refers to a manifest: the first
        is the image's own, located by `name` or else its reference. A `referrer` expectation says that a manifest can
        be found as a referrer; it is located by its subject or, if the receipt does not record that, by the manifest
        itself. Whatever else its old place had is not expected. Raises UsageError if that place does not keep manifests
        and blobs, or the receipt lacks what is needed.
        """
        if not self.keeps_manifests or self.manifest_digest is None:
            raise UsageError(f'the receipt of {self.reference} is for {self.destination}, which keeps no manifests and '
                             f'blobs by their digests: give --at={self.scheme}://…')
        from occystrap_core.verification.digest_expectations import located_by_digest  # late: only --at needs it
        return replace(self, by_digest=True, expectations=located_by_digest(
            self.expectations, name or self.reference, self.manifest_digest, locate))

    def located_by_diff_id(self, name: str = '') -> Self:
        """Return the receipt for any place that has the image's config and the tars of its layers.

        A `tag` expectation says that `name`, or else the reference, refers to the image ID; config and layers are
        located by digest, layers by diff_id. The size of a tar is unknown if it was written as a blob. Raises
        UsageError for an index.
        """
        if self.is_index:
            raise UsageError(f'the receipt of {self.reference} is for an index of several platforms, which needs a '
                             'place with manifests: a registry, a layout or an OCI archive')
        from occystrap_core.verification.digest_expectations import located_by_diff_id
        return replace(self, by_digest=True, form='tar', parts=(), expectations=located_by_diff_id(
            self.expectations, name or self.reference, self.image_id, self.diff_ids))

    def with_verdict(self, verdict: RecordedVerdict | None) -> Self:
        """Return the receipt with the result of verification."""
        return replace(self, verdict=verdict)

    def brought_also_by(self, others: Iterable[Bringer]) -> Self:
        """Return the receipt with the bringers of other sources that copied the image to the same place added."""
        return replace(self, brought_by=tuple(sorted({*self.brought_by, *others})))

    def to_json(self) -> str:
        """Return the receipt as one line of JSON, sealed; the same for the same image, destination, verdict, bringers.
        """
        document: dict[str, Any] = {
            'receipt': VERSION, 'scheme': self.scheme, 'path': self.path, 'options': dict(self.options),
            'reference': self.reference, 'source': self.source, 'image_id': self.image_id,
            'manifest_digest': self.manifest_digest, 'place': self.place, 'source_digest': self.source_digest,
            'diff_ids': list(self.diff_ids), 'form': self.form,
            'parts': [{'manifest_digest': each.manifest_digest, 'image_id': each.image_id,
                       'diff_ids': list(each.diff_ids)} for each in self.parts],
            'expectations': [expectation_to_json(each) for each in self.expectations]}
        if self.platforms.at_source:
            document['platforms'] = {name: list(each) for name, each in self.platforms._asdict().items()}
        if self.verdict:
            document['verdict'] = self.verdict._asdict()
        if self.brought_by:
            document['brought_by'] = [each._asdict() for each in self.brought_by]
        return json.dumps({**document, 'seal': seal(document)})

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Return the receipt in `text`.

        Raises InvalidReceipt if it is malformed, was changed or truncated, or is incomplete.
        """
        try:
            raw = text.encode('utf-8', 'surrogatepass') if isinstance(text, str) else text
            _require_sparse(raw)
            receipt = cls._from_document(parse_json(raw, 'it', LONGEST, STRICT))
        except KeyError as error:
            raise InvalidReceipt(f'this is not a receipt: it has no field {error}') from None
        except (ValueError, TypeError, AttributeError, RecursionError, InvalidImage) as error:
            raise InvalidReceipt(f'this is not a receipt: {error}') from None
        if gap := receipt.gap():
            raise InvalidReceipt(f'the receipt for {receipt.destination} is incomplete: {gap}')
        return receipt

    @classmethod
    def _from_document(cls, document: dict[str, Any]) -> Self:
        version = document['receipt']
        if version not in (1, VERSION) or isinstance(version, bool):
            raise InvalidReceipt(f'the receipt has version {version!r}, this program reads {VERSION} and 1')
        sealed = version == VERSION
        if sealed and document.pop('seal') != seal(document) or 'seal' in document:
            raise InvalidReceipt('the receipt was changed or damaged after it was written: its seal does not match')
        return cls(
            text_of(document['scheme']), text_of(document['path']),
            {text_of(name): text_of(given) for name, given in document['options'].items()},
            text_of(document['reference']), text_of(document['source']), Digest(document['image_id']),
            digests_of(document['diff_ids']), tuple(expectation_from_json(each) for each in document['expectations']),
            digest_or_none(document['manifest_digest']), text_of(document.get('place') or ''),
            digest_or_none(document.get('source_digest')), _form(document['form']) if sealed else '',
            tuple(Part(digest_or_none(each['manifest_digest']), Digest(each['image_id']), digests_of(each['diff_ids']))
                  for each in (document['parts'] if sealed else ())),
            PlatformChoices.of_document(document.get('platforms') if sealed else None),
            RecordedVerdict.of_document(document.get('verdict') if sealed else None),
            Bringer.all_of_document(document.get('brought_by') if sealed else None), sealed)


def _form(given: object) -> str:
    """Return the form of the layers, which determines what a receipt must expect."""
    if given not in FORMS:
        raise ValueError(f'{str(given)[:60]!r} is not a form of layers')
    return str(given)


def _require_sparse(raw: bytes) -> None:
    """Raise ValueError for JSON that consists mostly of brackets, which takes a hundred times its size in memory."""
    if raw.count(b'[') + raw.count(b'{') > _BRACKETS + len(raw) // _BYTES_PER_BRACKET:
        raise ValueError('it has more nested lists or objects than a receipt can have')


def seal(document: Mapping[str, Any]) -> Digest:
    """Return the digest of a receipt's content, regardless of its JSON formatting."""
    return Digest.of(json.dumps(document, sort_keys=True, separators=(',', ':')).encode())
