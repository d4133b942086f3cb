"""Receipts for images that are now in another bucket, at another prefix, or under another name."""
from dataclasses import replace

from occystrap_core import Location, Receipt
from occystrap_core.oci import blob_name
from occystrap_s3.layout.place import with_name_as_option


def moved(receipt: Receipt, location: Location) -> Receipt:
    """Return the receipt for the same image in a layout in a bucket; raises UsageError.

    A receipt for such a layout holds for the same objects at another place, unless the location names the image.
    """
    there = with_name_as_option(location)
    name = there.options['tag'] or ''
    connection = {key: value for key, value in there.given.items() if key != 'tag'}
    if receipt.scheme == 's3' and not name:
        named = {'tag': receipt.options['tag']} if 'tag' in receipt.options else {}
        return replace(receipt.at(there.path), options={**connection, **named})
    located = receipt.located_by_digest(blob_name, name)
    return replace(located, scheme='s3', path=there.path, options={**connection, **({'tag': name} if name else {})})
