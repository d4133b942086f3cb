"""Where an image is: `PATH`, `PATH:TAG`, `PATH@sha256:…` or both, as users write it."""
import os
import re
from typing import NamedTuple

from occystrap_core import InvalidImage, UsageError
from occystrap_core.oci import Digest

_NAME = re.compile(r'[A-Za-z0-9]+(?:(?:[-._:@+]|--)[A-Za-z0-9]+)*(?:/[A-Za-z0-9]+(?:(?:[-._:@+]|--)[A-Za-z0-9]+)*)*')


class Place(NamedTuple):
    """A layout by its absolute path, and which of its images is meant; without tag and digest, the only one."""

    root: str
    tag: str = ''
    digest: Digest | None = None


def parse_place(path: str) -> Place:
    """Return what a URI's path means: the tag is after the last colon behind the last slash.

    Raises UsageError for an empty tag or a malformed digest.
    """
    directory, slash, last = path.rpartition('/')
    name, at, digest = last.partition('@sha256:')
    name, colon, tag = name.rpartition(':') if ':' in name else (name, '', '')
    if (colon and not tag) or ((colon or at) and not name):
        raise UsageError(f'layout://{path} is not of the form layout://PATH[:TAG]: a path with a colon in a name '
                         'is written with a slash at the end')
    try:
        return Place(os.path.abspath(directory + slash + name), tag, Digest(f'sha256:{digest}') if at else None)
    except InvalidImage as error:
        raise UsageError(f'layout://{path}: {error}') from None


def require_name(name: str) -> str:
    """Return a name for an image if an index.json may have it (image-spec annotations.md); raises UsageError."""
    if not _NAME.fullmatch(name) or len(name) > 255:
        raise UsageError(f'{name[:100]!r} cannot name an image in a layout: letters, digits, and - . _ : @ + / between '
                         'them are allowed')
    return name
