"""Opening a permanent storage: recognised as ours, locked by one process, without leftovers of a killed one."""
import errno
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import TypeVar

from occystrap_core import InvalidImage, OutputError
from occystrap_core.files import output_errors
from occystrap_core.oci import BLOB_DIRECTORIES, LAYOUT_FILE, parse_object
from occystrap_registry.server.storage import Storage
from occystrap_registry.server.stored_blobs import REPOSITORIES

MARKER = 'occystrap-registry'
"""The file that marks a directory as a storage, and states its version."""
_VERSION = b'{"version":1}'
S = TypeVar('S', bound=Storage)


def open_storage(root: Path) -> AbstractContextManager[Storage]:
    """Like `open_storage_as`, for a storage that flushes what it stores."""
    return open_storage_as(root, partial(Storage, durable=True))


@contextmanager
def open_storage_as(root: Path, make: Callable[[Path], S]) -> Iterator[S]:
    """Yield the storage in a directory, created if missing, and locked against other processes while the block runs.

    Raises OutputError, saying what to do, if the directory has other content, is in use, or cannot be written to.
    """
    with output_errors(str(root)):
        if not is_storage(root):
            _require_empty(root)
            root.mkdir(parents=True, exist_ok=True)
            (root / MARKER).write_bytes(_VERSION)
        _require_own_directories(root)
        storage = make(root)
        lock = storage.files.lock()
    if lock is None:
        raise OutputError(f'{root} is in use by another occystrap serve, proxy or gc: stop that first, or choose '
                          'another directory')
    try:
        with output_errors(str(root)):
            storage.files.clear_temporary()
            _require_links(storage)
        yield storage
    finally:
        os.close(lock)


def open_to_read(root: Path) -> Storage:
    """Return the storage in a directory, which must not be changed; raises OutputError if there is none."""
    with output_errors(str(root)):
        if not is_storage(root):
            raise OutputError(f'{root} is not a storage directory of occystrap serve: give one, or an image layout as '
                              f'layout://{root}')
        _require_own_directories(root)
    return Storage(root, read_only=True)


def is_storage(root: Path) -> bool:
    """Return whether a directory is a storage; raises OutputError for one of another version, OSError."""
    try:
        raw = (root / MARKER).read_bytes()
    except FileNotFoundError:
        return False
    try:
        version = parse_object(raw, MARKER).get('version') if raw else 1  # empty: killed meanwhile
    except InvalidImage:
        version = None
    if version != 1:
        raise OutputError(f'{root} is the storage of another version of occystrap: use that, or choose another '
                          'directory')
    return True


def _require_empty(root: Path) -> None:
    if not root.exists():
        return
    names = os.listdir(root)
    if LAYOUT_FILE in names:
        raise OutputError(f'{root} is an image layout: give it as layout://{root}, which is served read-only')
    if names:
        raise OutputError(f'{root} is neither empty nor a storage directory of occystrap serve: choose a new directory')


def _require_own_directories(root: Path) -> None:
    """Raise OutputError if a directory of a storage is a link, since its target is not ours to change, remove, or
    serve."""
    for path in _directories(root):
        if path.is_symlink():
            raise OutputError(f'{path} is a symbolic link, which a storage never contains: remove it, or choose '
                              'another directory')


def _directories(root: Path) -> Iterator[Path]:
    """Yield the paths that must be directories in a storage if they exist."""
    yield from (root / name for name in ('temporary', 'blobs', *BLOB_DIRECTORIES, REPOSITORIES))
    pending = [root / REPOSITORIES] if (root / REPOSITORIES).exists() else []
    while pending:
        for entry in os.scandir(pending.pop()):
            path = Path(entry.path)
            yield path
            if entry.name == '_layout':
                yield from (path / name for name in ('blobs', *BLOB_DIRECTORIES))
            elif entry.name == '_referrers' or not entry.name.startswith('_') and entry.is_dir():
                pending.append(path)


def _require_links(storage: Storage) -> None:
    """Raise OutputError if the file system has no hard links, by which repositories share blobs."""
    files = storage.files
    existing, link = files.write_incomplete(b''), files.new_name()
    try:
        if not files.link(existing, link):
            raise OSError(errno.EMLINK, os.strerror(errno.EMLINK))
    except OSError as error:
        raise OutputError(f'{files.root} is on a file system without hard links ({error.strerror}): choose a directory '
                          'on another') from None
    finally:
        existing.unlink(missing_ok=True)
        link.unlink(missing_ok=True)
