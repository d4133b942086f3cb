"""The blocks of a tar that is written: headers that depend on name and size alone, padding, end (POSIX ustar)."""
import tarfile

BLOCK = 512
END = bytes(2 * BLOCK)


def header(name: str, size: int) -> bytes:
    """Return the header of a regular file of `size` bytes, in base 256 (as GNU tar does) from 8 GiB on."""
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o644
    return member.tobuf(tarfile.GNU_FORMAT)


def padded(size: int) -> int:
    """Return `size` rounded up to whole blocks."""
    return (size + BLOCK - 1) // BLOCK * BLOCK


def whole_member(name: str, data: bytes) -> bytes:
    """Return a small member with its header and padding."""
    return header(name, len(data)) + data.ljust(padded(len(data)), b'\0')
