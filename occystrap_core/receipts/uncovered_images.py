"""Images at a place that no receipt covers: copying everything from there would copy them unverified."""
import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing
from itertools import groupby
from typing import NamedTuple

from occystrap_core.api.image_input import ImageInput
from occystrap_core.api.schemes import InputScheme, WriterScheme
from occystrap_core.api.uri import Location
from occystrap_core.errors import OccystrapError
from occystrap_core.oci.digest import Digest
from occystrap_core.oci.named_images import UNTAGGED, parse_name
from occystrap_core.oci.reference import Reference
from occystrap_core.plugins.manager import Plugins
from occystrap_core.plugins.resolver import open_source
from occystrap_core.settings import Settings
from occystrap_core.verification.receipt import Receipt


class UncoveredImage(NamedTuple):
    """An image without a receipt, and its place; without a name, a place whose images cannot be listed."""

    destination: str
    name: str
    reason: str


def uncovered_images(plugins: Plugins, receipts: Sequence[Receipt], failed: Collection[Digest], settings: Settings,
                     ) -> Iterator[UncoveredImage]:
    """Yield what a source of the same scheme reads at the places of these receipts and no receipt covers.

    Only a place that is carried as a whole (`WriterScheme.is_whole`) is checked, unless the location named an image
    there: then only that image counts. A place that does not exist has no images. Images of receipts that have
    `failed`, by digest as `digests_of` returns it, are left out, since they were reported.
    """
    whole = [each for each in receipts if plugins.find(WriterScheme, each.scheme).is_whole]
    for (scheme, path), here in groupby(sorted(whole, key=_place), key=_place):
        group = list(here)
        if os.path.exists(path) and not any(each.by_digest and each.options.get('tag') for each in group):
            options = plugins.find(InputScheme, scheme).all_options
            place = Location.parse(f'{scheme}://-', options).with_path(path if os.path.isfile(path) else f'{path}/')
            yield from _besides(plugins, _Covered(group, failed), group[0].destination, place, settings)


def _place(receipt: Receipt) -> tuple[str, str]:
    return receipt.scheme, receipt.path


def digests_of(receipt: Receipt) -> set[Digest]:
    """Return the digests by which sources identify the image of a receipt, and the images in it."""
    return {receipt.manifest_digest or receipt.image_id, receipt.image_id, *(each.image_id for each in receipt.parts)}


def _besides(plugins: Plugins, covered: '_Covered', destination: str, place: Location, settings: Settings,
             ) -> Iterator[UncoveredImage]:
    try:
        source = open_source(plugins, place, settings)
        assert isinstance(source, ImageInput)
        with closing(source):
            for reference in source.references():
                digest = source.present_digest(reference)
                if not covered.has(reference, digest):
                    shown = str(reference) if reference != UNTAGGED else str(digest or reference)
                    yield UncoveredImage(destination, shown, 'is there without a receipt, and would be copied with '
                                         'the others: remove it, or give its receipt')
    except OccystrapError as error:
        yield UncoveredImage(destination, '', f'its images cannot be listed: {error}')


class _Covered:
    """The names and digests of the images of receipts."""

    def __init__(self, receipts: Sequence[Receipt], failed: Collection[Digest]) -> None:
        self._failed = failed
        self._names: dict[Digest, list[Reference]] = {}
        for receipt in receipts:
            written = [receipt.options.get('tag') or receipt.reference, receipt.source_name]
            names = [parse_name(name) for name in written if name]
            for digest in digests_of(receipt):
                self._names.setdefault(digest, []).extend(names)
        self._repositories = {UNTAGGED.repository, *(os.path.basename(each.path) for each in receipts)}

    def has(self, reference: Reference, digest: Digest | None) -> bool:
        """Return whether a receipt covers this image under this name, whatever the host.

        An image without a repository matches by digest and tag; an image whose receipt has no tag has no name.
        """
        names = self._names.get(digest, ()) if digest else ()
        return digest in self._failed or any(not reference.tag or not name.tag or self._fits(name, reference)
                                             for name in names)

    def _fits(self, name: Reference, reference: Reference) -> bool:
        return name.is_same_without_host(reference) or (
            reference.repository in self._repositories and reference.tag == name.tag)
