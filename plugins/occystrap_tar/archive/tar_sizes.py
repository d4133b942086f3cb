"""How large a layer's tar will be, from a few of its bytes: a hint, so that writers can lay out an archive."""
from occystrap_core.files import detect_compression, inflated_size
from occystrap_core.oci import Compression
from occystrap_tar.archive.members import Archive, Member


def compression(archive: Archive, member: Member) -> Compression:
    """Tell by its first bytes how a member is compressed."""
    return detect_compression(archive.part(member, 0, 4))


def tar_size(archive: Archive, member: Member) -> int | None:
    """Return the size in bytes of a member's uncompressed content, for gzip a hint, None for zstd."""
    found = compression(archive, member)
    if found is Compression.GZIP:
        return inflated_size(archive.part(member, member.size - 4, 4), member.size) if member.size > 18 else None
    return member.size if found is Compression.NONE else None
