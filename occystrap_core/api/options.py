"""Options of schemes and filters: their types, parsing of values, and errors that suggest the nearest name."""
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import click

from occystrap_core.errors import UnknownOption, UsageError, nearest

if TYPE_CHECKING:
    _ParamType = click.ParamType[Any]
else:
    _ParamType = click.ParamType  # it is generic since click 8.4


class OptionType(_ParamType):
    """The type of an option's value, of schemes, filters and commands (`click.option(type=…)`).

    `parse` raises ValueError with a text that says what is expected.
    """

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
                raise ValueError(f'expected one of {", ".join(names)}')
            return text
        return cls('|'.join(names), parse)

    @classmethod
    def number(cls, least: float = 0.0, most: float = 1e9, name: str = 'number') -> 'OptionType':
        """Return the type of an option that takes a number from `least` to `most`, not nan; `name` is what it counts.
        """
        def parse(text: str) -> float:
            value = _float(text)
            if not least <= value <= most:  # nan, too: it compares false
                raise ValueError(f'expected a {_of(name)} from {least:g} to {most:.0f}')
            return value
        return cls(name, parse)

    @classmethod
    def whole(cls, least: int = 0, most: int = 1_000_000_000, name: str = 'number') -> 'OptionType':
        """Return the type of an option that takes a whole number from `least` to `most`; `name` is what it counts."""
        def parse(text: str) -> int:
            value = _integer(text)
            if not least <= value <= most:
                raise ValueError(f'expected a whole {_of(name)} from {least} to {most}')
            return value
        return cls(name, parse)

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the value of a command's option; raises click.BadParameter."""
        try:
            return self.parse(str(value))
        except ValueError as error:
            self.fail(f'{value!r}: {error}', param, ctx)


def _boolean(text: str) -> bool:
    words = {'true': True, 'yes': True, 'on': True, '1': True, 'false': False, 'no': False, 'off': False, '0': False}
    if text.lower() not in words:
        raise ValueError('expected true or false')
    return words[text.lower()]


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError('expected a whole number') from None


def _size(text: str) -> int:
    match = re.fullmatch(r'(\d{1,18})\s*([KMGT]?)(i?B)?', text, re.IGNORECASE | re.ASCII)
    if not match:
        raise ValueError('expected a number of bytes, such as 512M or 20G')
    return int(match[1]) << 10 * ' KMGT'.index(match[2].upper() or ' ')


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _of(name: str) -> str:
    return 'number' if name == 'number' else f'number of {name}'


OptionType.STRING = OptionType('text', str)
OptionType.BOOLEAN = OptionType('true|false', _boolean)
OptionType.INTEGER = OptionType('number', _integer)
OptionType.SIZE = OptionType('bytes', _size)
OptionType.SECONDS = OptionType.number(name='seconds')


class Option(NamedTuple):
    """One declared option. A `secret` value never reaches a receipt, a log or a message.

    `decides`: whether the option may change what is written to a destination. Options that only say how to reach it,
    such as a login, do not: two destinations that differ in nothing else are the same.
    """

    name: str
    type: OptionType = OptionType.STRING
    default: Any = None
    help: str = ''
    secret: bool = False
    decides: bool = True


def _may_be_secret(known: Mapping[str, Option], given: Mapping[str, str]) -> bool:
    """Return whether unknown options may belong to a password that contains a ? or & and is followed by an @."""
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
                raise UnknownOption(f'{owner}: unknown option, hidden as it may be part of a password: write ? as %3F '
                                    'and & as %26 in passwords')
            raise UnknownOption(f'{owner} has no option {name!r}{nearest(name, known)}')
        try:
            values[name] = known[name].type.parse(text)
        except ValueError as error:
            shown = '…' if known[name].secret else repr(text)
            raise UsageError(f'{owner}: option {name}={shown} is invalid: {error}') from None
    return values
