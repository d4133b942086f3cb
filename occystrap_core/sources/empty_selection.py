"""The error for a selection that takes none of the images that a source names."""
from collections.abc import Callable, Sequence

from occystrap_core.api.selection_options import shown
from occystrap_core.api.uri import Location
from occystrap_core.errors import ImageNotFound
from occystrap_core.oci.patterns import first_names, has_glob
from occystrap_core.oci.reference import Reference, split_tag
from occystrap_core.oci.referrers import is_referrer_tag
from occystrap_core.oci.versions import Version

VersionOf = Callable[[Reference], Version | None]
"""Returns the version in the tag of an image, None without one."""
_SHOWN = 5


def empty_selection(listed: Sequence[Reference], location: Location, version: VersionOf) -> ImageNotFound:
    """Return the error: what was selected, and what the source has."""
    if not has_glob(location.path) and len(listed) == 1 and listed[0] in (location.options.get('exclude') or ()):
        return ImageNotFound.of_pattern(f'{listed[0]} is excluded: change exclude= to copy it')
    narrowing = ('exclude', 'regex', 'semver', 'newest')
    given = {name: location.given[name] for name in narrowing if name in location.given}
    wanted = ' '.join(f"{name}='{text}'" for name, text in given.items())
    there = [each for each in listed if not is_referrer_tag(each.tag)]
    if not there:
        return ImageNotFound.of_pattern(f'{shown(location)}: all {len(listed)} tags are signatures or lists of '
                                        'referrers, which are copied with their images (referrers=true)')
    if not any(version(each) for each in there) and {'semver', 'newest'} & given.keys():
        wanted += ', and none is a version'
    elif 'regex' in given:
        wanted += ', which must match the whole tag'
    what = f'none of {len(there)} images is' if len(there) > 1 else f'{there[0]} is not'
    return ImageNotFound.of_pattern(f'{shown(location)}: {what} selected by {wanted}; '
                                    f'{_nearest(there, location, version)}{_all_tags(location)}')


def _all_tags(location: Location) -> str:
    """Return how to select all tags of a repository, if the source named one without a tag, which means `latest`."""
    if location.scheme != 'registry' or split_tag(location.path)[2]:
        return ''
    return f'; all tags are {shown(location)}:*'


def _nearest(there: Sequence[Reference], location: Location, version: VersionOf) -> str:
    """Return what the source has: the newest versions first, otherwise the first names in natural order."""
    versions = {each: version(each) for each in there}
    dated = sorted((each for each in there if versions[each]), key=lambda each: versions[each] or Version(()))
    if not dated or not location.options.get('semver'):
        return f'available: {first_names([_tag(each, there) for each in there])}'
    newest = ', '.join(_tag(each, there) for each in dated[-_SHOWN:][::-1])
    more = len(there) - min(len(dated), _SHOWN)
    return f'the newest are: {newest}' + (f' and {more} more' if more else '')


def _tag(reference: Reference, there: Sequence[Reference]) -> str:
    """Return only the tag if all images are of one repository."""
    return reference.tag if reference.tag and len({each.name for each in there}) == 1 else str(reference)
