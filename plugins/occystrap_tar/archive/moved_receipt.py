"""Receipts for images that are now in another archive, or under another name."""
import os
from dataclasses import replace

from occystrap_core import Location, Receipt, UsageError
from occystrap_core.oci import blob_name


def moved(receipt: Receipt, location: Location) -> Receipt:
    """Return the receipt for the same image in an archive; raises UsageError.

    That of an archive is for the same bytes at another path, unless the location names the image. All others are for
    an OCI archive, also if the location does not say so: only that keeps manifests and blobs.
    """
    path, name = os.path.abspath(location.path), location.options['tag'] or ''
    if receipt.scheme == 'tar' and not name:
        return receipt.at(path)
    if location.given.get('format') == 'docker':
        raise UsageError(f'the receipt of {receipt.reference} is for blobs as stored, and a docker archive keeps '
                         'plain tars: give --at=tar://…?format=oci')
    located = receipt.located_by_digest(blob_name, name)
    return replace(located, scheme='tar', path=path, options={'tag': name} if name else {})
