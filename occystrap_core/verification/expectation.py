"""What a receipt expects: one item at the destination, with its digest and how the core knows of it."""
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple, Self

from occystrap_core.errors import InvalidReceipt
from occystrap_core.oci.digest import Digest
from occystrap_core.oci.layout import Entry, blob_name, canonical, names_of


class Evidence(Enum):
    """How the core knows what was written: it saw the bytes, or relies on a descriptor.

    BASE: it was left out, since receipts of --since prove that the place for which the delta is made has it. SOURCE:
    nothing was written; the source has it now.
    """

    STREAMED = 'streamed'
    DESCRIPTOR = 'descriptor'
    BASE = 'base'
    SOURCE = 'source'


UNKNOWN_SIZE = -1
"""The size of an item of which only the digest is known, so that only hashing proves it; never in a receipt."""
MERGED = 'merged'
"""The form of an image whose layers were merged into one tree, which is expected instead of the layers."""
FORMS = ('stored', 'tar', MERGED)
_DOCUMENTS = ('index', 'manifest', 'config')


class Expectation(NamedTuple):
    """One item that must be at the destination: its kind, its locator, its digest, and its size in bytes (UNKNOWN_SIZE
    if only the digest is known).

    `covers` are the digests of what the item contains in another form: for a compressed blob the diff_id of its layer,
    for a tree the image ID and the diff_ids of its layers, for an entry of index.json the digest of its manifest.
    """

    kind: str
    locator: str
    digest: Digest
    size: int
    evidence: Evidence = Evidence.STREAMED
    covers: Sequence[Digest] = ()

    @classmethod
    def of_entry(cls, entry: Entry) -> Self:
        """Return what is expected of index.json: this entry, located by its name or digest; others may differ."""
        name, = names_of(entry)
        content, manifest = canonical(entry), Digest(entry['digest'])
        return cls('entry', name or manifest, Digest.of(content), len(content), covers=(manifest,))

    def __str__(self) -> str:
        return f'{self.kind} {self.locator}'.rstrip()

    @property
    def has_unknown_size(self) -> bool:
        """Whether only the digest is known."""
        return self.size == UNKNOWN_SIZE


class Part(NamedTuple):
    """One image or artifact of a receipt: a single one, one in an index, or a referrer."""

    manifest_digest: Digest | None
    image_id: Digest
    diff_ids: Sequence[Digest]


def expectation_to_json(expectation: Expectation) -> dict[str, Any]:
    """Return an expectation as it is in a receipt."""
    document = {'kind': expectation.kind, 'locator': expectation.locator, 'digest': expectation.digest,
                'size': expectation.size, 'evidence': expectation.evidence.value}
    return {**document, 'covers': list(expectation.covers)} if expectation.covers else document


def expectation_from_json(document: Mapping[str, Any]) -> Expectation:
    """Return the expectation in a receipt; raises InvalidReceipt, ValueError, KeyError if it is malformed."""
    size = document['size']
    if not isinstance(size, int) or isinstance(size, bool) or size < 0:
        raise InvalidReceipt(f'the receipt has an invalid size: {str(size)[:40]}')
    return Expectation(text_of(document['kind']), text_of(document['locator']), Digest(document['digest']), size,
                       Evidence(document['evidence']), digests_of(document.get('covers', ())))


def text_of(given: object) -> str:
    """Return `given`; raises ValueError unless it is a text without NUL."""
    if not isinstance(given, str) or '\0' in given:
        raise ValueError(f'{str(given)[:60]!r} is not a text')
    return given


def digest_or_none(given: object) -> Digest | None:
    """Return a digest from JSON, None for null; raises InvalidImage."""
    return None if given is None else Digest(given)


def digests_of(given: Sequence[object]) -> tuple[Digest, ...]:
    """Return a list of digests; raises InvalidImage."""
    return tuple(Digest(each) for each in given)


class Expected:
    """All that is expected of one image; the base of receipts, which must be enough to prove it."""

    image_id: Digest
    diff_ids: Sequence[Digest]
    expectations: Sequence[Expectation]
    manifest_digest: Digest | None
    form: str
    parts: Sequence[Part]

    @property
    def evidence(self) -> Evidence:
        """The weakest evidence among the expectations."""
        return max((each.evidence for each in self.expectations), key=[*Evidence].index, default=Evidence.STREAMED)

    @property
    def left_out(self) -> list[Expectation]:
        """What a delta leaves out: the place for which it is made must have it."""
        return [each for each in self.expectations if each.evidence is Evidence.BASE]

    @property
    def is_index(self) -> bool:
        """Whether the receipt is of an index."""
        return self.manifest_digest == self.image_id

    @property
    def keeps_manifests(self) -> bool:
        """Whether the destination has the image's manifest and the blobs that it lists."""
        return self.form == 'stored' or not self.form and any(
            each.digest == self.manifest_digest for each in self.of_kind('manifest', 'index'))

    def of_kind(self, *kinds: str) -> list[Expectation]:
        """Return the expectations of these kinds."""
        return [expectation for expectation in self.expectations if expectation.kind in kinds]

    def all_parts(self) -> list[Part]:
        """Return each image of the receipt; that includes its own unless it is an index.

        A part has `manifest_digest`, None if the destination keeps no manifests, `image_id`, and `diff_ids`.
        """
        own = [] if self.is_index else [Part(self.manifest_digest, self.image_id, self.diff_ids)]
        return [*own, *self.parts]

    def gap(self) -> str:
        """Return in words which necessary expectation the receipt lacks; empty if it is complete."""
        if not self.expectations:
            return 'it expects nothing'
        known = set(self._covered())
        lacking = [f'{what} {digest}' for what, digest in self._required() if (what, digest) not in known]
        if lacking:
            return f'it does not expect {", ".join(lacking[:3])}'
        return self._gap_of_merged() or self._gap_of_blobs() or self._gap_of_parts() or self._gap_of_old()

    def _covered(self) -> Iterator[tuple[str, Digest | None]]:
        """Yield each expected digest and those that it covers: a blob its layer, a tree or a list its image."""
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
        """Return what is missing if a layout's blobs are expected in places where its readers do not look for them."""
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
