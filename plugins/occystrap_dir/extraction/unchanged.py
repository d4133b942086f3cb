"""Sparing what was done to unpacked files since they were written: replacing them would destroy it."""
from collections.abc import Iterable

from occystrap_core import CheckResults, InvalidImage, OutputError, Settings
from occystrap_core.oci import Digest
from occystrap_dir.extraction.files_check import check_tree
from occystrap_dir.workspace.beneath import Beneath

_HOW = 'move it away, or give --force'


def require_unchanged(root: str, listing: str, name: str, settings: Settings) -> None:
    """Raise OutputError when anything in the tree `name`, which is to be replaced, is not as its list of files says.

    Contents are not compared, and what was removed is no loss. With `force` nobody looks. Raises OSError.
    """
    place = Beneath(root)
    if settings.force or not place.status(name) or (place.is_directory(name) and not place.names(name)):
        return
    results = CheckResults()
    try:
        check_tree(root, listing, name, False, settings, results, may_miss=True)
    except (FileNotFoundError, InvalidImage):
        raise OutputError(f'{root}/{name} has no readable list of the files that were written ({listing}), so that '
                          f'nobody can tell what was changed since: {_HOW}') from None
    for each in results.results:
        raise OutputError(f'{root} was changed since it was written ({each.item}: {each.message}): {_HOW}')


def require_documents(root: str, expected: Iterable[tuple[str, Digest]], settings: Settings) -> None:
    """Raise OutputError when a file that is to be replaced is there with another digest, unless `force` allows that."""
    for name, digest in expected:
        if not settings.force and Beneath(root).status(name) and Beneath(root).hash(name)[0] != digest:
            raise OutputError(f'{root} was changed since it was written ({name}): {_HOW}')
