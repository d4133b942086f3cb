"""What a receipt expects: one item at the destination, with its digest and how the core knows of it."""
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from occystrap_core.errors import InvalidReceipt
from occystrap_core.oci.digest import Digest

if TYPE_CHECKING:
    from occystrap_core.oci.index_file import Entry


class Evidence(Enum):
    """How the core knows what was written: it saw the bytes pass, or relies on a descriptor.

    BASE: it was left out, since by the receipts of --since the place that the delta goes to has it.
    SOURCE: nothing was written; it is what the source has now.
    """

    STREAMED = 'streamed'
    DESCRIPTOR = 'descriptor'
    BASE = 'base'
    SOURCE = 'source'


UNKNOWN_SIZE = -1
"""The size of an item of which the digest alone is known, so that only hashing proves it; never in a receipt."""


class Expectation(NamedTuple):
    """One item that must be at the destination: its kind, where it is, its digest, its size in bytes (UNKNOWN_SIZE if
    the digest alone is known).

    `covers` are the digests of what the item contains in another form: for a compressed blob the diff_id of its layer,
    for a tree the image ID and the diff_ids of the layers in it, for an entry of index.json the digest of its manifest.
    """

    kind: str
    locator: str
    digest: Digest
    size: int
    evidence: Evidence = Evidence.STREAMED
    covers: Sequence[Digest] = ()

    @classmethod
    def of_entry(cls, entry: 'Entry') -> Self:
        """Return what is expected of index.json: this entry, located by its name or digest; others may differ."""
        from occystrap_core.oci.index_file import canonical, names_of  # late, as most destinations have no such file
        name, = names_of(entry)
        content, manifest = canonical(entry), Digest(entry['digest'])
        return cls('entry', name or manifest, Digest.of(content), len(content), covers=(manifest,))

    def __str__(self) -> str:
        return f'{self.kind} {self.locator}'

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
    """Return a text that can be a name; one with a NUL or half a surrogate pair is refused."""
    if not isinstance(given, str) or '\0' in given:
        raise ValueError(f'{str(given)[:60]!r} is not a text')
    return given


def digest_or_none(given: object) -> Digest | None:
    """Return a digest from JSON, None for null; raises InvalidImage."""
    return None if given is None else Digest(given)


def digests_of(given: Sequence[object]) -> tuple[Digest, ...]:
    """Return a list of digests; raises InvalidImage."""
    return tuple(Digest(each) for each in given)
