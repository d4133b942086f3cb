"""Options of schemes and filters: their types, parsing of values, and errors that suggest the nearest name."""
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from occystrap_core.errors import UnknownOption, UsageError, nearest


class OptionType:
    """The type of an option's value; `parse` raises ValueError with a text that says what is expected."""

    STRING: ClassVar['OptionType']
    BOOLEAN: ClassVar['OptionType']
    INTEGER: ClassVar['OptionType']
    SIZE: ClassVar['OptionType']
    """Bytes, as in 512M or 20G."""
    SECONDS: ClassVar['OptionType']

    def __init__(self, name: str, parse: Callable[[str], Any], repeatable: bool = False) -> None:
        """`name` is shown for the value in lists of options. A `repeatable` option may be given several times, which
        is the same as once with commas between."""
        self.name, self.parse, self.repeatable = name, parse, repeatable

    @classmethod
    def choice(cls, *names: str) -> 'OptionType':
        """Return the type of an option that takes one of `names`."""
        def parse(text: str) -> str:
            if text not in names:
                raise ValueError(f'one of {", ".join(names)} is expected')
            return text
        return cls('|'.join(names), parse)


def _boolean(text: str) -> bool:
    words = {'true': True, 'yes': True, 'on': True, '1': True, 'false': False, 'no': False, 'off': False, '0': False}
    if text.lower() not in words:
        raise ValueError('true or false is expected')
    return words[text.lower()]


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError('a whole number is expected') from None


def _size(text: str) -> int:
    match = re.fullmatch(r'(\d+)\s*([KMGT]?)(i?B)?', text, re.IGNORECASE | re.ASCII)
    if not match:
        raise ValueError('a number of bytes is expected, such as 512M or 20G')
    return int(match[1]) << 10 * ' KMGT'.index(match[2].upper() or ' ')


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value < 1e9:
        raise ValueError('a number of seconds is expected')
    return value


OptionType.STRING = OptionType('text', str)
OptionType.BOOLEAN = OptionType('true|false', _boolean)
OptionType.INTEGER = OptionType('number', _integer)
OptionType.SIZE = OptionType('bytes', _size)
OptionType.SECONDS = OptionType('seconds', _seconds)


class Option(NamedTuple):
    """One declared option. A `secret` value never reaches a receipt, a log or a message.

    `decides`: whether an option of a destination may change what is written to a place. Those that only lead there,
    such as a login, do not, so that two destinations of one place that differ in nothing else are one.
    """

    name: str
    type: OptionType = OptionType.STRING
    default: Any = None
    help: str = ''
    secret: bool = False
    decides: bool = True


def _may_be_secret(known: Mapping[str, Option], given: Mapping[str, str]) -> bool:
    """Return whether unknown options may be the rest of a password with a ? before an @, or with a & in it."""
    unknown = {name: text for name, text in given.items() if name not in known}
    has_secret = any(known[name].secret for name in given if name in known)
    return any('@' in name + text or (has_secret and not text) for name, text in unknown.items())


def read_options(declared: Sequence[Option], given: Mapping[str, str], owner: str) -> dict[str, Any]:
    """Return a value for every declared option: the given text, parsed by its type, or the default.

    Raises UnknownOption, suggesting the nearest known one, and UsageError for a value that cannot be parsed; `owner` is
    the scheme or filter, for the message.
    """
    known = {option.name: option for option in declared}
    values = {option.name: option.default for option in declared}
    for name, text in given.items():
        if name not in known:
            if _may_be_secret(known, given):
                raise UnknownOption(f'{owner} has no such option, which is not shown since it may be part of a '
                                    'password: write ? as %3F and & as %26 there')
            raise UnknownOption(f'{owner} has no option {name!r}{nearest(name, known)}')
        try:
            values[name] = known[name].type.parse(text)
        except ValueError as error:
            shown = '…' if known[name].secret else repr(text)
            raise UsageError(f'{owner}: option {name}={shown} cannot be read: {error}') from None
    return values
