"""What is at a path where an archive is to be written: an image archive, whole or damaged, or somebody's other file."""
import re
from contextlib import suppress

from occystrap_core import ImageError, detect, inflate
from occystrap_core.oci import Compression, Index
from occystrap_tar import oci_archive
from occystrap_tar.header import BLOCK
from occystrap_tar.members import Archive

_HEX = r'(?:sha256:)?[0-9a-f]{64}'
_PARTS = re.compile(rf'(?:\./)?(?:manifest\.json|index\.json|oci-layout|repositories|blobs(?:/.*)?|{_HEX}'
                    rf'(?:\.json|\.tar(?:\.gz)?|/.*)?)')
"""Names that members of image archives have, whoever wrote them."""


def is_image_archive(path: str) -> bool:
    """Tell whether a file is an image archive, damaged or cut off perhaps, or has nothing in it; raises OSError."""
    with open(path, 'rb') as file:
        block = file.read(BLOCK)
    if not block:
        return True
    if detect(block[:4]) is not Compression.NONE:
        return _begins_as_one(_inflated(path))
    try:
        return any(map(_PARTS.fullmatch, Archive(path).names))
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
    buffer = memoryview(bytearray(BLOCK))
    filled = 0
    with open(path, 'rb', buffering=0) as file, suppress(ImageError):
        stream = inflate(file, path)
        while filled < BLOCK and (count := stream.readinto(buffer[filled:])):
            filled += count
    return bytes(buffer[:filled])


def _begins_as_one(block: bytes) -> bool:
    """Tell whether the first header has the right checksum (POSIX ustar) and is for something in an image."""
    written = block[148:156].strip(b'\0 ')
    if len(block) < BLOCK or not re.fullmatch(rb'[0-7]+', written):
        return False
    summed = sum(block[:148]) + sum(b' ' * 8) + sum(block[156:])
    return int(written, 8) == summed and bool(_PARTS.fullmatch(block[:100].split(b'\0')[0].decode('utf-8', 'replace')))
