"""The keys below the prefix of a layout. Two names never have one key."""
from occystrap_core.oci import Digest

RECORDS, RECEIPTS, CHECKSUMS = 'images/', 'receipts/', 'checksums/'
_PLAIN = frozenset(b'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-')


def record_key(name: str, digest: Digest) -> str:
    """Return the key of an image's record: that of its name or, without one, of its digest."""
    return f'{RECORDS}names/{escaped(name)}.json' if name else f'{RECORDS}digests/{digest.algorithm}-{digest.hex}.json'


def receipt_key(record: bytes) -> str:
    """Return the key of the receipt for what a record says, so that a receipt never stands for another image."""
    return f'{RECEIPTS}{Digest.of(record).hex}.json'


def checksum_key(digest: Digest) -> str:
    """Return the key of the record of what the server stores as the checksum of a blob that it got in parts."""
    return f'{CHECKSUMS}{digest.algorithm}/{digest.hex}.json'


def escaped(name: str) -> str:
    """Return a name as one part of a key that every program takes: other bytes become `!` and two hexadecimal digits.

    A slash is escaped, too, since on disk `a` and `a/b` might be a file and a directory of one name.
    """
    return ''.join(chr(byte) if byte in _PLAIN else f'!{byte:02X}' for byte in name.encode())
