"""Destinations of many images: URIs with fields that each image fills in, such as {repository} and {tag}."""
import re
from collections import Counter
from collections.abc import Sequence

from occystrap_core.errors import UsageError
from occystrap_core.oci.reference import Reference
from occystrap_core.opening import require_many
from occystrap_core.options import nearest
from occystrap_core.plugins import Plugins
from occystrap_core.uri import Location

_FIELD = re.compile(r'\{\{|\}\}|\{([^{}]*)\}')


def has_fields(destination: Location) -> bool:
    """Tell whether the path has fields to fill in."""
    return any(found[1] for found in _FIELD.finditer(destination.path))


def filled_in(destination: Location, reference: Reference) -> Location:
    """Return the destination of one image; `{{` and `}}` stand for braces. Raises UsageError for an unknown field."""
    fields = _fields(reference)

    def fill(found: re.Match[str]) -> str:
        if found[1] is None:
            return found[0][0]
        if found[1] not in fields:
            raise UsageError(f'{destination}: there is no field {{{found[1]}}}{nearest(found[1], fields)}')
        if not fields[found[1]]:
            raise UsageError(f'{destination}: {reference} has no {found[1]} to fill in')
        return fields[found[1]]
    return destination.with_path(_FIELD.sub(fill, destination.path))


def _fields(reference: Reference) -> dict[str, str]:
    """Return what can be filled in; without a tag the digest stands for it, in the form that is allowed in tags."""
    digest = str(reference.digest or '')
    return {'host': reference.host, 'repository': reference.repository,
            'name': reference.repository.rpartition('/')[2], 'tag': reference.tag or digest.replace(':', '-'),
            'digest': digest}


def require_room(plugins: Plugins, wanted: Sequence[tuple[Location, Location]]) -> None:
    """Raise UsageError when two images would go to one place that holds one.

    `wanted` has for each image the destination as it was written, and as it was filled in.
    """
    counts = Counter((filled.scheme, filled.path) for _, filled in wanted)
    for written, filled in wanted:
        if counts[filled.scheme, filled.path] < 2:
            continue
        if has_fields(written):
            _require_distinct(plugins, written, filled)
        else:
            require_many(plugins, filled)


def _require_distinct(plugins: Plugins, written: Location, filled: Location) -> None:
    try:
        require_many(plugins, filled)
    except UsageError:
        raise UsageError(f'several images would go to {filled}: {written} must have more fields, such as {{tag}} or '
                         '{repository}') from None
