"""Numbers on the command line: each command, of core or a plugin, takes them by one type, which knows nan and inf."""
from collections.abc import Iterator

import click
import pytest

from occystrap_core import OptionType
from occystrap_core.cli.group import occystrap
from tests.services.installed import installed_plugins

NONE_OF_THEM = ('nan', 'inf', '-inf', '-1', '1e10', '1e400', '9' * 5000, 'five', '')
OF_CLICK = (click.types.IntParamType, click.types.FloatParamType)


def options() -> Iterator[tuple[str, click.Parameter]]:
    """Yield each option of each command."""
    context = click.Context(occystrap)
    context.meta['plugins'] = installed_plugins()
    for name in occystrap.list_commands(context):
        command = occystrap.get_command(context, name)
        assert command
        yield from ((f'{name} {each.opts[-1]}', each) for each in command.params)


@pytest.mark.parametrize(('name', 'option'), [pytest.param(*each, id=each[0]) for each in options()])
def test_a_number_of_a_command_is_one(name: str, option: click.Parameter) -> None:
    assert not isinstance(option.type, OF_CLICK), 'an OptionType refuses nan, and says what is expected'
    if isinstance(option.type, OptionType):
        for text in NONE_OF_THEM:
            with pytest.raises(click.BadParameter, match='expected'):
                option.type.convert(text, option, None)


@pytest.mark.parametrize('option', ['images --timeout', 'login --timeout', 'logout --timeout', 'tags --timeout',
                                    'tags --retries', 'tags --limit', 'gc --older-than', 'process --settle',
                                    'process --jobs', 'verify --least-rate'])
def test_options_are_numbers(option: str) -> None:
    assert isinstance(dict(options())[option].type, OptionType)


def test_values_within_bounds_are_accepted() -> None:
    seconds, whole = OptionType.number(0.1, 5, 'seconds'), OptionType.whole(1, 64)
    assert [seconds.convert(text, None, None) for text in ('0.1', '5', 2.5)] == [0.1, 5, 2.5]
    assert [whole.convert(text, None, None) for text in ('1', '64', 7)] == [1, 64, 7]
    with pytest.raises(click.BadParameter, match='expected a number of seconds from 0.1 to 5'):
        seconds.convert('5.1', None, None)
