"""What to look for: globs or a regular expression, over the paths within layers."""
import re
from collections.abc import Callable

from occystrap_core.errors import UsageError
from occystrap_core.layertar.globs import Globs

Matches = Callable[[bytes, bool], object]
"""Tells of a plain path, and whether it is a folder's, whether it is wanted."""


def matcher(pattern: str, regex: bool) -> Matches:
    """Return what finds `pattern`: one regular expression, or globs with commas between; raises UsageError.

    A regular expression is looked for anywhere in the path, which has no slash in front.
    """
    if not regex:
        return Globs([glob for glob in pattern.split(',') if glob] or [pattern], below=False).match
    try:
        search = re.compile(pattern).search
    except re.error as error:
        raise UsageError(f'{pattern!r} is no regular expression: {error}') from None
    return lambda path, is_folder: search(path.decode('utf-8', 'surrogateescape'))
