"""The keys below the prefix of a layout. Two names never have one key."""
import re

from occystrap_core.oci import Digest, Entry, names_of

RECORDS, RECEIPTS, CHECKSUMS = 'images/', 'receipts/', 'checksums/'
_PLAIN = frozenset(b'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-')
_RECORD = re.compile(rf'{RECORDS}(?:names/(?:[A-Za-z0-9._-]|![0-9A-F]{{2}})+|digests/sha(?:256|512)-[0-9a-f]+)\.json')


def record_key(name: str, digest: Digest) -> str:
    """Return the key of an image's record: that of its name or, without one, of its digest."""
    return f'{RECORDS}names/{escaped(name)}.json' if name else f'{RECORDS}digests/{digest.algorithm}-{digest.hex}.json'


def key_of(entry: Entry) -> str:
    """Return the key of the record of an image that has this entry; raises InvalidImage for a malformed digest."""
    return record_key(min(names_of(entry)), Digest(entry['digest']))


def is_record(key: str) -> bool:
    """Return whether a key can be that of a record; anything else below `images/` is of a layout there, or foreign."""
    return bool(_RECORD.fullmatch(key))


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
