"""Locations of images in layouts: `PATH`, `PATH:TAG`, `PATH@DIGEST` or both."""
import os
import re
from typing import NamedTuple

from occystrap_core import InvalidImage, Location, UsageError
from occystrap_core.oci import Digest

_NAME = re.compile(r'[A-Za-z0-9]+(?:(?:[-._:@+]|--)[A-Za-z0-9]+)*(?:/[A-Za-z0-9]+(?:(?:[-._:@+]|--)[A-Za-z0-9]+)*)*')
_PINNED = re.compile(r'(.*)@((?:sha256|sha512):.*|[a-z0-9]+(?:[+._-][a-z0-9]+)*:[0-9A-Za-z=_-]{32,})')
"""A path and a digest, which is recognized by its algorithm or its length."""


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
    pinned = _PINNED.fullmatch(last)
    name, digest = pinned.groups() if pinned else (last, '')
    name, colon, tag = name.rpartition(':') if ':' in name else (name, '', '')
    if (colon and not tag) or ((colon or digest) and not name):
        raise UsageError(f'layout://{path} is not of the form layout://PATH[:TAG]: end a path that contains a colon '
                         'with a slash')
    try:
        return Place(os.path.abspath(directory + slash + name), tag, Digest(digest) if digest else None)
    except InvalidImage as error:
        raise UsageError(f'layout://{path}: {error}') from None


def require_name(name: str) -> str:
    """Return `name` if image-spec annotations.md allows it as the name of an image; raises UsageError."""
    if not _NAME.fullmatch(name) or len(name) > 255:
        raise UsageError(f'{name[:100]!r} cannot name an image in a layout: letters, digits, and - . _ : @ + / between '
                         'them are allowed')
    return name


def with_tag_as_option(location: Location) -> Location:
    """Return the location with its tag as an option, as receipts have it; raises UsageError for a digest, or two
    tags."""
    place = parse_place(location.path)
    if place.digest:
        raise UsageError(f'{location}: a layout names its image by a tag, without a digest')
    if place.tag and location.options['tag']:
        raise UsageError(f'{location} gives two tags: leave out one')
    name = place.tag or location.options['tag'] or ''
    given = {**location.given, 'tag': require_name(name)} if name else location.given
    return location._replace(path=place.root, options={**location.options, 'tag': name}, given=given)
