"""The filter `exclude`: leaves out what matches."""
from occystrap_core.filters.patterns import given_patterns, is_untouchable, path_of
from occystrap_core.image_filter import EntryFilter
from occystrap_core.layertar.entry import TarEntry
from occystrap_core.layertar.globs import Globs
from occystrap_core.options import Values
from occystrap_core.settings import Settings


class Exclude(EntryFilter):
    """Leaves out every entry that matches one of the patterns, whiteouts excepted."""

    repeatable = True

    def __init__(self, options: Values, settings: Settings) -> None:
        super().__init__(options, settings)
        self._globs = Globs(given_patterns('exclude', options))

    def entry(self, entry: TarEntry) -> TarEntry | None:
        """Return the entry, None if it matches."""
        return None if self._globs.match(*path_of(entry)) and not is_untouchable(entry) else entry
