"""The filter `normalize-timestamps`: equal content gives equal layers, whenever it was built."""
from collections.abc import Mapping
from typing import Any

from occystrap_core.api.image_filter import EntryFilter
from occystrap_core.errors import UsageError
from occystrap_core.image.derived import DerivedImage
from occystrap_core.image.image import Image
from occystrap_core.settings import Settings
from occystrap_core.tar.entry import TarEntry
from occystrap_core.tar.header import OCTAL_LIMIT


class NormalizeTimestamps(EntryFilter):
    """Sets all times of all entries to `ts`, in seconds since 1970."""

    repeatable = True

    def __init__(self, options: Mapping[str, Any], settings: Settings) -> None:
        super().__init__(options, settings)
        self._seconds: int = options['ts']
        if not 0 <= self._seconds < OCTAL_LIMIT:
            raise UsageError(f'filter normalize-timestamps: ts={self._seconds} is not between 0 and {OCTAL_LIMIT - 1}')

    def apply(self, image: Image) -> Image:
        """Return the image with its layers rewritten, and its config, too, if that was requested."""
        rewritten = super().apply(image)
        if not self.options['config']:
            return rewritten
        return DerivedImage(rewritten, change_config=lambda config: config.with_times(self._seconds))

    def entry(self, entry: TarEntry) -> TarEntry:
        """Return the entry with its times set."""
        entry.set_times(self._seconds)
        return entry
