"""Locations of images in layouts: `PATH`, `PATH:TAG`, `PATH@DIGEST` or both."""
from typing import NamedTuple

from occystrap_core import InvalidImage, Location, Place as PlaceOfImage, UsageError
from occystrap_core.oci import Digest, require_layout_name, split_pinned


class Place(NamedTuple):
    """The absolute path of a layout, and tag or digest of an image in it; without both, the only image."""

    root: str
    tag: str = ''
    digest: Digest | None = None


def parse_place(path: str) -> Place:
    """Parse the path of a URI; the tag is after the last colon in the last component.

    Raises UsageError for an empty tag or a malformed digest.
    """
    directory, slash, last = path.rpartition('/')
    try:
        pinned, digest = split_pinned(last)
    except InvalidImage as error:
        raise UsageError(f'layout://{path}: {error}') from None
    name, colon, tag = pinned.rpartition(':') if ':' in pinned else (pinned, '', '')
    if (colon and not tag) or ((colon or digest) and not name):
        raise UsageError(f'layout://{path} is not of the form layout://PATH[:TAG]: end a path that contains a colon '
                         'with a slash')
    return Place(PlaceOfImage.absolute(directory + slash + name), tag, digest)


def with_tag_as_option(location: Location) -> Location:
    """Return the location with its tag as an option, as receipts have it; raises UsageError for a digest, or two
    tags."""
    place = parse_place(location.path)
    if place.digest:
        raise UsageError(f'{location}: a layout names its image by a tag, without a digest')
    if place.tag and location.options['tag']:
        raise UsageError(f'{location} gives two tags: leave out one')
    name = place.tag or location.options['tag'] or ''
    given = {**location.given, 'tag': require_layout_name(name)} if name else location.given
    return location._replace(path=place.root, options={**location.options, 'tag': name}, given=given)
