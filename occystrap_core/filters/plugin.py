"""The built-in filters, registered by the same hooks as those of plugins."""
from collections.abc import Iterable

from occystrap_core.api.hookspecs import hookimpl
from occystrap_core.api.options import Option, OptionType
from occystrap_core.api.schemes import FilterKind


@hookimpl
def register_filters() -> Iterable[FilterKind]:
    """Return the built-in filters."""
    return [
        FilterKind('normalize-timestamps', 'occystrap_core.filters.normalize_timestamps:NormalizeTimestamps',
                   [Option('ts', OptionType.INTEGER, 0, 'seconds since 1970 that every entry gets'),
                    Option('config', OptionType.BOOLEAN, False, 'set the times in the config and its history as well')],
                   'set the times of all entries, so that equal content gives equal layers'),
        FilterKind('exclude', 'occystrap_core.filters.paths:Exclude',
                   [Option('pattern', help='globs, separated by commas: *.pyc, /var/cache, usr/**/doc/')],
                   'leave out matching entries'),
        FilterKind('allow', 'occystrap_core.filters.paths:Allow',
                   [Option('pattern', help='globs, separated by commas: /etc, *.conf')],
                   'keep only matching entries, and the directories that lead to them'),
        FilterKind('owner', 'occystrap_core.filters.owner:Owner',
                   [Option('uid', OptionType.INTEGER, help='the owner of every entry'),
                    Option('gid', OptionType.INTEGER, help='the group of every entry'),
                    Option('map', help='FROM:TO:COUNT, several with commas: users and groups are moved by ranges')],
                   'change the owners of all entries, for example to unpack without root'),
        FilterKind('search', 'occystrap_core.filters.search_filter:Search',
                   [Option('pattern', help='globs, separated by commas: *.conf, /etc/**'),
                    Option('regex', OptionType.BOOLEAN, False, 'the pattern is a regular expression'),
                    Option('script_friendly', OptionType.BOOLEAN, False, 'lines of the form image:tag:layer:path'),
                    Option('file', default='-', help='where to append what was found, - for stdout')],
                   'report which layers have matching entries, and which version counts'),
        FilterKind('inspect', 'occystrap_core.filters.inspect:Inspect',
                   [Option('file', help='where to append a line of JSON for each image, - for stdout')],
                   'record digests, sizes and history of the layers at this point of the chain'),
    ]
