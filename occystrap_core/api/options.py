"""Declared options of schemes and filters: their types, how values are read, and errors that name the nearest."""
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from occystrap_core.errors import UnknownOption, UsageError
from occystrap_core.values import value

Values = Mapping[str, Any]
"""Option values by name, of the declared types, every declared option present."""


@value
class OptionType:
    """How the text of a value is read; `parse` raises ValueError with a text that says what is wanted."""

    name: str
    parse: Callable[[str], Any]


def _boolean(text: str) -> bool:
    words = {'true': True, 'yes': True, 'on': True, '1': True, 'false': False, 'no': False, 'off': False, '0': False}
    if text.lower() not in words:
        raise ValueError('true or false is wanted')
    return words[text.lower()]


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError('a whole number is wanted') from None


def _size(text: str) -> int:
    match = re.fullmatch(r'(\d+)\s*([KMGT]?)(i?B)?', text, re.IGNORECASE | re.ASCII)
    if not match:
        raise ValueError('a number of bytes is wanted, such as 512M or 20G')
    return int(match[1]) << 10 * ' KMGT'.index(match[2].upper() or ' ')


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value < 1e9:
        raise ValueError('a number of seconds is wanted')
    return value


STRING = OptionType('text', str)
BOOLEAN = OptionType('true|false', _boolean)
INTEGER = OptionType('number', _integer)
SIZE = OptionType('bytes', _size)
SECONDS = OptionType('seconds', _seconds)


def choice(*names: str) -> OptionType:
    """Return the type of an option that takes one of `names`."""
    def parse(text: str) -> str:
        if text not in names:
            raise ValueError(f'one of {", ".join(names)} is wanted')
        return text
    return OptionType('|'.join(names), parse)


@value
class Option:
    """One declared option. A `secret` value never reaches a receipt, a log or a message."""

    name: str
    type: OptionType = STRING
    default: Any = None
    help: str = ''
    secret: bool = False


def read_options(declared: Sequence[Option], given: Mapping[str, str], owner: str) -> dict[str, Any]:
    """Return a value for every declared option: the given text read by its type, or the default.

    Raises UnknownOption, naming the nearest known one, and UsageError for a value that cannot be read; `owner` is what
    the message says the options belong to.
    """
    known = {option.name: option for option in declared}
    values = {option.name: option.default for option in declared}
    for name, text in given.items():
        if name not in known:
            raise UnknownOption(f'{owner} has no option {name!r}{nearest(name, known)}')
        try:
            values[name] = known[name].type.parse(text)
        except ValueError as error:
            shown = '…' if known[name].secret else repr(text)
            raise UsageError(f'{owner}: option {name}={shown} cannot be read: {error}') from None
    return values


def nearest(name: str, known: Mapping[str, object] | Sequence[str]) -> str:
    """Return `; did you mean …?` with the nearest of `known`, or the list of what there is."""
    import difflib
    close = difflib.get_close_matches(name, list(known), n=1)
    if close:
        return f'; did you mean {close[0]!r}?'
    return f'; there is: {", ".join(sorted(known))}' if known else '; it has none'
