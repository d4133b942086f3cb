"""Fields of destinations, such as {repository}, filled in for each image of a source."""
import re
from collections import Counter
from collections.abc import Iterator, Sequence

from occystrap_core.api.schemes import WriterScheme
from occystrap_core.api.uri import Location
from occystrap_core.errors import UsageError, nearest
from occystrap_core.oci.patterns import first_names
from occystrap_core.oci.reference import Reference
from occystrap_core.oci.referrers import is_referrer_tag
from occystrap_core.plugins.manager import Plugins
from occystrap_core.plugins.resolver import require_many

_FIELD = re.compile(r'\{\{|\}\}|\{([^{}]*)\}')
_TAG, _DIGEST = ':{tag}', '@{digest}'


def has_fields(destination: Location) -> bool:
    """Return whether the path has fields to fill in."""
    return any(found[1] for found in _FIELD.finditer(destination.path))


def filled_in(destination: Location, reference: Reference) -> Location:
    """Return the destination of one image; `{{` and `}}` stand for braces. Raises UsageError for an unknown field.

    Fields are filled in in the path, and in the name that the option `tag` gives.
    """
    fields = _fields(reference)

    def fill(found: re.Match[str]) -> str:
        if found[1] is None:
            return found[0][0]
        if found[1] not in fields:
            raise UsageError(f'{destination}: there is no field {{{found[1]}}}{nearest(found[1], fields)}')
        if not fields[found[1]]:
            instead = ('; use @{digest}, or a tag of your own such as :digest-{hex}'
                       if found[1] == 'tag' and reference.digest else '')
            raise UsageError(f'{destination}: {reference} has no {found[1]} to fill in{instead}')
        return fields[found[1]]
    path = _FIELD.sub(fill, destination.path)
    if has_fields(destination) and is_referrer_tag(path.rpartition(':')[2]) and not is_referrer_tag(reference.tag):
        raise UsageError(f'{destination}: sha256-… is the tag under which registries list referrers: use another, such '
                         'as :digest-{hex}')
    if name := destination.options.get('tag'):
        destination = destination.with_options(tag=_FIELD.sub(fill, name))
    return destination.with_path(path)


def _fields(reference: Reference) -> dict[str, str]:
    """Return the values of the fields, empty if unknown."""
    return {'host': reference.host, 'repository': reference.repository,
            'name': reference.repository.rpartition('/')[2], 'tag': reference.tag,
            'digest': str(reference.digest or ''), 'hex': reference.digest.hex if reference.digest else ''}


def require_room(plugins: Plugins, destinations: Sequence[tuple[str, Location, Location]]) -> None:
    """Raise UsageError if two images would go to one place that holds a single one.

    `destinations` has for each image its source, and its destination as written and as filled in.
    """
    counts = Counter((scheme, path) for _, scheme, path in {(source, filled.scheme, filled.path)
                                                            for source, _, filled in destinations})
    for _, written, filled in destinations:
        if counts[filled.scheme, filled.path] < 2:
            continue
        require_room_for_several(plugins, written, filled)


def require_room_for_several(plugins: Plugins, written: Location, filled: Location) -> None:
    """Raise UsageError if a destination holds a single image; `written` still has its fields."""
    try:
        require_many(plugins, filled)
    except UsageError:
        if not has_fields(written):
            raise
        present = {found[1] for found in _FIELD.finditer(written.path)}
        lacking = [f'{{{name}}}' for name in ('tag', 'repository', 'host', 'digest') if name not in present]
        raise UsageError(f'several images would be written to {filled}: add fields to {written}, such as '
                         f'{" or ".join(lacking[:2])}') from None


class Untagged:
    """Splits off images without a tag when other images of the source have one and the destination contains {tag}."""

    def __init__(self, scheme: WriterScheme, destination: Location, references: Sequence[Reference]) -> None:
        self._scheme, self._destination = scheme, destination
        self._mixed = any(each.tag for each in references) and not all(each.tag for each in references)
        self._left: list[str] = []

    def places(self, references: Sequence[Reference]) -> Iterator[tuple[Reference, Location, Location]]:
        """Yield each image with its destination as written, and as filled in; raises UsageError.

        Where others have a tag, an image without one gets a destination by digest, if the scheme permits that.
        """
        for reference in references:
            written = self._written_for(reference)
            try:
                yield reference, written, filled_in(written, reference)
            except UsageError:
                if not self._mixed or reference.tag:
                    raise
                self._left.append(str(reference))

    @property
    def failure(self) -> str:
        """Message about the images that cannot go to the destination; empty if there are none."""
        if not self._left:
            return ''
        return (f'{self._destination} has fields that untagged images cannot fill: {first_names(self._left)}; copy '
                'each of them in its own run, with ?image= and a name')

    @property
    def count(self) -> int:
        """The number of images that cannot go there."""
        return len(self._left)

    def _written_for(self, reference: Reference) -> Location:
        path = self._destination.path
        if self._mixed and not reference.tag and self._scheme.by_digest and path.endswith(_TAG):
            return self._destination.with_path(path.removesuffix(_TAG) + _DIGEST)
        return self._destination
