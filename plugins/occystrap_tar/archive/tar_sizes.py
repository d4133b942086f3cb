"""The size of a layer's tar, estimated from a few bytes of its blob, so that writers can lay out an archive."""
from occystrap_core.files import GZIP_END, MAGIC_SIZE, detect_compression, inflated_size
from occystrap_core.oci import Compression
from occystrap_tar.archive.members import Archive, Member


def compression(archive: Archive, member: Member) -> Compression:
    """Return the compression of a member, detected by its first bytes."""
    return detect_compression(archive.part(member, 0, MAGIC_SIZE))


def tar_size(archive: Archive, member: Member) -> int | None:
    """Return the size in bytes of a member's uncompressed content; an estimate for gzip, None for zstd."""
    found = compression(archive, member)
    if found is Compression.GZIP:
        count = min(GZIP_END, member.size)
        return inflated_size(archive.part(member, member.size - count, count), member.size)
    return member.size if found is Compression.NONE else None
