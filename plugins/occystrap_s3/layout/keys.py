"""The keys below the prefix of a layout. Different names have different keys."""
import re

from occystrap_core import Expectation
from occystrap_core.oci import Digest, Entry, names_of

RECORDS, RECEIPTS, CHECKSUMS = 'images/', 'receipts/', 'checksums/'
_PLAIN = frozenset(b'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-')
_RECEIPT = re.compile(rf'({RECEIPTS}[0-9a-f]{{64}}/)[0-9a-f]{{64}}\.json')
_RECORD = re.compile(rf'{RECORDS}(?:names/(?:[A-Za-z0-9._-]|![0-9A-F]{{2}})+|digests/sha(?:256|512)-[0-9a-f]+)\.json')


def record_key(name: str, digest: Digest) -> str:
    """Return the key of an image's record, made from its name or, without one, from its digest."""
    return f'{RECORDS}names/{escaped(name)}.json' if name else f'{RECORDS}digests/{digest.algorithm}-{digest.hex}.json'


def key_of(entry: Entry) -> str:
    """Return the key of the record of an image that has this entry; raises InvalidImage for a malformed digest."""
    return record_key(min(names_of(entry)), Digest(entry['digest']))


def expected_key(entry: Expectation) -> str:
    """Return the key of the record of an image by the entry that its receipt expects."""
    manifest = entry.covers[0] if entry.covers else Digest(entry.locator)
    return record_key('' if entry.locator == manifest else entry.locator, manifest)


def is_record(key: str) -> bool:
    """Return whether a key may be that of a record; other keys below `images/` belong to another layout or program."""
    return bool(_RECORD.fullmatch(key))


def receipt_key(key: str, record: bytes) -> str:
    """Return the key of the receipt for a record: made from its key, so that a list shows for which records there are
    receipts, and from its content, so that it never belongs to another image."""
    return f'{receipts_prefix(key)}{Digest.of(record).hex}.json'


def receipts_prefix(key: str) -> str:
    """Return the beginning of the keys of all receipts for a record, also for what it was before it was replaced."""
    return f'{RECEIPTS}{Digest.of(key.encode()).hex}/'


def prefix_of_receipt(key: str) -> str:
    """Return the beginning of the key of a receipt, as `receipts_prefix` does; empty for a key that is of none."""
    found = _RECEIPT.fullmatch(key)
    return found[1] if found else ''


def checksum_key(digest: Digest) -> str:
    """Return the key of the checksum record of a blob that was sent in parts."""
    return f'{CHECKSUMS}{digest.algorithm}/{digest.hex}.json'


def escaped(name: str) -> str:
    """Return a name as one part of a key that every program accepts: other bytes become `!` and two hexadecimal digits.

    Slashes are escaped, too, since otherwise `a` and `a/b` would be a file and a directory with one name on disk.
    """
    return ''.join(chr(byte) if byte in _PLAIN else f'!{byte:02X}' for byte in name.encode())
