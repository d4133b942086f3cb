"""Text for the user: untrusted names made safe for a terminal, and sizes."""

LONGEST = 4096
"""Characters of a line that are shown by default."""
_MARKS = 4
"""Number of combining characters shown for one letter; more would cover the lines above and below."""
_BLANK = frozenset('\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0')
"""Characters that are printable for Python but invisible, such as variation selectors."""


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


_UNITS = ('B', 'KiB', 'MiB', 'GiB', 'TiB')


def size_text(count: int) -> str:
    """Return a number of bytes as text: B, KiB, MiB, GiB with one decimal."""
    return f'{_in_unit(count, unit := _unit(count))} {_UNITS[unit]}'


def sizes_text(part: int, whole: int) -> str:
    """Return two numbers of bytes in the unit of the second: `0.3/12.5 MiB`."""
    unit = _unit(whole)
    return f'{_in_unit(part, unit)}/{_in_unit(whole, unit)} {_UNITS[unit]}'


def _unit(count: int) -> int:
    """Return the power of 1024 in which to show a number of bytes, so that it is less than 1024 after rounding."""
    return next((power for power in range(len(_UNITS) - 1) if count < 1023.95 * 1024 ** power), len(_UNITS) - 1)


def _in_unit(count: int, power: int) -> str:
    return f'{count / 1024 ** power:.1f}' if power else str(count)


def duration_text(seconds: float) -> str:
    """Return `1:05`, minutes and seconds, or `2:00:01` with hours."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f'{hours}:{minutes:02}:{rest:02}' if hours else f'{minutes}:{rest:02}'


def shortened(text: str, longest: int) -> str:
    """Return text of at most `longest` characters; an ellipsis replaces the middle of a longer one."""
    if len(text) <= longest:
        return text
    end = max(longest // 2, 1)
    return f'{text[:max(longest - end - 1, 0)]}…{text[-end:]}' if longest > 1 else '…'[:longest]


def counted(count: int, one: str, many: str = '') -> str:
    """Return `1 layer` or `5 layers`; `many` is the plural where an s does not make it."""
    return f'{count} {one if count == 1 else many or one + "s"}'


def images_text(part: int, whole: int) -> str:
    """Return `2/13 images`, or `1/1 image`."""
    return f'{part}/{counted(whole, "image")}'
