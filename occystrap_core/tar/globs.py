r"""Globs for the paths in layers, as in gitignore(5), compiled to one regular expression.

A glob without a slash matches names at any depth; one with a slash, at the start or within, matches from the root. `*`
and `?` stay within a name, `**` crosses directories, `[a-z]` and `[!a-z]` match one character, `\` takes the next one
literally. A slash at the end matches directories only. Everything below a matching directory matches too, if `below` is
true.

Names come from the maker of an image, and a regular expression cannot be interrupted, so its time must not grow
exponentially: the text after a star is searched once, at its first occurrence, and never again further on (atomic
groups). This finds every match, as a later occurrence leaves less room for the rest of the glob. Between two `**` the
same holds for sequences of names.
"""
import re
from collections.abc import Sequence

from occystrap_core.errors import UsageError
from occystrap_core.oci.patterns import STAR, between_stars

_NAME_ENDS = r'(?=/|\Z)'
_DEEP = '**'


class Globs:
    """Several globs, matched in one pass."""

    def __init__(self, patterns: Sequence[str], below: bool = True) -> None:
        """`below`: everything in a matching directory matches. Raises UsageError for a malformed glob."""
        expressions = [_expression(pattern, below) for pattern in patterns]
        self._matches = re.compile('|'.join(expressions), re.DOTALL).match

    def match(self, path: bytes, is_directory: bool = False) -> bool:
        """Return whether a path, or a directory above it, matches one of the globs; the path is in the form of
        `plain_path`.

        The root never matches. Bytes that are not UTF-8 count as characters.
        """
        text = path.decode('utf-8', 'surrogateescape')
        return bool(path) and self._matches(text + '/' if is_directory else text) is not None


def plain_path(name: bytes) -> bytes:
    """Return an entry's name without `./`, doubled slashes, and slashes at either end; the root is empty."""
    if not name.startswith((b'./', b'/')) and b'//' not in name and b'/./' not in name:
        return b'' if name == b'.' else name.removesuffix(b'/').removesuffix(b'/.')
    return b'/'.join(part for part in name.split(b'/') if part not in (b'', b'.'))


def _expression(pattern: str, below: bool) -> str:
    directories, text = pattern.endswith('/'), pattern.rstrip('/')
    if not text.strip('/'):
        raise UsageError(f'{pattern!r} is not a pattern: it matches no name')
    names = _names(text.lstrip('/'), pattern)
    if '/' not in text:
        names = [[_DEEP], *names]
    if names[-1] == [_DEEP]:
        names.append([STAR])  # at the end it means everything below
    end = ('(?=/)' if directories else _NAME_ENDS) if below else (r'/\Z' if directories else r'/?\Z')
    return _anywhere(_runs(names), end, below)


def _anywhere(runs: list[str], end: str, below: bool) -> str:
    """Return the expression for runs of names with any directories between them, the first at the root."""
    first, *others = runs
    if not others:
        return first + end
    start = f'{first}/' if first else ''
    middle = ''.join(f'(?>(?:[^/]++/)*?{run}/)' for run in others[:-1])
    directories = '(?:[^/]++/)*?' if below else '(?:[^/]++/)*'  # the last one is searched from the end
    return f'{start}{middle}(?>{directories}{others[-1]}{end})'


def _runs(names: list[list[str]]) -> list[str]:
    """Return the expressions between `**`: sequences of names."""
    runs: list[list[str]] = [[]]
    for name in names:
        if name != [_DEEP]:
            runs[-1].append(_name(name))
        elif runs[-1] or len(runs) == 1:  # two in a row count as one
            runs.append([])
    return ['/'.join(run) for run in runs]


def _name(parts: list[str]) -> str:
    """Return the expression of one name, from the parts of a glob."""
    if all(part == STAR for part in parts):
        return '[^/]++' if parts else ''  # a name has at least one character
    first, *others = between_stars(parts)
    if not others:
        return first
    middle = ''.join(f'(?>[^/]*?{piece})' for piece in others[:-1])
    return f'(?>{first}{middle}[^/]*{others[-1]}{_NAME_ENDS})'


def _names(text: str, pattern: str) -> list[list[str]]:
    """Return the parts of each name of a glob: stars, and expressions for one character each."""
    names: list[list[str]] = [[]]
    place = 0
    while place < len(text):
        rest = text[place:]
        begins = not names[-1]
        if begins and (rest.startswith('**/') or rest == '**'):
            names[-1].append(_DEEP)
            place += 2
        elif rest.startswith(('/', '\\/')):
            names.append([])
            place += 1 + (rest[0] == '\\')
        elif rest[0] == '*':
            names[-1].append(STAR)
            place += len(rest) - len(rest.lstrip('*'))
        elif rest[0] == '[':
            expression, length = _class(rest, pattern)
            names[-1].append(expression)
            place += length
        else:
            escaped = rest[0] == '\\' and len(rest) > 1
            names[-1].append('[^/]' if rest[0] == '?' else re.escape(rest[escaped]))
            place += 1 + escaped
    return names


def _class(rest: str, pattern: str) -> tuple[str, int]:
    """Return the expression for `[…]` at the start of `rest`, and its length; raises UsageError."""
    end = rest.find(']', 3 if rest[1:2] in ('!', '^') else 2)
    if end < 0:
        raise UsageError(f'pattern {pattern!r}: [ has no ]; write \\[ for the character itself')
    negated, inner = rest[1] in '!^', rest[2 if rest[1] in '!^' else 1:end]
    ranges = re.findall(r'(.)-(.)|(.)', inner, re.DOTALL)
    characters = ''.join(_range(low, high, pattern) if low else re.escape(one) for low, high, one in ranges)
    return (f'[^/{characters}]' if negated else f'(?!/)[{characters}]'), end + 1


def _range(low: str, high: str, pattern: str) -> str:
    if not low <= high < '\x80':
        raise UsageError(f'pattern {pattern!r}: {low}-{high} is not a range of ASCII characters')
    return f'{re.escape(low)}-{re.escape(high)}'
