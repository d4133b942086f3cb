"""Checks whether images may be written to a directory, made before anything is downloaded."""
import os
from collections.abc import Collection, Iterable
from contextlib import suppress

from occystrap_core import Image, ImageIndex, Location, OutputError, Settings
from occystrap_core.oci import are_of_other_repositories

_HARMLESS = {'lost+found'}


def check_directory(root: str) -> bool:
    """Return whether the directory `root` exists; raises OutputError unless it is writable, or can be made."""
    if not os.path.lexists(root):
        check_parent(root, os.path.dirname(root))
        return False
    if not os.path.isdir(root):
        kind = 'a link that leads to no directory' if os.path.islink(root) else 'not a directory'
        raise OutputError(f'{root} is {kind}: choose a directory')
    if not os.access(root, os.W_OK | os.X_OK):
        raise OutputError(f'{root} is not writable: change its permissions or choose another directory')
    return True


def require_same_repository(path: str, there: Iterable[str], comes: Image | ImageIndex, settings: Settings) -> None:
    """Raise OutputError if the only image at a place would be replaced by one of another repository, judged by its
    names."""
    names = list(there)
    if not settings.force and isinstance(comes, Image) and are_of_other_repositories(names, [str(comes.reference)]):
        raise OutputError(f'{path} has another image, {names[0]}, which would be lost: choose another directory, or '
                          'use --force to replace it')


def without_rebuilding(location: Location) -> Location:
    """Return a location for receipts, without rebuild_index, which concerns one run only."""
    return location._replace(given={name: text for name, text in location.given.items() if name != 'rebuild_index'})


def not_replaced(what: str, loss: str) -> OutputError:
    """Return the error for a list of images that is damaged or missing and must not be rebuilt unless requested."""
    return OutputError(f'{what}: images of other programs may be listed there, so it is not replaced; repair it, or '
                       f'add --rebuild-index (or the option rebuild_index=true), with which {loss}')


def check_empty(root: str, ours: Collection[str]) -> None:
    """Raise OutputError if the directory has entries, but none of `ours`."""
    if any(os.path.lexists(f'{root}/{name}') for name in ours):
        return  # without listing what may be thousands of names
    names = set(os.listdir(root))  # read once: other writers may be changing it
    if names.isdisjoint(ours) and (others := sorted(names - _HARMLESS)):
        raise OutputError(f'{root} contains other files, such as {others[0]!r}: choose an empty directory')


def check_layout(root: str, others: Collection[str]) -> None:
    """Raise OutputError if the directory has files that only other layouts have."""
    for name in others:
        if os.path.lexists(f'{root}/{name}'):
            raise OutputError(f'{root} holds an image in another layout ({name!r} is there): choose an empty directory')


def check_parent(root: str, parent: str) -> None:
    """Raise OutputError unless `root` can be made, in the directory `parent`."""
    if not os.path.lexists(parent):
        raise OutputError(f'cannot create the directory {root}: there is no directory {parent}; create it first')
    if not os.path.isdir(parent):
        raise OutputError(f'cannot create the directory {root}: {parent} is not a directory; choose another one')
    if not os.access(parent, os.W_OK | os.X_OK):
        raise OutputError(f'cannot create the directory {root}: {parent} is not writable')


def made(root: str, mode: int | None) -> bool:
    """Create a destination, unless another run has done so; return whether it was created here."""
    with suppress(FileExistsError):
        os.mkdir(root, 0o777 if mode is None else mode)
        if mode is not None:
            os.chmod(root, mode)
        return True
    return False
