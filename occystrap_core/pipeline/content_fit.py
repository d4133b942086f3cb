"""Checks whether what an input opened can be filtered and can go to a destination, and applies the filters."""
from collections.abc import Sequence
from typing import TYPE_CHECKING

from occystrap_core.api.image_output import ImageOutput
from occystrap_core.api.written_image import LayerForm
from occystrap_core.errors import PluginError, UsageError
from occystrap_core.image.artifact import Artifact
from occystrap_core.image.image import Image, ImageIndex, all_contents

if TYPE_CHECKING:
    from occystrap_core.api.image_filter import ImageFilter


class NotFiltered(UsageError):
    """Filters cannot be applied, since there is no image but only artifacts."""


class ArtifactRefused(UsageError):
    """An artifact, such as a chart, cannot go to a destination that only holds images."""


class ArtifactNotFiltered(ArtifactRefused, NotFiltered):
    """Filters cannot be applied to an artifact."""


def require_room(opened: Image | ImageIndex, output: ImageOutput) -> None:
    """Raise UsageError if the output only takes plain images and `opened` is something else."""
    if output.holds_indexes:
        if output.layer_form is not LayerForm.STORED:
            raise PluginError(f'{type(output).__name__} declares holds_indexes, but does not take STORED form')
        return
    place = output.location
    if isinstance(opened, ImageIndex):
        raise UsageError(f'{place} holds one image, and {opened.reference} is an index of {len(opened.children)}: '
                         'choose one with --platform, such as linux/amd64')
    if isinstance(opened, Artifact):
        raise ArtifactRefused(f'{place} holds images only, and {opened.reference} is not one: its config is '
                              f'{opened.manifest.config.media_type}')
    if opened.referrers:
        raise UsageError(f'{place} holds a single image, without referrers: leave out referrers=true')


def filtered(opened: Image | ImageIndex, filters: 'Sequence[ImageFilter]') -> Image | ImageIndex:
    """Return an image, or an index with each of its images, after the filters, lazily.

    Raises UsageError for what filters cannot be applied to: an artifact, and an image with referrers.
    """
    if not filters:
        return opened
    if opened.referrers:
        raise UsageError(f'{opened.reference}: referrers cannot be copied with filters: filtering changes the digest '
                         'they refer to; leave out the filters or referrers=true')
    if not isinstance(opened, ImageIndex):
        return _changed(opened, filters)
    from occystrap_core.image.filtered_index import filtered_index  # late, as few runs need it
    index = filtered_index(opened, lambda image: _changed(image, filters))
    if not any(isinstance(each, Image) for each in all_contents(index)):
        raise NotFiltered(f'{opened.reference} holds no image that a filter could change')
    return index


def _changed(image: Image, filters: 'Sequence[ImageFilter]') -> Image:
    if isinstance(image, Artifact):
        raise ArtifactNotFiltered(f'{image.reference} is not an image, so filters cannot change it: its config is '
                                  f'{image.manifest.config.media_type}')
    for each in filters:
        image = each.apply(image)
    return image
