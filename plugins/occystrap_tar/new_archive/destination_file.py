"""Whether the file at the destination of a new archive may be replaced, checked before any download."""
import os

from occystrap_core import OutputError, Settings
from occystrap_core.files import output_errors
from occystrap_tar.new_archive.replaced_archive import ReplacedArchive


def check_destination(path: str, settings: Settings) -> None:
    """Raise OutputError unless `path` is free or an image archive, which may be replaced, in an existing directory.

    With --force any regular file may be replaced.
    """
    directory = os.path.dirname(path)
    with output_errors(path):
        if os.path.islink(path):
            raise OutputError(f'{path} is a symbolic link: give the file that it leads to, or remove it')
        if os.path.isdir(path):
            raise OutputError(f'{path} is a directory: give a file for the archive')
        if os.path.lexists(path):
            _check_existing(path, settings)
        if not os.path.isdir(directory):
            raise OutputError(f'cannot write {path}: there is no directory {directory}; create it first')
        if not os.access(directory, os.W_OK | os.X_OK):
            raise OutputError(f'cannot write {path}: {directory} is not writable; change its permissions or '
                              'choose another one')


def _check_existing(path: str, settings: Settings) -> None:
    if not os.path.isfile(path):
        raise OutputError(f'{path} is not a regular file: choose another one for the archive')
    if not os.access(path, os.W_OK):
        raise OutputError(f'{path} is read-only: remove it or choose another file')
    if not settings.force:
        ReplacedArchive.at(path, settings).require_replaceable(path)
