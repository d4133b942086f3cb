"""Receipts for images that are now in another registry, in another repository, or under another tag."""
from dataclasses import replace

from occystrap_core import Location, Receipt
from occystrap_core.oci import Reference


def moved(receipt: Receipt, location: Location) -> Receipt:
    """Return the receipt for the same image at another place; raises UsageError if that names no repository.

    Without a tag or digest the place has those of the receipt.
    """
    before = Reference.parse(receipt.path, with_host=True).with_default_tag()
    after = Reference.parse(location.path, with_host=True)
    if not after.tag and not after.digest:
        after = after._replace(tag=before.tag, digest=before.digest)
    name = after.tag or str(after.digest)
    expected = tuple(each._replace(locator=name) if each.locator == (before.tag or before.digest) else each
                     for each in receipt.expectations)
    return replace(receipt, path=str(after), options=dict(location.given), expectations=expected)
