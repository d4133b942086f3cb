"""The command `help`: the help of occystrap, or of a command."""
import click

from occystrap_core.terminal import print_lines


@click.command('help')
@click.argument('command', required=False)
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
