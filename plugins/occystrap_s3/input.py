"""Reading s3://: images of a layout in a bucket, of this and other programs."""
from collections.abc import Hashable, Sequence
from functools import cached_property

from occystrap_core import (
    Image, ImageIndex, ImageInput, ImageNotFound, IndexReader, InvalidImage, Location, Place as PlaceOfImage, Settings,
    UsageError,
)
from occystrap_core.files import prefix_errors
from occystrap_core.oci import (
    ChosenEntries, Digest, IndexFile, LayoutChoice, LayoutEntries, LayoutReferrers, Offer, Reference, layout_offers,
)
from occystrap_s3.layout.bucket_layout import BucketLayout
from occystrap_s3.layout.bucket_store import BucketStore
from occystrap_s3.layout.image_list import ImageList
from occystrap_s3.layout.place import Place


class BucketInput(ImageInput):
    """Reads all images of a layout in a bucket, or one; `?image=` may be a pattern."""

    gives_indexes = True

    def __init__(self, location: Location, settings: Settings) -> None:
        self._place = Place.parse(location.path)
        super().__init__(location, settings)
        self._layout = BucketLayout.at(location, settings, self._place)
        self._store = BucketStore(self._layout)
        self._requested = settings.platform_choice(location.options.get('platform'))
        self._chosen = ChosenEntries(str(self._place))

    def references(self) -> Sequence[Reference]:
        """Return the chosen images; raises ImageNotFound, UsageError with the choices, InvalidImage, ServiceError."""
        offers = self._offers()
        choice = LayoutChoice(str(self._place), self._place.name, self._place.digest, self.location.options['image'])
        return self._chosen.add(choice.of(offers, self._unnamed, lambda: offers))

    def open(self, reference: Reference) -> Image | ImageIndex:
        """Return the image, or the requested part of an index; raises ImageNotFound, InvalidImage, ServiceError."""
        if reference not in self._chosen and reference not in self.references():
            raise ImageNotFound(f'{self._place} holds no image {reference}')
        reader = IndexReader(self._store, reference, self.settings)
        referrers = self._referrers.of if self.location.options.get('referrers') else None
        with prefix_errors(str(self._place)):
            return reader.select_listed(self._chosen[reference], self._requested, referrers)

    def place(self, reference: Reference) -> PlaceOfImage:
        """Return the layout, with the image's name in it or, without one, that in the location."""
        asked = self._place.name or self.location.options['image'] if len(self._chosen) == 1 else ''
        given = '' if self._place.digest else asked or reference.familiar
        return self._layout.place_of(self._chosen.name(reference) or given)

    def present_digest(self, reference: Reference) -> Digest | None:
        """Return the digest in the record, None for an image of several entries."""
        return self._chosen.digest(reference)

    def location_of(self, reference: Reference) -> Location:
        """Return the location of one of several images: by its name in the layout, or its digest."""
        if len(self._chosen) < 2:
            return self.location
        return self.location.with_options(image=self._chosen.option(reference))

    def content_key(self, reference: Reference) -> Hashable:
        """Return the digests of the image's entries, which are the same for all its names."""
        return self._chosen.digests(reference)

    @property
    def _unnamed(self) -> Reference:
        """The name for an image without one."""
        try:
            return Reference.parse(self._place.prefix.rpartition('/')[2] or self._place.bucket)._replace(tag='')
        except (UsageError, InvalidImage):
            return Reference('untagged')

    def _offers(self) -> Sequence[Offer[LayoutEntries]]:
        """Return the one image with an exact name, else all images, found once for all entries of a list."""
        self._layout.require()
        name = self._place.name or self.location.options['image'] or ''
        record = self._layout.record_of(name) if name else None
        if record and record.descriptor:
            return layout_offers([record.descriptor], self._unnamed)
        if self._place.digest and not name:
            return ()
        return self._images.offers(self._layout, self._unnamed)

    @property
    def _images(self) -> ImageList:
        key = BucketInput, self._layout.bucket.connection, self._place.path
        return self.settings.shared.get(key, lambda: ImageList.of(self._layout))

    @cached_property
    def _referrers(self) -> LayoutReferrers:
        entries = IndexFile.listing(self._images.entries).manifests
        return LayoutReferrers(self._store.manifest, entries, str(self._place))
