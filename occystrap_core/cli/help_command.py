"""The command `help`: the help of occystrap, or of a command."""
from typing import TYPE_CHECKING

import click

from occystrap_core.terminal import print_lines

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


def _complete_command(context: click.Context, parameter: click.Parameter, incomplete: str,
                      ) -> 'list[CompletionItem[str]]':
    root = context.find_root()
    return [each for each in root.command.shell_complete(root, incomplete) if not each.value.startswith('-')]


@click.command('help')
@click.argument('command', required=False, shell_complete=_complete_command)
@click.pass_context
def help_command(context: click.Context, command: str | None) -> None:
    """Show the help of occystrap, or of COMMAND."""
    root = context.find_root()
    group = root.command
    assert isinstance(group, click.Group)
    if command is None:
        print_lines(group.get_help(root).splitlines())
        return
    name, found, _ = group.resolve_command(root, [command])
    assert found
    with click.Context(found, parent=root, info_name=name) as inner:
        print_lines(found.get_help(inner).splitlines())
