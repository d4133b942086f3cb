"""Options that every source of many images has, for selecting some of the names that it lists. The core applies them.
"""
from typing import TYPE_CHECKING

from occystrap_core.api.options import Option, OptionType
from occystrap_core.api.uri import Location

if TYPE_CHECKING:
    from occystrap_core.oci.patterns import Excluded, Kept
    from occystrap_core.oci.versions import VersionRange


def _excluded(text: str) -> 'Excluded':
    from occystrap_core.oci.patterns import Excluded  # late: each start declares these options
    return Excluded.parse(text)


def _kept(text: str) -> 'Kept':
    from occystrap_core.oci.patterns import Kept
    return Kept.parse(text)


def _versions(text: str) -> 'VersionRange':
    from occystrap_core.oci.versions import VersionRange
    return VersionRange.parse(text)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 0 < int(text[:9])):
        raise ValueError('expected a number of images, at least 1')
    return int(text)


PRUNING = (
    Option('prune', OptionType.choice('false', 'true', 'empty'), 'false',
           'with --prune: delete from the destination what earlier runs copied there and the source no longer has; '
           'empty: even if the source has nothing left'),
    Option('keep', OptionType('patterns', _kept, repeatable=True), None,
           'images that prune= never deletes: patterns as for exclude=, optionally with a host'),
)
"""Options that lists of sources have as well."""
SELECTION = (
    Option('exclude', OptionType('patterns', _excluded, repeatable=True), None,
           'images to skip: patterns of repositories, repository:tag or :tag, separated by commas'),
    Option('regex', OptionType.STRING, None, 'only tags that match this regular expression entirely'),
    Option('semver', OptionType('versions', _versions), None,
           "only tags that are versions in this range, such as '>=1.2 <2', '^1.4' or '1.x || 3.x'"),
    Option('newest', OptionType('number', _count), None, 'only this many of each repository, the newest'),
    Option('order', OptionType.choice('version', 'created'), 'version',
           'how newest= orders images: by the version in the tag, or by creation time, for which the metadata of each '
           'is read'),
    *PRUNING,
)


def without_selection(location: Location) -> Location:
    """Return a location without these options, which have no meaning for a single image."""
    names = {each.name: each.default for each in SELECTION}
    return location._replace(options={name: names.get(name, value) for name, value in location.options.items()},
                             given={name: text for name, text in location.given.items() if name not in names})


def shown(location: Location) -> str:
    """Return a location as messages show it: without these options."""
    return str(without_selection(location)._replace(given={}))
