"""What filters that go by paths have in common: their patterns, and what they never touch."""
from occystrap_core.errors import UsageError
from occystrap_core.layertar.entry import FOLDER, GLOBAL_PAX, TarEntry
from occystrap_core.layertar.globs import plain_path
from occystrap_core.layertar.whiteouts import is_whiteout
from occystrap_core.options import Values


def given_patterns(name: str, options: Values) -> list[str]:
    """Return the patterns that a filter was given, separated by commas; raises UsageError without any."""
    patterns = [pattern for pattern in (options['pattern'] or '').split(',') if pattern]
    if not patterns:
        raise UsageError(f'filter {name}: say what to match, such as {name}:pattern=*.pyc,/var/cache')
    return patterns


def is_untouchable(entry: TarEntry) -> bool:
    """Tell whether an entry must stay: global headers, and whiteouts, without which deleted files would reappear."""
    return entry.type == GLOBAL_PAX or is_whiteout(plain_path(entry.name))


def path_of(entry: TarEntry) -> tuple[bytes, bool]:
    """Return the plain path of an entry, and whether it is a folder."""
    return plain_path(entry.name), entry.type == FOLDER
