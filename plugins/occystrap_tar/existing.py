"""What is at a path where an archive is to be written: an image archive, whole or damaged, or somebody's other file."""
import os
import re
from contextlib import suppress

from occystrap_core import TAR_BLOCK, ImageError, TarReader, detect, inflate
from occystrap_core.oci import Compression, Index
from occystrap_tar import oci_archive
from occystrap_tar.members import Archive

_HEX = r'(?:sha256:)?[0-9a-f]{64}'
_PARTS = re.compile(rf'(?:\./)?(?:manifest\.json|index\.json|oci-layout|repositories|blobs(?:/.*)?|{_HEX}'
                    rf'(?:\.json|\.tar(?:\.gz)?|/.*)?)')
"""Names that members of image archives have, whoever wrote them."""


def is_image_archive(path: str) -> bool:
    """Tell whether a file is an image archive, damaged or cut off perhaps, or has nothing in it; raises OSError."""
    with open(path, 'rb') as file:
        block = file.read(TAR_BLOCK)
    if not block:
        return True
    if detect(block[:4]) is not Compression.NONE:
        return _begins_as_one(_inflated(path))
    try:
        return any(map(_PARTS.fullmatch, Archive(path).counts))
    except ImageError:
        return _begins_as_one(block)


def indexes_in(path: str) -> list[Index]:
    """Return the indexes that an OCI archive has under its names, none where it cannot be read; raises OSError."""
    try:
        return oci_archive.indexes(Archive(path))
    except ImageError:
        return []


def _inflated(path: str) -> bytes:
    """Return the first block of a compressed file, less where it is damaged."""
    buffer = memoryview(bytearray(TAR_BLOCK))
    filled = 0
    with open(path, 'rb', buffering=0) as file, suppress(ImageError):
        stream = inflate(file, path)
        while filled < TAR_BLOCK and (count := stream.readinto(buffer[filled:])):
            filled += count
    return bytes(buffer[:filled])


def _begins_as_one(block: bytes) -> bool:
    """Tell whether the first header is sound and for something in an image."""
    try:
        first = next(TarReader(iter([memoryview(block)])).entries(), None)
    except ImageError:
        return False
    return first is not None and bool(_PARTS.fullmatch(os.fsdecode(first.name)))
