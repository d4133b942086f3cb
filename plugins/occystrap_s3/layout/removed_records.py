"""Removing images from a layout, and recording their bringers: records are replaced only if they are unchanged."""
from collections.abc import Sequence

from occystrap_core import Location, OccystrapError, OutputError, Receipt, ServiceError, Settings
from occystrap_core.oci import IndexFile, first_names
from occystrap_s3.bucket.bucket import NoConditions, unchanged
from occystrap_s3.layout.bucket_layout import BucketLayout, Record
from occystrap_s3.layout.keys import expected_key
from occystrap_s3.layout.place import Place
from occystrap_s3.options import CONNECTION

_GONE = IndexFile.empty().to_json()


def remove(receipts: Sequence[Receipt], staying: Sequence[Receipt], settings: Settings, dry_run: bool) -> list[str]:
    """Remove images that these receipts prove; return for each the reason why it stays, empty if it was removed.

    A record for another image stays. A removed image leaves an empty record, also if its record is gone; that is
    written only if nothing has changed since it was read. Blobs stay, since other runs may be about to rely on them.
    """
    return settings.in_parallel(lambda each: _why_stays(each, settings, dry_run), receipts)


def note_bringers(receipts: Sequence[Receipt], settings: Settings, withdrawn: bool) -> None:
    """Add the bringers of these receipts to the kept receipts of the same images in layouts, or remove them.

    Raises OutputError for the first that failed, when all others are done.
    """
    reasons = settings.in_parallel(lambda each: _why_not_noted(each, settings, withdrawn), receipts)
    if failed := [*filter(None, reasons)]:
        raise OutputError(failed[0])


def _why_not_noted(receipt: Receipt, settings: Settings, withdrawn: bool) -> str:
    layout = _layout(receipt, settings)
    try:
        record = layout.record(_key(receipt))
        if record and _is_of(receipt, record):
            layout.note_bringers(record, receipt, withdrawn)
    except OccystrapError as error:
        return str(error)
    return ''


def _why_stays(receipt: Receipt, settings: Settings, dry_run: bool) -> str:
    if not receipt.of_kind('entry'):
        return f'{receipt.reference}: its receipt names no record'
    layout, key = _layout(receipt, settings), _key(receipt)
    try:
        record = layout.record(key)
        if record and not record.entry:
            return ''
        if record and not _is_of(receipt, record):
            return f'{layout}/{key} is of another image than was written'
        if record and (others := _later_bringers(layout, record, receipt)):
            return f'{first_names(others)} has copied it meanwhile'
        if not dry_run:
            layout.bucket.put(layout.key(key), _GONE, **unchanged(record.version if record else ''))
    except NoConditions as error:
        return f'{error}, so that nothing can be removed while other runs may write'
    except OccystrapError as error:
        return str(error)
    return ''


def _later_bringers(layout: BucketLayout, record: Record, receipt: Receipt) -> list[str]:
    """Return the sources that have brought an image since the receipts were read that show whether it may go."""
    try:
        later = {*layout.receipt(record).brought_by} - {*receipt.brought_by}
    except ServiceError:
        raise
    except OccystrapError:  # there is no readable receipt, which would name another source
        return []
    return sorted(each.in_list or each.source for each in later)


def _is_of(receipt: Receipt, record: Record) -> bool:
    """Return whether a record is the one that the receipt expects."""
    entry = receipt.of_kind('entry')[0]
    return record.listed.find(entry.locator, entry.digest)[0] is not None


def _key(receipt: Receipt) -> str:
    return expected_key(receipt.of_kind('entry')[0])


def _layout(receipt: Receipt, settings: Settings) -> BucketLayout:
    options = {each.name: receipt.options.get(each.name) for each in CONNECTION}
    return BucketLayout.at(Location('s3', receipt.path, options, {}), settings, Place.of_receipt(receipt))
