"""The receipts in a bucket, and its images without one, for `occystrap verify`."""
from contextlib import closing

from occystrap_core import KeptReceipts, Location, OccystrapError, Receipt, ServiceError, Settings, UsageError
from occystrap_core.oci import Digest, Entry, Offer, names_of, parse_name, select_offers
from occystrap_s3.layout.bucket_layout import BucketLayout, Record
from occystrap_s3.layout.image_list import ImageList
from occystrap_s3.layout.place import Place
from occystrap_s3.options import CONNECTION

_Found = Receipt | tuple[str, str]
"""The receipt of an image, or its name and the reason why there is none."""


def kept_in_bucket(location: Location) -> KeptReceipts:
    """Return the receipts of a layout in a bucket, or of one image in it; raises UsageError, ServiceError."""
    place, image = Place.parse(location.path), location.options.get('image') or location.options.get('tag') or ''
    if place.name and image:
        raise UsageError(f'{place}: {place.name} and {image} both choose an image: leave out one')
    settings = Settings()
    options = {each.name: location.options.get(each.name) for each in CONNECTION}
    with closing(settings.shared):
        layout = BucketLayout.at(Location('s3', place.path, options, {}), settings, place)
        layout.require()
        found = _chosen(layout, place.name or image)
    if place.digest:
        found = [each for each in found if isinstance(each, Receipt) and each.manifest_digest == place.digest]
    return KeptReceipts([each for each in found if isinstance(each, Receipt)],
                        [each for each in found if not isinstance(each, Receipt)])


def _chosen(layout: BucketLayout, name: str) -> list[_Found]:
    """Return what is known about the image with an exact name, else about the selected ones, or about all."""
    record = layout.record_of(name) if name else None
    if record:
        return [_receipt(layout, record)]
    images = ImageList.of(layout)
    found = layout.bucket.settings.in_parallel(lambda each: _offer(layout, each[1]), images.records)
    found += [_offered((_name(entry), _why(layout)), entry) for entry in images.others]
    found += layout.bucket.settings.in_parallel(lambda key: _lost(layout, key), layout.lost_receipts())
    return [each for each, _ in select_offers(found, name, str(layout))] if name else [each.image for each in found]


def _offer(layout: BucketLayout, record: Record) -> Offer[_Found]:
    assert record.entry
    return _offered(_receipt(layout, record), record.entry)


def _lost(layout: BucketLayout, key: str) -> Offer[_Found]:
    """Return the receipt of an image whose record is gone, which its verification will report."""
    try:
        receipt = layout.lost_receipt(key)
    except ServiceError:
        raise
    except OccystrapError as error:
        return Offer((key, f'the record of an image is gone, and its receipt cannot be read: {error}'), {}, '')
    name = receipt.of_kind('entry')[0].locator
    return Offer(receipt, {name: parse_name(name)}, (receipt.manifest_digest or receipt.image_id).hex)


def _offered(found: _Found, entry: Entry) -> Offer[_Found]:
    return Offer(found, {_name(entry): parse_name(_name(entry))}, Digest(entry['digest']).hex)


def _receipt(layout: BucketLayout, record: Record) -> _Found:
    assert record.entry
    try:
        return layout.receipt(record)
    except ServiceError:
        raise
    except OccystrapError:
        return _name(record.entry), _why(layout)


def _why(layout: BucketLayout) -> str:
    return f'{layout} has no receipt of this image: copy it again, or give a receipt file'


def _name(entry: Entry) -> str:
    return min(names_of(entry)) or str(entry['digest'])
