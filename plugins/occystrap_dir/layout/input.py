"""Reading layout://: image layouts, of this and other programs."""
import os
from collections.abc import Hashable, Sequence
from functools import cached_property
from typing import NamedTuple

from occystrap_core import (
    Image, ImageIndex, ImageInput, ImageNotFound, IndexReader, InvalidImage, Location, Place, Settings,
)
from occystrap_core.files import prefix_errors, set_error_rule
from occystrap_core.oci import (
    LAYOUT_FILE, MANIFEST_CAP, ChosenEntries, Digest, IndexFile, LayoutEntries, LayoutReferrers, Offer, Reference,
    layout_offers, require_version,
)
from occystrap_dir.layout.blob_reader import LayoutStore
from occystrap_dir.layout.index_file import read_source_index
from occystrap_dir.layout.layout_images import choose_images
from occystrap_dir.layout.place import parse_place
from occystrap_dir.workspace.names import directory_name, read_document, require_directory


class _Offered(NamedTuple):
    """The images in an index, which is kept because its id identifies it."""

    source: IndexFile
    offers: Sequence[Offer[LayoutEntries]]


class LayoutInput(ImageInput):
    """Reads all images of a layout, or one: `layout://PATH[:TAG][@DIGEST]`; `?image=` may be a pattern."""

    gives_indexes = True

    def __init__(self, location: Location, settings: Settings) -> None:
        super().__init__(location, settings)
        self._place = parse_place(location.path)
        self._contents = LayoutStore(self._place.root)
        self._requested = settings.platform_choice(location.options.get('platform'))
        self._chosen = ChosenEntries(self._place.root)

    def references(self) -> Sequence[Reference]:
        """Return the chosen images; raises ImageNotFound, UsageError with the choices, InvalidImage."""
        return self._chosen.add(choose_images(self._contents, self._offers(), self._place,
                                              self.location.options['image']))

    def open(self, reference: Reference) -> Image | ImageIndex:
        """Return the image, or the requested part of an index; raises ImageNotFound, InvalidImage."""
        if reference not in self._chosen and reference not in self.references():
            raise ImageNotFound(f'{self._place.root} holds no image {reference}')
        reader = IndexReader(self._contents, reference, self.settings)
        referrers = self._referrers.of if self.location.options.get('referrers') else None
        with prefix_errors(self._place.root):
            return reader.select_listed(self._chosen[reference], self._requested, referrers)

    def place(self, reference: Reference) -> Place:
        """Return the layout, with the image's name in index.json or, without one, that in the location."""
        asked = self._place.tag or self.location.options['image'] if len(self._chosen) == 1 else ''
        given = '' if self._place.digest else asked or reference.familiar
        return Place.at(self._place.root, self._chosen.name(reference) or given)

    def present_digest(self, reference: Reference) -> Digest | None:
        """Return the digest in index.json, None for an image of several entries."""
        return self._chosen.digest(reference)

    def location_of(self, reference: Reference) -> Location:
        """Return the location of one of several images: by its name in the layout, or its digest."""
        if len(self._chosen) < 2:
            return self.location
        return self.location.with_options(image=self._chosen.option(reference))

    def content_key(self, reference: Reference) -> Hashable:
        """Return the digests of the image's entries, which are the same for all its names."""
        return self._chosen.digests(reference)

    @cached_property
    def _referrers(self) -> LayoutReferrers:
        return LayoutReferrers(self._contents.manifest, self._index().manifests, self._place.root)

    def _offers(self) -> Sequence[Offer[LayoutEntries]]:
        """Return all images, listed once for all entries of a list that name one image each."""
        index, root = self._index(), self._place.root
        return self.settings.shared.get((LayoutInput, root, id(index)), lambda: _Offered(index, layout_offers(
            index.manifests, Reference(directory_name(root)), self._contents.with_platform))).offers

    def _index(self) -> IndexFile:
        root = self._place.root
        require_directory(root)
        try:
            with set_error_rule('archive'):
                require_version(read_document(root, LAYOUT_FILE, MANIFEST_CAP, links=True), root)
            return read_source_index(root)
        except FileNotFoundError as error:
            name = os.path.basename(error.filename or '')
            other = '; it is a directory of dir://' if os.path.isfile(f'{root}/manifest.json') else ''
            raise ImageNotFound(f'{root} is not an image layout: it has no {name}{other}',
                                'archive-invalid' if name == LAYOUT_FILE else 'index-missing') from None
        except OSError as error:
            raise InvalidImage(f'{root} cannot be read: {error.strerror}') from None
