"""The filter `allow`: keeps what matches alone."""
from occystrap_core.filters.patterns import given_patterns, is_untouchable, path_of
from occystrap_core.image_filter import EntryFilter
from occystrap_core.layertar.entry import TarEntry
from occystrap_core.layertar.globs import Globs
from occystrap_core.options import Values
from occystrap_core.settings import Settings


class Allow(EntryFilter):
    """Keeps every entry that matches one of the patterns, the folders that may lead to one, and whiteouts."""

    repeatable = True

    def __init__(self, options: Values, settings: Settings) -> None:
        super().__init__(options, settings)
        patterns = given_patterns('allow', options)
        self._globs = Globs(patterns)
        self._leading = [names for pattern in patterns if (names := _names(pattern))]
        self._anywhere = len(self._leading) < len(patterns)

    def entry(self, entry: TarEntry) -> TarEntry | None:
        """Return the entry if it is to stay, else None."""
        path, is_folder = path_of(entry)
        stays = self._globs.match(path, is_folder) or is_untouchable(entry) or (is_folder and self._leads(path))
        return entry if stays else None

    def _leads(self, path: bytes) -> bool:
        """Tell whether something below a folder may match: layers list folders first, so what comes is unknown."""
        parts = path.split(b'/') if path else []
        return self._anywhere or any(_begins(names, parts) for names in self._leading)


def _names(pattern: str) -> list[str]:
    """Return the names of a pattern that is anchored at the root, without its last; none if it matches anywhere."""
    text = pattern.rstrip('/')
    return ['', *text.lstrip('/').split('/')[:-1]] if '/' in text else []


def _begins(names: list[str], parts: list[bytes]) -> bool:
    for name, part in zip(names[1:], parts, strict=False):
        if name == '**':
            return True
        if not Globs([f'/{name}']).match(part):
            return False
    return len(parts) < len(names)
