"""Text for the user: untrusted names made safe for a terminal, and sizes."""

LONGEST = 4096
"""Characters of a line that are shown by default."""
_MARKS = 4
"""Combining characters on one letter that are shown; more would cover the lines above and below."""
_BLANK = frozenset('\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0')
"""Characters that count as printable and show nothing, like variation selectors."""


def printable(text: str) -> str:
    """Return text with characters escaped that move the cursor, hide text, or change its direction."""
    if text.isascii() and text.isprintable():
        return text
    return ''.join(_escaped_letters(text))


def one_line(text: str, longest: int | None = LONGEST) -> str:
    """Return `text` as one printable line; what exceeds `longest` characters is left out, with a note."""
    if longest is None or len(text) <= longest:
        shown = printable(text)
        if longest is None or len(shown) <= longest:
            return shown
    return f'{printable(text[:longest])[:longest]}… ({len(text)} characters in all: --debug shows them)'


def _escaped_letters(text: str) -> list[str]:
    from unicodedata import category  # late: not needed for ASCII
    letters, marks = [], 0
    for letter in text:
        marks = marks + 1 if category(letter)[0] == 'M' else 0
        letters.append(letter if _is_shown(letter) and marks <= _MARKS else _escaped(letter))
    return letters


def _is_shown(letter: str) -> bool:
    selects = '\ufe00' <= letter <= '\ufe0f' or '\U000e0100' <= letter <= '\U000e01ef'
    return letter.isprintable() and letter not in _BLANK and not selects


def _escaped(letter: str) -> str:
    if '\udc80' <= letter <= '\udcff':  # a byte that is not UTF-8, as Python represents it in names
        return f'\\x{ord(letter) - 0xdc00:02x}'
    return letter.encode('unicode_escape').decode()


def size_text(count: int) -> str:
    """Return a number of bytes as text: B, KiB, MiB, GiB with one decimal."""
    value, units = float(count), ['B', 'KiB', 'MiB', 'GiB', 'TiB']
    while value >= 1024 and len(units) > 1:
        value /= 1024
        units.pop(0)
    return f'{count} B' if units[0] == 'B' else f'{value:.1f} {units[0]}'


def layers_text(count: int) -> str:
    """Return `1 layer`, or `5 layers`."""
    return '1 layer' if count == 1 else f'{count} layers'
