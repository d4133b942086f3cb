"""Whether an archive may be written to a path: asked before anything is downloaded."""
import os

from occystrap_core import OutputError, writing
from occystrap_tar.existing import is_image_archive


def check_destination(path: str, force: bool = False) -> None:
    """Raise OutputError unless `path` is free or a image archive that may be replaced, in a folder that is there.

    With `force` it may be any regular file.
    """
    folder = os.path.dirname(path)
    with writing(path):
        if os.path.islink(path):
            raise OutputError(f'{path} is a symbolic link: name the file that it leads to, or remove it')
        if os.path.isdir(path):
            raise OutputError(f'{path} is a folder: name a file for the archive')
        if os.path.lexists(path):
            _check_existing(path, force)
        if not os.path.isdir(folder):
            raise OutputError(f'cannot write {path}: there is no folder {folder}; make it first')
        if not os.access(folder, os.W_OK | os.X_OK):
            raise OutputError(f'cannot write {path}: the folder {folder} is not writable; change its permissions or '
                              'name another one')


def _check_existing(path: str, force: bool) -> None:
    if not os.path.isfile(path):
        raise OutputError(f'{path} is not a regular file: name another one for the archive')
    if not os.access(path, os.W_OK):
        raise OutputError(f'{path} is there and read-only: remove it or name another file')
    if not force and not is_image_archive(path):
        raise OutputError(f'{path} is no image archive, and would be lost: name another file, or give --force')
