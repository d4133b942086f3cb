"""Receipts for images that are now in another registry, in another repository, or under another tag."""
from collections.abc import Iterator
from dataclasses import replace

from occystrap_core import Expectation, Location, Receipt
from occystrap_core.oci import Reference


def moved(receipt: Receipt, location: Location) -> Receipt:
    """Return the receipt for the same image at another place; raises UsageError if that names no repository, or as
    `Receipt.located_by_digest` does.

    Without a tag or digest the place has those of the receipt.
    """
    after = Reference.parse(location.path, with_host=True)
    if not after.tag and not after.digest:
        before = Reference.parse(receipt.reference)
        digest = None if before.tag else before.digest or receipt.manifest_digest
        after = after._replace(tag=before.tag, digest=digest)
    located = receipt.located_by_digest(name=after.tag or str(after.digest))
    return replace(located, scheme='registry', path=str(after), options=dict(location.given),
                   expectations=tuple(_in_registry(located)))


def _in_registry(located: Receipt) -> Iterator[Expectation]:
    """Yield the expectations for a registry, where a manifest with a tag is read by that tag."""
    documents = {each.digest: each for each in located.of_kind('index', 'manifest')}
    tags = located.of_kind('tag')
    yield from (documents[each.digest]._replace(locator=each.locator) for each in tags)
    tagged = {each.digest for each in tags}
    for each in located.expectations:
        if each.kind != 'tag' and not (each.kind in ('index', 'manifest') and each.digest in tagged):
            yield each
