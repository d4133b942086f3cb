"""How large a layer's tar will be, from a few of its bytes: a hint, so that writers can lay out an archive."""
from occystrap_tar.members import Archive, Member

_GZIP, _ZSTD = b'\x1f\x8b', b'\x28\xb5\x2f\xfd'


def is_compressed(archive: Archive, member: Member) -> bool:
    """Tell by its first bytes whether a member is compressed (RFC 1952 2.3.1, RFC 8878 3.1.1)."""
    return archive.part(member, 0, 4).startswith((_GZIP, _ZSTD))


def tar_size(archive: Archive, member: Member) -> int | None:
    """Return the size in bytes of a member's uncompressed content, None for zstd.

    For gzip it is in the last four bytes (RFC 1952, 2.3.1), modulo 2^32.
    """
    magic = archive.part(member, 0, 4)
    if magic.startswith(_GZIP):
        return int.from_bytes(archive.part(member, member.size - 4, 4), 'little') if member.size > 18 else None
    return None if magic.startswith(_ZSTD) else member.size
