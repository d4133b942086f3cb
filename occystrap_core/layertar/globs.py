"""Globs over the paths within layers, as gitignore(5) has them, compiled to one regular expression over bytes.

A glob without a slash matches names at any depth; one with a slash, in front or within, matches from the root. `*` and
`?` stay within a name, `**` goes through any folders, `[a-z]` and `[!a-z]` are one character, `\\` takes the next one
as it is. A slash at the end matches folders alone. Whatever lies below a folder that matches matches as well, unless
that is not wanted.
"""
import os
import re
from collections.abc import Iterator, Sequence

from occystrap_core.errors import UsageError

_CHARACTER = rb'(?:[\x00-\x2e\x30-\x7f]|[\xc0-\xff][\x80-\xbf]*|[\x80-\xbf])'
"""One UTF-8 character that is no slash, or one byte of what is not UTF-8."""


class Globs:
    """Several globs, matched at once."""

    def __init__(self, patterns: Sequence[str], below: bool = True) -> None:
        """`below`: with a folder matches what is in it. Raises UsageError for a glob that cannot be understood."""
        expressions = [_expression(pattern, below) for pattern in patterns]
        self._matches = re.compile(b'|'.join(expressions), re.DOTALL).fullmatch

    def match(self, path: bytes, is_folder: bool = False) -> bool:
        """Tell whether a path, or a folder above it, matches one of the globs; the path is as `plain_path` gives it.

        The root never does.
        """
        return bool(path) and self._matches(path + b'/' if is_folder else path) is not None


def plain_path(name: bytes) -> bytes:
    """Return an entry's name without `./`, doubled slashes, and slashes at either end; the root is empty."""
    if not name.startswith((b'./', b'/')) and b'//' not in name and b'/./' not in name:
        return b'' if name == b'.' else name.removesuffix(b'/').removesuffix(b'/.')
    return b'/'.join(part for part in name.split(b'/') if part not in (b'', b'.'))


def _expression(pattern: str, below: bool) -> bytes:
    folders, text = pattern.endswith('/'), pattern.rstrip('/')
    if not text.strip('/'):
        raise UsageError(f'{pattern!r} is no pattern: it matches no name')
    anchored = '/' in text
    start = b'' if anchored else b'(?:[^/]+/)*'
    end = (b'/.*' if folders else b'(?:/.*)?') if below else (b'/' if folders else b'/?')
    return start + b''.join(_parts(text.lstrip('/'), pattern)) + end


def _parts(text: str, pattern: str) -> Iterator[bytes]:
    """Yield the expressions of a glob's parts."""
    place = 0
    while place < len(text):
        rest = text[place:]
        if rest.startswith('**/') and text[place - 1:place] in ('', '/'):
            yield b'(?:[^/]+/)*'
            place += 3
        elif rest == '**' and text[place - 1:place] in ('', '/'):
            yield b'.+'
            place += 2
        elif rest[0] == '*':
            begins_name = text[place - 1:place] in ('', '/')
            yield rb'(?!/|\Z)[^/]*' if begins_name else b'[^/]*'  # a name has a character at least
            place += len(rest) - len(rest.lstrip('*'))
        elif rest[0] == '[':
            expression, length = _class(rest, pattern)
            yield expression
            place += length
        else:
            escaped = rest[0] == '\\' and len(rest) > 1
            yield _CHARACTER if rest[0] == '?' else re.escape(os.fsencode(rest[escaped]))
            place += 1 + escaped


def _class(rest: str, pattern: str) -> tuple[bytes, int]:
    """Return the expression for `[…]` at the start of `rest`, and its length; raises UsageError."""
    end = rest.find(']', 3 if rest[1:2] in ('!', '^') else 2)
    if end < 0:
        raise UsageError(f'pattern {pattern!r}: [ has no ]; write \\[ for the character itself')
    negated, inner = rest[1] in '!^', rest[2 if rest[1] in '!^' else 1:end]
    ranges = re.findall(r'(.)-(.)|(.)', inner, re.DOTALL)
    alternatives = [_range(low, high, pattern) if low else re.escape(os.fsencode(one)) for low, high, one in ranges]
    one_of = b'(?:' + b'|'.join(alternatives) + b')'
    return (b'(?!' + one_of + b')' + _CHARACTER if negated else b'(?!/)' + one_of), end + 1


def _range(low: str, high: str, pattern: str) -> bytes:
    if not low <= high < '\x80':
        raise UsageError(f'pattern {pattern!r}: {low}-{high} is no range of ASCII characters')
    return b'[%b-%b]' % (re.escape(low.encode()), re.escape(high.encode()))
