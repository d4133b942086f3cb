"""Selecting some of the images that a source names: by exclusion, expression, version, and age."""
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

from occystrap_core.api.image_input import ImageInput
from occystrap_core.api.selection_options import shown
from occystrap_core.api.uri import Location
from occystrap_core.errors import ImageNotFound, UsageError
from occystrap_core.oci.patterns import Excluded, has_glob, natural_key
from occystrap_core.oci.reference import Reference, split_tag
from occystrap_core.oci.referrers import is_referrer_tag
from occystrap_core.plugins.manager import Plugins
from occystrap_core.plugins.resolver import open_source, source_location
from occystrap_core.settings import Settings
from occystrap_core.terminal import print_message

if TYPE_CHECKING:
    from occystrap_core.oci.versions import Version

_FLAGS = r'\(\?[aimsx]+\)'
_WILD = r'[*?\[\]]'
_REFERRERS = 'sha(?:256|512)-'


class Selected(NamedTuple):
    """The selected images of a source, in its order, and lines for the user about images that were left out by default.
    """

    references: Sequence[Reference]
    notes: Sequence[str] = ()


def select(images: ImageInput, location: Location) -> Selected:
    """Return the images that a source names and that the options of its `location` select.

    Raises as `references` and, for order=created, `open` do; ImageNotFound, with similar names, if none is selected;
    UsageError for an invalid expression.
    """
    listed = Listed(images, location)
    found = _newest(listed.select(list(images.references())), images, location)
    if not found:
        raise _nothing(listed.there, location)
    return Selected(found, listed.notes)


def stream_selected(images: ImageInput, location: Location, note: Callable[[str], None],
                    ) -> Iterator[Sequence[Reference]]:
    """Yield what `select` returns in parts, as names are listed, unless the selection depends on all names.

    `note` gets the lines for the user. Raises as `select` does; errors that concern all images come at the end.
    """
    if location.options.get('newest'):
        selected = select(images, location)
        yield selected.references
        notes = selected.notes
    else:
        listed = Listed(images, location)
        for part in images.stream():
            yield listed.select(part)
        if not listed.has_selected:
            raise _nothing(listed.there, location)
        notes = listed.notes
    for each in notes:
        note(each)


def open_selected(plugins: Plugins, settings: Settings, source: str, instead: str, closing: ExitStack,
                  ) -> tuple[ImageInput, Location, Sequence[Reference]]:
    """Open the input of a source until `closing` ends, select images of it, and print the notes of the selection.

    Raises as `open_source` and `select` do, and UsageError for a list, with `instead` as advice.
    """
    location = source_location(plugins, source)
    opened = open_source(plugins, location, settings)
    if not isinstance(opened, ImageInput):
        raise UsageError(f'{source} is a list: give {instead}')
    closing.callback(opened.close)
    references, notes = select(opened, location)
    print_notes(notes)
    return opened, location, references


def is_selected(reference: Reference, images: ImageInput, location: Location) -> bool:
    """Return whether the options of a location select an image, regardless of other images."""
    found: Sequence[Reference] = [reference]
    by_age = () if location.options.get('order') == 'created' else (_newest,)
    for narrow in (_not_excluded, _matching, _in_range, *by_age):
        found = narrow(found, images, location)
    return bool(found)


def print_notes(notes: Sequence[str]) -> None:
    """Print the notes of a selection."""
    for note in notes:
        print_message(f'note: {note}')


class Listed:
    """The names that a source lists, in one part or several, and the selection among them."""

    def __init__(self, images: ImageInput, location: Location) -> None:
        self._images, self._location = images, location
        self._names_referrers = bool(re.search(_REFERRERS, f'{location.path} {location.options.get("image")}'))
        self._referrers = 0
        excluded = location.options.get('exclude')
        self._needless = [_Needless(text) for text in (excluded.texts if excluded else ()) if not {':', '/'} & {*text}]
        self.there: list[Reference] = []
        """All names that were listed while nothing was selected, for the error message."""
        self.has_selected = False

    def select(self, part: Sequence[Reference]) -> Sequence[Reference]:
        """Return the selected images of a part, not considering `newest=`; raises as `select` does."""
        if not self.has_selected:
            self.there += part
        found = part if self._names_referrers else [each for each in part if not is_referrer_tag(each.tag)]
        self._referrers += len(part) - len(found)
        for each in self._needless:
            each.look(part)
        for narrow in (_not_excluded, _matching, _in_range):
            found = narrow(found, self._images, self._location)
        if found and not self.has_selected and not self._location.options.get('newest'):
            self.has_selected, self.there = True, []
        return found

    @property
    def notes(self) -> Sequence[str]:
        """Lines for the user about images that were left out by default, and about exclusions without effect."""
        found = [_referrers_note(self._referrers, self._location)] if self._referrers else []
        return [*found, *(f'{shown(self._location)}: exclude={each.text} leaves out nothing, since it matches '
                          f'repositories: to exclude tags write :{each.text}' for each in self._needless
                          if each.is_vain)]


class _Needless:
    """A pattern of `exclude=` that may match no repository but would match tags if it began with a colon."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._repositories, self._tags = Excluded.parse(text), Excluded.parse(f':{text}')
        self._fits = self._would_fit = False

    def look(self, part: Sequence[Reference]) -> None:
        """Compare it with a part of the listed names."""
        self._fits = self._fits or any(each in self._repositories for each in part)
        self._would_fit = self._would_fit or any(each in self._tags for each in part)

    @property
    def is_vain(self) -> bool:
        """Whether it has left out nothing."""
        return self._would_fit and not self._fits


def _referrers_note(count: int, location: Location) -> str:
    what = f'{count} signature and referrers tag{"" if count == 1 else "s"}'
    if location.options.get('referrers'):
        return (f'{shown(location)}: {what} not copied as images of their own, but with the images that they '
                'belong to')
    how = ('add referrers=true to copy them with their images' if 'referrers' in location.options else
           'give their names to copy them')
    return f'{shown(location)}: left out {what}; {how}'


def _not_excluded(found: Sequence[Reference], images: ImageInput, location: Location) -> Sequence[Reference]:
    excluded = location.options.get('exclude')
    return [each for each in found if each not in excluded] if excluded else found


def _matching(found: Sequence[Reference], images: ImageInput, location: Location) -> Sequence[Reference]:
    if not (text := location.options.get('regex')):
        return found
    from occystrap_core.search.matcher import Regex  # it runs in a process of its own, since it may take forever
    flags = re.match(_FLAGS, text)
    start = flags.end() if flags else 0
    try:
        regex = images.settings.shared.get((Regex, text), lambda: Regex(
            rf'{text[:start]}\A(?:{text[start:]})\Z', images.settings))
    except UsageError:
        raise UsageError(f'regex={text!r} is not a regular expression: escape what should match literally') from None
    fits = regex.which([each.tag.encode() for each in found])
    return [each for each, fit in zip(found, fits, strict=True) if fit]


def _in_range(found: Sequence[Reference], images: ImageInput, location: Location) -> Sequence[Reference]:
    versions = location.options.get('semver')
    return [each for each in found if _version(each, location) in versions] if versions else found


def _version(reference: Reference, location: Location) -> 'Version | None':
    """Return the version in a tag, without what the pattern has before its first and after its last wildcard.

    So `*-alpine` and `release-*` select by version. Digits at the beginning belong to the version, as in `v1.*`.
    """
    text, pattern = reference.tag, split_tag(location.options.get('image') or location.path)[2]
    if has_glob(pattern):
        first, *_, last = re.split(_WILD, pattern)
        first = '' if re.search(r'\d', first) else first
        last = last if last[:1] in ('-', '_') else ''
        text = text.removeprefix(first).removesuffix(last) if last else text.removeprefix(first)
    from occystrap_core.oci.versions import Version  # late, as most sources name one image
    return Version.parse(text)


def _newest(found: Sequence[Reference], images: ImageInput, location: Location) -> Sequence[Reference]:
    """Return the images that `newest=` selects of each repository, in the order of the source."""
    if not (count := location.options.get('newest')):
        return found
    if location.options.get('order') == 'created':
        times = dict(zip(found, images.settings.in_parallel(images.created, found), strict=True))
        if unknown := [each for each in found if times[each] is None]:
            raise ImageNotFound(f'{unknown[0]} has no creation time: exclude it, or use order=version')
        return _last(found, lambda each: (times[each], natural_key(each.tag)), count)
    versions = {each: _version(each, location) for each in found}
    dated = [each for each in found if versions[each]]
    return _last(dated, lambda each: (versions[each], natural_key(each.tag)), count)


def _last(found: Sequence[Reference], key: Callable[[Reference], Any], count: int) -> Sequence[Reference]:
    taken: set[Reference] = set()
    for _, group in groupby(sorted(found, key=lambda each: each.name), key=lambda each: each.name):
        taken.update(sorted(group, key=key)[-count:])
    return [each for each in found if each in taken]


def _nothing(listed: Sequence[Reference], location: Location) -> ImageNotFound:
    """Return the error for a selection of nothing."""
    from occystrap_core.sources.empty_selection import empty_selection  # late, as most sources have what is selected
    return empty_selection(listed, location, lambda each: _version(each, location))
