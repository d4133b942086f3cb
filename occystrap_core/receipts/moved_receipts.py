"""Receipts for images that have moved: carried to another machine, or copied to another registry."""
import os
from collections.abc import Iterable, Sequence
from dataclasses import replace

from occystrap_core.api.place import Place
from occystrap_core.api.schemes import WriterScheme, load
from occystrap_core.destinations.destination_fields import filled_in, has_fields
from occystrap_core.errors import UsageError
from occystrap_core.oci.patterns import first_names
from occystrap_core.oci.reference import Reference
from occystrap_core.plugins.manager import Plugins
from occystrap_core.plugins.resolver import destination_location
from occystrap_core.verification.receipt import Receipt


def receipts_at(plugins: Plugins, receipts: Iterable[Receipt], place: str) -> list[Receipt]:
    """Return receipts for the same images at another place: of the same scheme, or one that keeps the same blobs or
    tars.

    `place` is a URI, whose fields, such as `{repository}`, are filled in from each receipt. Raises UsageError.
    """
    written = destination_location(plugins, place)
    scheme = plugins.find(WriterScheme, written.scheme)
    moved = []
    for receipt in receipts:
        if receipt.scheme != written.scheme and not scheme.moved:
            raise UsageError(f'the receipt of {receipt.reference} is for {receipt.scheme}://, and {written.scheme}:// '
                             f'keeps neither blobs nor tars of layers: give --at={_where(plugins, receipt)}')
        location = filled_in(written, Reference.parse(receipt.reference))
        if scheme.moved:
            moved.append(load(scheme.moved)(receipt, location))
        else:
            moved.append(replace(receipt, path=Place.absolute(location.path)))
    return moved


def one_place_note(plugins: Plugins, receipts: Sequence[Receipt], place: str) -> list[str]:
    """Return a note if images of several repositories are looked for where one repository is; else nothing."""
    written = destination_location(plugins, place)
    repositories = {Reference.parse(each.reference).name for each in receipts}
    if len(repositories) == 1 or has_fields(written) or plugins.find(WriterScheme, written.scheme).many.accepted:
        return []
    return [f'{len(receipts)} images of {len(repositories)} repositories are looked for in one place, {written}: add '
            '{repository}']


def _where(plugins: Plugins, receipt: Receipt) -> str:
    """Return the schemes at whose places a receipt can be checked."""
    others = [each.name for _, each in plugins.declared(WriterScheme) if each.moved] if receipt.keeps_manifests else []
    return ' or '.join(f'{name}://…' for name in dict.fromkeys([receipt.scheme, *others]))


def receipts_beside(file: str, receipts: Iterable[Receipt]) -> list[Receipt]:
    """Return receipts for images that lie beside the receipts' file, where there is something of the same name.

    For each local destination, the last parts of its path are looked up beside the file.
    """
    directory = os.path.dirname(Place.absolute(file))
    return [_beside(directory, receipt) for receipt in receipts]


def unchecked_note(written: Iterable[Receipt], checked: Iterable[Receipt]) -> list[str]:
    """Return a note if images that lie beside the receipts' file were checked, and not those where they were written,
    which are there as well; else nothing."""
    left = list(dict.fromkeys(one.destination for one, other in zip(written, checked, strict=True)
                              if one.path != other.path and os.path.lexists(one.path) and not _is_same(one, other)))
    return [f'not checked, though it is there: {first_names(left)}, where the receipts say that the images were '
            'written; to check it, give --at'] if left else []


def _is_same(one: Receipt, other: Receipt) -> bool:
    try:
        return os.path.samefile(one.path, other.path)
    except OSError:
        return False


def _beside(directory: str, receipt: Receipt) -> Receipt:
    if not os.path.isabs(receipt.path):
        return receipt
    parts = receipt.path.strip('/').split('/')
    for count in range(len(parts), 0, -1):
        path = os.path.join(directory, *parts[-count:])
        if os.path.lexists(path):
            return replace(receipt, path=path)
    return receipt
