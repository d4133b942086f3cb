"""Accepts options where users write them: also before the command's name, and a level with or without `=`."""
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import click

from occystrap_core.errors import UsageError

if TYPE_CHECKING:
    from occystrap_core.settings import VerifyLevel

_OF_COMMANDS = ('--platform', '--verify', '--no-verify')
"""Options of some commands that may stand before the command's name."""


def levels_joined(arguments: Sequence[str]) -> list[str]:
    """Return the arguments with `--verify=full` for `--verify full`, and `--verify=fast` for a plain `--verify`.

    Only a level is taken as the value, so `--verify SOURCE DEST` keeps both arguments.
    """
    joined: list[str] = []
    rest = list(arguments)
    while rest and rest[0] != '--':
        word = rest.pop(0)
        if word == '--verify':
            word += f'={rest.pop(0) if rest and _is_level(rest[0]) else "fast"}'
        joined.append(word)
    return joined + rest


def _is_level(text: str) -> bool:
    from occystrap_core.settings import VerifyLevel  # late, as --help does not need it
    return text in [level.value for level in VerifyLevel]


def behind_command(arguments: Sequence[str], group: click.Group, is_command: Callable[[str], bool]) -> list[str]:
    """Return the arguments with options of the command that stand before its name moved behind it.

    Arguments behind the name are left to the command, which may have other levels. Before it, a word after --verify
    that is not a command, but has one behind it, counts as a level.
    """
    options = [each for each in group.params if isinstance(each, click.Option)]
    takes_value = {name: not each.is_flag for each in options for name in (*each.opts, *each.secondary_opts)}
    spelled_out = {each.opts[0]: each.opts[1] for each in options if len(each.opts) == 2}
    rest = list(arguments)
    before: list[str] = []
    moved: list[str] = []
    while rest and rest[0].startswith('-') and rest[0] != '--':
        if rest[0] == '--verify' and rest[1:] and (_is_level(rest[1]) or _is_own_level(rest[1:], is_command)):
            rest[:2] = [f'--verify={rest[1]}']
        name, equals, _ = rest[0].partition('=')
        words = rest[:2] if not equals and _has_value(name, takes_value) else rest[:1]
        if len(words) == 1 + (not equals and _has_value(name, takes_value)):
            words[0] = spelled_out.get(words[0], words[0])  # click composes an error for short ones first
        (moved if name in _OF_COMMANDS else before).extend(words)
        del rest[:len(words)]
    return [*before, *rest[:1], *moved, *rest[1:]] if rest else [*before, *moved]


def _is_own_level(words: Sequence[str], is_command: Callable[[str], bool]) -> bool:
    return not words[0].startswith('-') and not is_command(words[0]) and any(is_command(each) for each in words[1:])


def _has_value(name: str, takes_value: Mapping[str, bool]) -> bool:
    return name == '--platform' or takes_value.get(name, False)


class VerifyCommand(click.Command):
    """A command whose `--verify` may stand without a level, and takes nothing but a level for one."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """Parse after joining `--verify` and its level."""
        return super().parse_args(context, levels_joined(args))


def verify_level(given: str | None) -> 'VerifyLevel':
    """Return the level of the option, else of OCCYSTRAP_VERIFY, else FAST; raises UsageError."""
    from occystrap_core.settings import VerifyLevel
    text = given or os.environ.get('OCCYSTRAP_VERIFY') or 'fast'
    try:
        return VerifyLevel(text.lower())
    except ValueError:
        raise UsageError(f'OCCYSTRAP_VERIFY={text} is not a level: expected none, fast or full') from None
