"""The built-in filters, registered through the same hooks as any plugin's."""
from collections.abc import Iterable

from occystrap_core.hookspecs import hookimpl
from occystrap_core.options import INTEGER, Option
from occystrap_core.schemes import FilterKind


@hookimpl
def register_filters() -> Iterable[FilterKind]:
    """Return the built-in filters."""
    return [
        FilterKind('normalize-timestamps', 'occystrap_core.filters.normalize_timestamps:NormalizeTimestamps',
                   [Option('ts', INTEGER, 0, 'seconds since 1970 that every entry gets')],
                   'set the times of all entries, so that equal content gives equal layers'),
    ]
