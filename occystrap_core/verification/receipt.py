"""Receipts: what a writer meant to write, for verifiers in this or another process.

A receipt is complete: it covers the config, the manifest if the destination keeps one, and every layer, also of each
image in an index. It has the digest of its own content, which reveals damage, but not an attacker.
"""
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Self

from occystrap_core.errors import InvalidImage, InvalidReceipt, UsageError
from occystrap_core.oci.digest import Digest
from occystrap_core.oci.documents import parse_json
from occystrap_core.oci.field_names import STRICT
from occystrap_core.oci.layout import blob_name
from occystrap_core.oci.named_images import parse_name
from occystrap_core.verification.expectation import (
    Evidence, Expectation, Part, digest_or_none, digests_of, expectation_from_json, expectation_to_json, text_of,
)
from occystrap_core.verification.provenance import Bringer, PlatformChoices, RecordedVerdict
from occystrap_core.verification.seal import LONGEST, require_sparse, seal

VERSION = 2
"""Version 1 had no seal and no mapping of blobs to layers; it can be read, and is reported as unsealed."""

MERGED = 'merged'
"""The form of an image whose layers went into one tree, which is expected instead of them."""
FORMS = ('stored', 'tar', MERGED)
_DOCUMENTS = ('index', 'manifest', 'config')


class KeptReceipts(NamedTuple):
    """The receipts that a destination keeps of its images, and the names of images without one, each with the reason.
    """

    receipts: 'Sequence[Receipt]'
    unproved: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Receipt:
    """All expectations of one written image. `scheme`, `path` and `options` are the destination, without secrets.

    `form` is that of its layers: `stored`, with the manifest, `tar`, or `merged` into one tree. `parts` are the images
    in an index, and referrers. For an index `image_id` and `manifest_digest` are its own digest. `sealed` is true if
    the receipt was read with a correct seal; a receipt of this run needs none. `by_digest` is true if it was made from
    a receipt for another place (`located_by_digest`, `located_by_diff_id`).
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
    """The canonical name of the place, where two images cannot be; empty in receipts of earlier versions."""
    source_digest: Digest | None = None
    """The digest of the manifest or index that the name referred to at the source."""
    form: str = ''
    parts: Sequence[Part] = ()
    platforms: PlatformChoices = PlatformChoices()
    verdict: RecordedVerdict | None = None
    brought_by: Sequence[Bringer] = ()
    """All sources that the image was copied to this place from, in order; empty in receipts of earlier versions."""
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
        """The image's name in the registry that it was copied from; empty if the source was none, or had no tag."""
        name = re.split(r'[?\s]', self.source.partition('://')[2])[0]  # options and filters follow
        named = parse_name(name)
        return name if named.host and named.tag else ''

    @property
    def evidence(self) -> Evidence:
        """The weakest evidence among the expectations."""
        return max((each.evidence for each in self.expectations), key=[*Evidence].index, default=Evidence.STREAMED)

    @property
    def left_out(self) -> list[Expectation]:
        """What a delta leaves out: the place that it goes to must have it."""
        return [each for each in self.expectations if each.evidence is Evidence.BASE]

    @property
    def is_index(self) -> bool:
        """Whether the receipt is of an index."""
        return self.manifest_digest == self.image_id

    @property
    def keeps_manifests(self) -> bool:
        """Whether the destination has the image's manifest, and the blobs that it lists."""
        return self.form == 'stored' or not self.form and any(
            each.digest == self.manifest_digest for each in self.of_kind('manifest', 'index'))

    def of_kind(self, *kinds: str) -> list[Expectation]:
        """Return the expectations of these kinds."""
        return [expectation for expectation in self.expectations if expectation.kind in kinds]

    def all_parts(self) -> list[Part]:
        """Return each image of the receipt; that includes its own unless it is an index."""
        own = [] if self.is_index else [Part(self.manifest_digest, self.image_id, self.diff_ids)]
        return [*own, *self.parts]

    def gap(self) -> str:
        """Return in words what the receipt should expect and does not; empty if it is complete."""
        if not self.expectations:
            return 'it expects nothing'
        known = set(self._covered())
        lacking = [f'{what} {digest}' for what, digest in self._required() if (what, digest) not in known]
        if lacking:
            return f'it does not expect {", ".join(lacking[:3])}'
        return self._gap_of_merged() or self._gap_of_blobs() or self._gap_of_parts() or self._gap_of_old()

    def _covered(self) -> Iterator[tuple[str, Digest | None]]:
        """Yield each expected digest, and those it covers: a blob its layer, a tree or a list its image."""
        for each in self.expectations:
            yield each.kind, each.digest
            if each.kind == 'layer':
                yield from (('layer', digest) for digest in each.covers)
            elif each.covers and each.kind != 'entry':
                yield 'config', each.covers[0]
                yield from (('layer', digest) for digest in each.covers[1:] if self.form == MERGED)

    def _required(self) -> Iterator[tuple[str, Digest | None]]:
        stored = self.form == 'stored'
        if self.is_index and self.manifest_digest:
            yield 'index', self.manifest_digest
        for part in self.all_parts() if self.form else ():
            yield 'config', part.image_id
            if stored:
                yield 'manifest', part.manifest_digest
            yield from (('layer', each) for each in part.diff_ids)

    def _gap_of_blobs(self) -> str:
        """Return what is missing if a layout is expected to have a blob elsewhere than its readers look for it."""
        blobs = self.of_kind(*_DOCUMENTS, 'layer') if self.of_kind('entry') else ()
        elsewhere = next((each for each in blobs if each.locator != blob_name(each.digest)), None)
        return f'it does not expect {blob_name(elsewhere.digest)}, but {elsewhere}' if elsewhere else ''

    def _gap_of_merged(self) -> str:
        """Return what is missing if the tree does not cover the image that the receipt is of."""
        whole = [self.image_id, *self.diff_ids]
        other = [each for each in self.expectations if self.image_id in each.covers and list(each.covers) != whole]
        return f'{other[0]} was made from other layers' if other else ''

    def _gap_of_parts(self) -> str:
        """Return what is missing if an index has no parts although manifests are expected."""
        manifests = self.of_kind('manifest') if self.is_index and not self.parts else ()
        return f'it does not say which image {manifests[0]} belongs to' if manifests else ''

    def _gap_of_old(self) -> str:
        """Return what is missing in a receipt of version 1, as far as it can be determined."""
        if self.form or self.is_index or self.of_kind('files'):
            return ''
        layers = {each.digest for each in self.of_kind('layer')}
        known = {each.digest for each in self.expectations}
        if self.image_id not in known:
            return f'it does not expect config {self.image_id}'
        if any(each in layers for each in self.diff_ids):
            lacking = [each for each in self.diff_ids if each not in layers]
            return f'it does not expect layer {lacking[0]}' if lacking else ''
        lacking_number = len(set(self.diff_ids)) - len(layers)
        return f'{lacking_number} layers are missing' if lacking_number > 0 else ''

    def at(self, path: str) -> Self:
        """Return the receipt for the same image after its destination moved to another path."""
        return replace(self, path=path)

    def located_by_digest(self, locate: Callable[[Digest], str] = str, name: str = '') -> Self:
        """Return the receipt for any place that keeps the image's manifests and blobs.

        `locate` returns where a digest is. `tag` expectations say that a name refers to a manifest: the first is the
        image's own, located by `name` or else its reference. `referrer` ones say that a manifest can be found as a
        referrer; they are located by its subject or, where the receipt does not say it, by the manifest itself. What
        else its old place had is not expected. Raises UsageError if that place does not keep manifests and blobs, or
        the receipt lacks what is needed.
        """
        if not self.keeps_manifests or self.manifest_digest is None:
            raise UsageError(f'the receipt of {self.reference} is for {self.destination}, which keeps no manifests and '
                             f'blobs by their digests: give --at={self.scheme}://…')
        from occystrap_core.verification.digest_expectations import located_by_digest  # late, as --at needs it
        return replace(self, by_digest=True, expectations=located_by_digest(
            self.expectations, name or self.reference, self.manifest_digest, locate))

    def located_by_diff_id(self, name: str = '') -> Self:
        """Return the receipt for any place that has the image's config and the tars of its layers.

        A `tag` expectation says that `name`, or else the reference, refers to the image ID; config and layers are
        located by their digests, those of layers being diff_ids. The size of a tar is unknown if it was written as a
        blob. Raises UsageError for an index.
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
        """Return the receipt of an image that other sources copied to the same place."""
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
            require_sparse(raw)
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
        if sealed and document.pop('seal') != seal(document):
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
