"""Receipts for images that are now in another archive, or under another name."""
import os
import stat
from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache

from occystrap_core import InvalidImage, Location, Place, Receipt
from occystrap_core.oci import INDEX_FILE, blob_name
from occystrap_tar.archive.members import MANIFEST, Archive


def moved(receipt: Receipt, location: Location) -> Receipt:
    """Return the receipt for the same image in an archive; raises UsageError.

    A receipt for an archive holds for the same bytes at another path, unless the location names the image or its
    format, or the archive is a delta, whose receipt must also hold where its images are whole.
    """
    path, name = Place.absolute(location.path), location.options['tag'] or ''
    format_there = location.given.get('format') or _format_at(path, receipt)
    if receipt.scheme == 'tar' and not name and receipt.options.get('format', 'docker') == format_there and (
            not receipt.left_out):
        return receipt.at(path)
    located = (receipt.located_by_diff_id(name) if format_there == 'docker' else
               receipt.located_by_digest(blob_name, name))
    return replace(located, scheme='tar', path=path, options={'tag': name} if name else {})


def _format_at(path: str, receipt: Receipt) -> str:
    """Return the format of an archive; if it cannot be read, the format for which the receipt can be."""
    stored = receipt.keeps_manifests
    with suppress(OSError, InvalidImage):
        found = os.stat(path)
        names = _members(path, found.st_mtime_ns, found.st_size) if stat.S_ISREG(found.st_mode) else ()
        stored = stored and INDEX_FILE in names or MANIFEST not in names and INDEX_FILE in names
    return 'oci' if stored else 'docker'


@lru_cache(maxsize=4)
def _members(path: str, changed: int, size: int) -> Collection[str]:
    """Return the names in an archive, read once for all receipts; raises OSError, InvalidImage."""
    return frozenset(Archive(path).counts)
