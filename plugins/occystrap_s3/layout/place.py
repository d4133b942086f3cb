"""Locations of images: `s3://bucket/prefix`, `s3://bucket/prefix/name:tag`, `s3://bucket/prefix//team/name:tag`."""
import re
from typing import NamedTuple, Self

from occystrap_core import InvalidImage, Location, Receipt, UsageError
from occystrap_core.oci import Digest, require_layout_name, split_pinned

_BUCKET = re.compile(r'[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]')
_FORM = 's3://BUCKET[/PREFIX][/NAME:TAG] or s3://BUCKET/PREFIX//TEAM/NAME:TAG'


class Place(NamedTuple):
    """A bucket, the prefix of a layout in it (without slashes at its ends), and the name or digest of an image."""

    bucket: str
    prefix: str
    name: str = ''
    digest: Digest | None = None

    def __str__(self) -> str:
        return f's3://{self.path}'

    @property
    def path(self) -> str:
        """The path of the layout in a URI: if it ends like an image's name, a slash is added."""
        path = f'{self.bucket}/{self.prefix}'.rstrip('/')
        return f'{path}/' if set(path.rpartition('/')[2]) & set(':@') else path

    @property
    def base(self) -> str:
        """The beginning of the keys of the layout."""
        return f'{self.prefix}/' if self.prefix else ''

    @classmethod
    def parse(cls, path: str) -> Self:
        """Parse the path of a URI: the name follows `//`, or else the last slash if it has a tag.

        Raises UsageError.
        """
        layout, separator, named = path.partition('//')
        if not separator:
            layout, slash, last = path.rpartition('/')
            layout, named = (layout, last) if slash and set(last) & set(':@') else (path, '')
        try:
            name, digest = split_pinned(named)
        except InvalidImage as error:
            raise UsageError(f's3://{path}: {error}') from None
        if not separator and name and ':' not in name:
            layout, name = f'{layout}/{name}', ''  # the digest of any image at this prefix
        if (separator and not named) or name.endswith(':') or name.startswith('/'):
            raise UsageError(f's3://{path} is not of the form {_FORM}')
        bucket, _, prefix = layout.partition('/')
        return cls(_bucket(bucket), _prefix(prefix, path), name, digest)

    @classmethod
    def of_receipt(cls, receipt: Receipt) -> Self:
        """Return the layout of a receipt, with the image name that the user gave."""
        return cls.parse(receipt.path)._replace(name=receipt.options.get('tag', ''))


def with_name_as_option(location: Location) -> Location:
    """Return the location with its name as an option, as receipts have it; raises UsageError for a digest, or two
    names."""
    place = Place.parse(location.path)
    if place.digest:
        raise UsageError(f'{location}: a layout names its image by a tag, without a digest')
    if place.name and location.options['tag']:
        raise UsageError(f'{location} gives two names: leave out one')
    name = place.name or location.options['tag'] or ''
    given = {**location.given, 'tag': require_layout_name(name)} if name else location.given
    return location._replace(path=place.path, options={**location.options, 'tag': name}, given=given)


def _bucket(name: str) -> str:
    if not _BUCKET.fullmatch(name):
        raise UsageError(f's3://{"…" if "@" in name else name[:100]} has no valid name of a bucket: 3 to 255 letters '
                         'and digits, and - . _ between them, are allowed; credentials are found as boto3 finds them')
    return name


def _prefix(prefix: str, path: str) -> str:
    """Return a prefix without slashes at its ends, which must be a valid relative path on disk, too; raises UsageError.
    """
    prefix = prefix.strip('/')
    if prefix and (not {'', '.', '..'}.isdisjoint(prefix.split('/')) or not prefix.isprintable()):
        raise UsageError(f's3://{path} has a prefix with an empty, a relative or an unprintable part')
    return prefix
