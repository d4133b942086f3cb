"""Matches as lines for people and for scripts, and as JSON."""
from collections.abc import Iterator, Sequence
from typing import Any

from occystrap_core.oci.reference import Reference
from occystrap_core.search.image_search import VISIBLE, Match
from occystrap_core.tar.whiteouts import DELETED, SHADOWED
from occystrap_core.terminal_text import counted, size_text

LONGEST_PATH = 1 << 15
"""Characters of a line with a path: enough for the longest path of Linux with all bytes escaped, four characters each.
"""


def lines(matches: Sequence[Match]) -> Iterator[str]:
    """Yield a line for people for each match: layer, type, size, path, and its state."""
    for match in matches:
        assert match.diff_id
        target = f' -> {_text(match.linkname)}' if match.linkname else ''
        fate = '' if match.state == VISIBLE else f'  ({match.state} by layer {match.by})'
        yield (f'{match.layer:>3} {match.diff_id.hex[:12]} {match.type:<9} {size_text(match.size):>10}  '
               f'{_text(match.path)}{target}{fate}')


def script_lines(reference: Reference, matches: Sequence[Match]) -> Iterator[str]:
    """Yield `image:tag:layer:path` for each match, the layer by the digest of its tar, without `sha256:`."""
    name = f'{reference.repository}:{reference.tag or reference.digest or ""}'
    for match in matches:
        assert match.diff_id
        yield f'{name}:{match.diff_id.hex}:{_text(match.path)}'


def to_json(match: Match) -> dict[str, Any]:
    """Return a match for programs; bytes of names that are not UTF-8 are lone surrogates, as in Python."""
    return {'path': _text(match.path), 'layer': match.layer, 'diff_id': str(match.diff_id), 'type': match.type,
            'size': match.size, 'mode': f'{match.mode:04o}', 'uid': match.uid, 'gid': match.gid, 'mtime': match.mtime,
            'target': _text(match.linkname) if match.linkname else None, 'state': match.state, 'by': match.by}


def _text(name: bytes) -> str:
    return name.decode('utf-8', 'surrogateescape')


def found_text(matches: Sequence[Match]) -> str:
    """Return the number of matches in all and in each state, in words."""
    parts = [counted(len(matches), 'match', 'matches')]
    for state in (VISIBLE, SHADOWED, DELETED):
        if count := sum(match.state == state for match in matches):
            parts.append(f'{count} {state}')
    return ', '.join(parts)
