"""What protects receipts that are read: the digest of their content, and a limit on lists in their JSON."""
import json
from collections.abc import Mapping
from typing import Any

from occystrap_core.oci.digest import Digest

LONGEST = 16 << 20
"""Most bytes of a receipt: some 60,000 expectations."""
_BRACKETS, _BYTES_PER_BRACKET = 256, 16
"""A receipt has no more brackets than this number, and one for so many bytes besides; real ones have a tenth."""


def require_sparse(raw: bytes) -> None:
    """Raise ValueError for JSON that is little but brackets, which takes a hundred times its size in memory."""
    if raw.count(b'[') + raw.count(b'{') > _BRACKETS + len(raw) // _BYTES_PER_BRACKET:
        raise ValueError('it has more lists than a receipt can have')


def seal(document: Mapping[str, Any]) -> Digest:
    """Return the digest of a receipt's content, regardless of its JSON formatting."""
    return Digest.of(json.dumps(document, sort_keys=True, separators=(',', ':')).encode())
