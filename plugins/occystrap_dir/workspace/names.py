"""Files by names from documents or receipts, which are not trusted to stay within the directory."""
import os
import re
import stat

from occystrap_core import ImageNotFound
from occystrap_dir.workspace.beneath import Beneath


def file_size(root: str, name: str) -> int:
    """Return the size in bytes of the regular file `name` below `root`, reached without following links.

    Raises WrongKind for anything else, InvalidImage for a name that leads out, FileNotFoundError, OSError.
    """
    return Beneath(root).size(name)


def open_inside(root: str, name: str) -> int:
    """Return a descriptor of the regular file `name`, following links that stay below `root`; for sources only.

    Raises InvalidImage for a name or link that leads out, WrongKind for anything else, FileNotFoundError, OSError.
    """
    place = Beneath(root)
    return place.open(place.resolved(name))


def read_document(root: str, name: str, cap: int, links: bool = False) -> bytes:
    """Return the content of a small file; with `links`, for sources only, follow links that stay below `root`.

    Raises InvalidImage when it has more than `cap` bytes or a name that leads out, WrongKind if it is not a regular
    file, and OSError.
    """
    place = Beneath(root)
    return place.read(place.resolved(name) if links else name, cap)


def directory_name(root: str) -> str:
    """Return a name for an image that has none: that of its directory, in the form of a repository."""
    words = re.findall(r'[a-z0-9]+', os.path.basename(os.path.realpath(root)).lower())
    return '-'.join(words) or 'image'


def require_directory(path: str) -> None:
    """Raise ImageNotFound unless a source's directory is there."""
    try:
        mode = os.stat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        raise ImageNotFound(f'there is no directory {path}') from None
    except OSError as error:
        raise ImageNotFound(f'cannot read {path}: {error.strerror}') from None
    if stat.S_ISREG(mode):
        raise ImageNotFound(f'{path} is a file, not a directory: for an archive write tar://')
    if not stat.S_ISDIR(mode):
        raise ImageNotFound(f'there is no directory {path}')
