"""Reading files of a tree, with links resolved within it."""
import os
import stat

from occystrap_core import InvalidImage
from occystrap_dir.workspace.root import Root, join, text

_CAP = 16 << 20
_LINKS = 40


def read_small(root: Root, path: bytes) -> bytes | None:
    """Return a file of up to 16 MiB below a root, links followed within it; None if there is no regular file.

    Raises InvalidImage for a larger one, OSError.
    """
    for _ in range(_LINKS):
        above, _, name = path.rpartition(b'/')
        directory = root.existing(above)
        if directory is None or name in (b'', b'.', b'..'):
            return None
        try:
            kind = os.stat(name, dir_fd=directory.descriptor, follow_symlinks=False).st_mode
        except FileNotFoundError:
            return None
        if stat.S_ISLNK(kind):
            target = os.readlink(name, dir_fd=directory.descriptor)
            path = target.lstrip(b'/') if target.startswith(b'/') else join(directory.path, target)
            continue
        if not stat.S_ISREG(kind):  # opening a device may have effects
            return None
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=directory.descriptor)
        with open(descriptor, 'rb') as file:
            content = file.read(_CAP + 1)
        if len(content) > _CAP:
            raise InvalidImage(f'{text(path)} has more than the {_CAP} bytes allowed')
        return content
    return None
