"""The receipts in a destination, and its images without one, for `occystrap verify`."""
import os
import re
from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

from occystrap_core import InvalidImage, KeptReceipts, Location, OccystrapError, Place, Receipt
from occystrap_core.oci import MANIFEST_CAP, Digest, Offer, Reference, canonical, names_of, parse_name, select_offers
from occystrap_dir.directory.catalog import CATALOG, parse_catalog
from occystrap_dir.directory.manifests import CAP
from occystrap_dir.layout.index_file import read_index
from occystrap_dir.layout.old_referrers import is_referrer
from occystrap_dir.mounts.mount_files import CAP as MOUNTS_CAP, CATALOG as MOUNTS_CATALOG, MountCatalog
from occystrap_dir.workspace.names import read_document
from occystrap_dir.workspace.one_name import WrongKind
from occystrap_dir.workspace.workspace import RECEIPTS


class _Listed(NamedTuple):
    """An image in the destination's own list: its name, other names, and the digest of its entry in receipts."""

    name: str
    other_names: Iterable[str]
    digest: Digest
    is_referrer: Callable[[], bool] = lambda: False
    """Whether it belongs to another image; then it need not have a receipt."""


def kept_in_directory(location: Location) -> KeptReceipts:
    """Return the receipts of a dir://."""
    return _kept(location, 'dir', lambda root: [
        _Listed(str(entry), (entry.tag,), Digest.of(entry.canonical()))
        for entry in parse_catalog(read_document(root, CATALOG, CAP), f'{root}/{CATALOG}')])


def kept_in_layout(location: Location) -> KeptReceipts:
    """Return the receipts of a layout://PATH, or of one image in it: PATH:TAG, PATH@DIGEST, PATH?image=NAME.

    Referrers that other programs put there do not count as images without a receipt.
    """
    return _kept(location, 'layout', lambda root: [
        _Listed(min(names_of(entry)) or str(entry['digest']), (*names_of(entry), str(entry['digest'])),
                Digest.of(canonical(entry)), partial(is_referrer, root, entry))
        for entry in read_index(root).entries])


def kept_in_mounts(location: Location) -> KeptReceipts:
    """Return the receipts of a mounts://."""
    return _kept(location, 'mounts', lambda root: [
        _Listed(name, (Reference.parse(name).tag or '',), Digest.of(image.canonical()))
        for name, image in MountCatalog.parse(read_document(root, MOUNTS_CATALOG, MOUNTS_CAP),
                                              f'{root}/{MOUNTS_CATALOG}').images.items()])


def kept_in_bundle(location: Location) -> KeptReceipts:
    """Return the receipt of an oci://."""
    return _kept(location, 'oci', lambda root: [])


def _kept(location: Location, scheme: str, listing: Callable[[str], list[_Listed]]) -> KeptReceipts:
    """Return the receipts of the images that a location names; raises UsageError, ImageNotFound for an unknown one."""
    root, name = _root_and_name(location.path)
    receipts, unproved = _read_receipts(root, scheme)
    proved = {each.digest for receipt in receipts for each in receipt.expectations}
    try:
        listed = listing(root)
    except FileNotFoundError:
        listed = []  # the verification of each receipt reports that
    except (InvalidImage, WrongKind, OSError) as error:
        unproved.append((root, f'its list of images cannot be read: {error}'))
        listed = []
    unproved += [(each.name, 'the destination has no receipt of this image: copy it again, or give a receipt file')
                 for each in listed if each.digest not in proved and name in ('', each.name, *each.other_names)
                 and (name or not each.is_referrer())]
    moved_here = Place.absolute(root)
    kept = KeptReceipts([receipt.at(moved_here) for receipt in receipts if _is_named(receipt, name)], unproved)
    image = location.options.get('image')
    return _selected(kept, image, root) if image else kept


def _selected(kept: KeptReceipts, image: str, root: str) -> KeptReceipts:
    """Return the listed images that a name or a pattern selects, by the rules of sources."""
    offers: list[Offer[Receipt | tuple[str, str]]] = [_offer(each) for each in kept.receipts]
    offers += [Offer(each, {each[0]: parse_name(each[0])}) for each in kept.unproved]
    chosen = [each for each, _ in select_offers(offers, image, root)]
    return KeptReceipts([each for each in chosen if isinstance(each, Receipt)],
                        [each for each in chosen if not isinstance(each, Receipt)])


def _offer(receipt: Receipt) -> Offer[Receipt | tuple[str, str]]:
    name = receipt.options.get('tag') or receipt.reference
    return Offer(receipt, {name: parse_name(name)}, (receipt.manifest_digest or receipt.image_id).hex)


def _read_receipts(root: str, scheme: str) -> tuple[list[Receipt], list[tuple[str, str]]]:
    receipts: list[Receipt] = []
    unproved: list[tuple[str, str]] = []
    try:
        names = sorted(name for name in os.listdir(f'{root}/{RECEIPTS}') if name.endswith('.json'))
    except (FileNotFoundError, NotADirectoryError):
        names = []
    for name in names:
        try:
            receipt = Receipt.from_json(read_document(root, f'{RECEIPTS}/{name}', MANIFEST_CAP * 16))
            if receipt.scheme != scheme:  # its verifier would check another place
                raise InvalidImage(f'it is for {receipt.scheme}://, and this is {scheme}://')
            receipts.append(receipt)
        except (OccystrapError, OSError) as error:
            unproved.append((f'{RECEIPTS}/{name}', str(error)))
    return receipts, unproved


def _root_and_name(path: str) -> tuple[str, str]:
    """Split a path that is not a directory into a directory and the name of an image after a colon or an @."""
    named = re.fullmatch(r'(.*?)(?::([^/:@]+))?(?:@([^/@]+))?', path, re.DOTALL)
    if os.path.isdir(path) or not named:
        return path, ''
    return named[1], named[3] or named[2] or ''


def _is_named(receipt: Receipt, name: str) -> bool:
    tag = receipt.options.get('tag') or Reference.parse(receipt.reference).tag
    return name in ('', tag, receipt.reference, str(receipt.manifest_digest))
