"""The present state of an image's source in the form of a receipt: its documents say what to expect at the destination.

No layer is read, except from a daemon that cannot tell the config in another way.
"""
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import NamedTuple

from occystrap_core.api.image_input import ImageInput
from occystrap_core.api.uri import Location
from occystrap_core.api.written_image import WrittenImage, merged
from occystrap_core.image.image import Content, Image, ImageIndex
from occystrap_core.oci.digest import Digest
from occystrap_core.oci.reference import Reference
from occystrap_core.plugins.manager import Plugins
from occystrap_core.plugins.resolver import open_source
from occystrap_core.settings import Settings
from occystrap_core.tasks.request_check import platforms_of, require_requested
from occystrap_core.verification.expectation import UNKNOWN_SIZE, Expectation
from occystrap_core.verification.provenance import PlatformChoices
from occystrap_core.verification.receipt import Receipt

_FILTER = '--filter='


class Counterpart(NamedTuple):
    """One image of the source, and the destination where its present state should be."""

    images: ImageInput
    reference: Reference
    settings: Settings
    location: Location
    receipt: Receipt | None = None
    """What an earlier run meant to write there, if known; the source may have another image by now."""
    has_filters: bool = False
    """Whether the image is copied with filters, if the source's entry in a list says so."""
    called: Reference | None = None
    """Its name at the destination, if that differs from its name at the source."""

    @property
    def name(self) -> Reference:
        """Its name at the destination."""
        return self.called or self.reference

    @property
    def filters(self) -> Sequence[str]:
        """The filters with which the receipt says that it was copied."""
        return [word for word in self.receipt.source.split(' ') if word.startswith(_FILTER)] if self.receipt else ()


class SourceNow(NamedTuple):
    """The present state of an image at the source."""

    receipt: Receipt
    digest: Digest
    """The digest that the name means: of a manifest, or of an index, of which the image may be a part; else the image
    ID."""
    platforms: PlatformChoices


def source_now(plugins: Plugins, pair: Counterpart) -> SourceNow:
    """Return the present state of the source, for the chosen platforms or those that the receipt says were taken.

    Other platforms than those of all images of the source need an input of their own.
    """
    choices = pair.receipt.platforms if pair.receipt else PlatformChoices()
    settings = pair.settings
    if len(choices.taken) < len(choices.at_source) and not (settings.platform or settings.platforms):
        settings = settings.choosing(','.join(choices.taken))
    with ExitStack() as stack:
        images = pair.images
        if settings is not pair.settings or settings.whole_index != images.settings.whole_index:
            own = open_source(plugins, images.location_of(pair.reference), settings)
            assert isinstance(own, ImageInput)
            images = stack.enter_context(closing(own))
            list(images.references())
        content = images.open(pair.reference)
        stack.callback(content.close)
        require_requested(content, pair.reference, settings)
        return _described(pair, content)


def _described(pair: Counterpart, content: Content) -> SourceNow:
    """Return the state of an opened image of the source."""
    origin = content.origin.digest if content.origin else None
    if isinstance(content, ImageIndex) or content.manifest:
        receipt = receipt_of(content, pair.name, str(pair.images.location_of(pair.reference)))
        digest = origin or receipt.manifest_digest or receipt.image_id
    else:
        receipt = _plain_receipt(pair, content)
        digest = origin or receipt.image_id
    platforms = platforms_of(content)
    return SourceNow(replace(receipt, source_digest=digest, platforms=platforms), digest, platforms)


def receipt_of(content: Content, reference: Reference, source: str) -> Receipt:
    """Return a receipt for opened content and its referrers."""
    nowhere = Location('', '', {}, {})
    receipt = WrittenImage.present_receipt(content, source, nowhere, '', reference, str(reference))
    others = [(each, WrittenImage.present_receipt(each.content, source, nowhere, '', reference, each.tag or str(
        _digest(each.content)))) for each in content.referrers]
    if not others:
        return receipt
    listed = [Expectation('referrer', str(each.subject), other.manifest_digest, UNKNOWN_SIZE)
              for each, other in others if each.subject and other.manifest_digest]
    expected = [*receipt.expectations, *(each for _, other in others for each in other.expectations), *listed]
    return replace(receipt, expectations=merged(expected),
                   parts=(*receipt.parts, *(part for _, other in others for part in other.all_parts())))


def _digest(content: Content) -> Digest | None:
    document = content.index if isinstance(content, ImageIndex) else content.manifest
    return document.digest if document else None


def _plain_receipt(pair: Counterpart, image: Image) -> Receipt:
    """Return the receipt of an image without a manifest."""
    image_id = _image_id(pair, image)
    expected = [Expectation('config', str(image_id), image_id, UNKNOWN_SIZE)]
    expected += [Expectation('layer', str(each), each, UNKNOWN_SIZE) for each in image.diff_ids]
    return Receipt('', '', {}, str(pair.name), str(pair.images.location_of(pair.reference)), image_id,
                   image.diff_ids, tuple(expected), form='tar')


def _image_id(pair: Counterpart, image: Image) -> Digest:
    """Return the digest of the config.

    A daemon that exports reports an ID. If that is not the ID in the receipt, it may be another image, or the ID may be
    a manifest's digest, which only the config at the end of the export tells.
    """
    if image.sequential:
        said = pair.images.present_digest(pair.reference)
        if said and pair.receipt and pair.receipt.image_id == said:
            return said
        for layer in image.arrivals():
            with layer.tar() as tar:
                tar.drain()
    return image.config.digest
