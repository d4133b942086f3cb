"""Receipts for images that are now in another layout, or under another name."""
from dataclasses import replace

from occystrap_core import Location, Receipt
from occystrap_core.oci import blob_name
from occystrap_dir.layout.place import with_tag_as_option
from occystrap_dir.layout.publication import EXPECTED_LAYOUT


def moved(receipt: Receipt, location: Location) -> Receipt:
    """Return the receipt for the same image in a layout; raises UsageError.

    A receipt for a layout holds for the same bytes at another path, unless the location names the image, or the layout
    is a delta, whose receipt must also hold where its images are whole.
    """
    there = with_tag_as_option(location)
    name = there.options['tag'] or ''
    if receipt.scheme == 'layout' and not name and not receipt.left_out:
        return receipt.at(there.path)
    located = receipt.located_by_digest(blob_name, name)
    return replace(located, scheme='layout', path=there.path, options={'tag': name} if name else {},
                   expectations=(EXPECTED_LAYOUT, *located.expectations))
