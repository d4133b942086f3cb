"""Refusing to replace unpacked files that were changed since they were written."""
from collections.abc import Iterable

from occystrap_core import CheckResults, InvalidImage, OutputError, Settings
from occystrap_core.oci import Digest
from occystrap_dir.file_list.files_check import check_tree
from occystrap_dir.workspace.beneath import Beneath

_HOW = 'move it away, or use --force'


def require_unchanged(root: str, name: str, settings: Settings, *listings: str) -> None:
    """Raise OutputError if anything in the tree `name`, which will be replaced, differs from its list of files.

    Of several lists, as left by an interrupted run, one must match. Contents are not compared, and missing files are no
    loss. With `force` nothing is checked. Raises OSError.
    """
    place = Beneath(root)
    if settings.force or not place.status(name) or (place.is_directory(name) and not place.names(name)):
        return
    changes = [_change(root, listing, name, settings) for listing in listings]
    if all(changes):
        raise OutputError(changes[0])


def _change(root: str, listing: str, name: str, settings: Settings) -> str:
    """Return an error message if a tree differs from a list, else an empty one."""
    results = CheckResults()
    try:
        check_tree(root, listing, name, False, settings, results, may_miss=True)
    except (FileNotFoundError, InvalidImage):
        return (f'{root}/{name} has no readable list of the files that were written ({listing}), so that changes '
                f'cannot be detected: {_HOW}')
    if not results.results:
        return ''
    each = results.results[0]
    return f'{root} was changed since it was written ({each.item}: {each.message}): {_HOW}'


def require_documents(root: str, expected: Iterable[tuple[str, Digest]], settings: Settings) -> None:
    """Raise OutputError if a file that will be replaced exists with another digest, unless `force` allows that."""
    for name, digest in expected:
        if not settings.force and Beneath(root).status(name) and Beneath(root).hash(name)[0] != digest:
            raise OutputError(f'{root} was changed since it was written ({name}): {_HOW}')
