"""Names within a directory, as documents or receipts give them: never trusted to stay in it."""
import os
import re

from occystrap_dir.workspace.beneath import Beneath, WrongKind

__all__ = ['WrongKind', 'file_size', 'directory_name', 'open_inside', 'read_document']


def file_size(root: str, name: str) -> int:
    """Return the size in bytes of the regular file `name` below `root`, reached without any link.

    Raises WrongKind for anything that is not one, InvalidImage for a name that leads out, FileNotFoundError, OSError.
    """
    return Beneath(root).size(name)


def open_inside(root: str, name: str) -> int:
    """Return a descriptor of the regular file `name`, whose links, if any, stay below `root`: for sources alone.

    Raises InvalidImage for a name or link that leads out, WrongKind for what is no file, FileNotFoundError, OSError.
    """
    place = Beneath(root)
    return place.open(place.resolved(name))


def read_document(root: str, name: str, cap: int, links: bool = False) -> bytes:
    """Return the content of a small file; with `links`, for sources alone, links are followed that stay below `root`.

    Raises InvalidImage when it has more than `cap` bytes or a name that leads out, WrongKind for what is no file, and
    OSError.
    """
    place = Beneath(root)
    return place.read(place.resolved(name) if links else name, cap)


def directory_name(root: str) -> str:
    """Return what to call an image that has no name: like its directory, in the form of a repository."""
    words = re.findall(r'[a-z0-9]+', os.path.basename(os.path.realpath(root)).lower())
    return '-'.join(words) or 'image'
