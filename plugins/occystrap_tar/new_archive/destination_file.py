"""The file at the destination of a new archive: whether it may be replaced, checked before any download."""
import os
import re
from contextlib import suppress

from occystrap_core import OutputError
from occystrap_core.files import ImageError, detect_compression, inflate, output_errors
from occystrap_core.oci import Compression
from occystrap_core.tar import TAR_BLOCK, TarReader
from occystrap_tar.archive import oci_archive
from occystrap_tar.archive.members import Archive
from occystrap_tar.archive.oci_archive import PresentImage

_HEX = r'(?:sha256:|sha512:)?[0-9a-f]{64}(?:[0-9a-f]{64})?'
_PARTS = re.compile(rf'(?:\./)?(?:manifest\.json|index\.json|oci-layout|repositories|blobs(?:/.*)?|{_HEX}'
                    rf'(?:\.json|\.tar(?:\.gz)?|/.*)?)')
"""Names of members of image archives, of any program."""


def is_image_archive(path: str) -> bool:
    """Return whether a file is an image archive, possibly damaged or cut off, or empty; raises OSError."""
    with open(path, 'rb') as file:
        block = file.read(TAR_BLOCK)
    if not block:
        return True
    if detect_compression(block) is not Compression.NONE:
        return _begins_as_one(_inflated(path))
    try:
        return any(map(_PARTS.fullmatch, Archive(path).counts))
    except ImageError:
        return _begins_as_one(block)


def archive_at(path: str) -> Archive | None:
    """Return the archive that is to be replaced, None if there is none or it cannot be read; raises OSError."""
    try:
        return Archive(path) if os.path.isfile(path) else None
    except ImageError:
        return None


def images_in(archive: Archive | None) -> list[PresentImage]:
    """Return the images in an OCI archive, none if it has none or they cannot be read; raises OSError."""
    try:
        return oci_archive.present_images(archive) if archive else []
    except ImageError:
        return []


def _inflated(path: str) -> bytes:
    """Return the first block of a compressed file, less if it is damaged."""
    buffer = memoryview(bytearray(TAR_BLOCK))
    filled = 0
    with open(path, 'rb', buffering=0) as file, suppress(ImageError):
        stream = inflate(file, path)
        while filled < TAR_BLOCK and (count := stream.readinto(buffer[filled:])):
            filled += count
    return bytes(buffer[:filled])


def _begins_as_one(block: bytes) -> bool:
    """Return whether the first header is valid and that of a member of an image archive."""
    try:
        first = next(TarReader(iter([memoryview(block)])).entries(), None)
    except ImageError:
        return False
    return first is not None and bool(_PARTS.fullmatch(os.fsdecode(first.name)))


def check_destination(path: str, force: bool = False) -> None:
    """Raise OutputError unless `path` is free or an image archive, which may be replaced, in an existing directory.

    With `force` any regular file may be replaced.
    """
    directory = os.path.dirname(path)
    with output_errors(path):
        if os.path.islink(path):
            raise OutputError(f'{path} is a symbolic link: name the file that it leads to, or remove it')
        if os.path.isdir(path):
            raise OutputError(f'{path} is a directory: name a file for the archive')
        if os.path.lexists(path):
            _check_existing(path, force)
        if not os.path.isdir(directory):
            raise OutputError(f'cannot write {path}: there is no directory {directory}; make it first')
        if not os.access(directory, os.W_OK | os.X_OK):
            raise OutputError(f'cannot write {path}: {directory} is not writable; change its permissions or '
                              'name another one')


def _check_existing(path: str, force: bool) -> None:
    if not os.path.isfile(path):
        raise OutputError(f'{path} is not a regular file: name another one for the archive')
    if not os.access(path, os.W_OK):
        raise OutputError(f'{path} is read-only: remove it or name another file')
    if not force and not is_image_archive(path):
        raise OutputError(f'{path} is not an image archive, and would be lost: name another file, or give --force')
