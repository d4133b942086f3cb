"""The command `plugins`: lists installed plugins, their declarations, and those that failed to load."""
from collections.abc import Iterator, Sequence
from typing import Any

import click

from occystrap_core.api.options import Option
from occystrap_core.api.schemes import CommandDeclaration, ExecutorKind, FilterKind, InputScheme, WriterScheme
from occystrap_core.cli.common import add_common_options, common, load_plugins
from occystrap_core.cli.new_plugin import new
from occystrap_core.plugins.manager import OFFICIAL, Plugin, Plugins
from occystrap_core.terminal import print_json, print_lines


@click.group(invoke_without_command=True, short_help='List plugins, schemes, filters.')
@click.pass_context
def plugins(context: click.Context) -> None:
    """List the installed plugins with the schemes, filters, options and commands that they bring.

    `occystrap plugins new NAME` makes the project of a new one.
    """
    if context.invoked_subcommand:
        return
    loaded = load_plugins(context, warn=False)
    if common(context).format == 'json':
        print_json({'plugins': [_as_json(plugin) for plugin in loaded.all],
                    'conflicts': [*_conflicts(loaded), *other_program()]})
        return
    print_lines(_lines(loaded))


plugins.add_command(add_common_options(new))


def _lines(loaded: Plugins) -> Iterator[str]:
    for plugin in loaded.all:
        yield from _lines_of(plugin)
    for conflict in [*_conflicts(loaded), *other_program()]:
        yield f'CONFLICT: {conflict}'
    if not any(True for _ in loaded.declared(WriterScheme)):
        official = {each for schemes in OFFICIAL.values() for each in schemes.values()}
        yield f'No schemes for images are installed: install the wheels of some of {", ".join(sorted(official))}'


def other_program() -> list[str]:
    """Return what to do about another program named occystrap, if one is installed."""
    from importlib_metadata import PackageNotFoundError, distribution
    try:
        found = distribution('occystrap')
    except PackageNotFoundError:
        return []
    return [f'occystrap {found.version} is another program, whose command replaces this one: pip uninstall occystrap, '
            'then pip install --force-reinstall --no-deps the wheel of occystrap-core']


def _lines_of(plugin: Plugin) -> Iterator[str]:
    yield f'{plugin.distribution} {plugin.version} ({plugin.module})'
    if plugin.failure:
        yield f'  FAILED: {plugin.failure}'
    for text, help_text, options in _rows(plugin):
        yield f'  {text:<32} {help_text}'
        for option in options:
            default = '' if option.default in (None, '') else f' (default: {str(option.default).lower()})'
            yield f'      {f"{option.name}={option.type.name}":<28} {option.help}{default}'


def _rows(plugin: Plugin) -> list[tuple[str, str, Sequence[Option]]]:
    rows: list[tuple[str, str, Sequence[Option]]] = []
    for each in plugin.declarations:
        if isinstance(each, (InputScheme, WriterScheme)):
            role = 'source' if isinstance(each, InputScheme) else 'destination'
            rows.append((f'{role} {each.name}://', each.help, each.all_options))
        elif isinstance(each, FilterKind):
            rows.append((f'filter {each.name}', each.help, each.options))
        elif isinstance(each, ExecutorKind):
            rows.append((f'executor {each.name}', each.help, each.options))
        elif isinstance(each, CommandDeclaration):
            rows.append((f'command {each.name}', each.help, ()))
    return rows


def _as_json(plugin: Plugin) -> dict[str, Any]:
    return {
        'name': plugin.name, 'distribution': plugin.distribution, 'version': plugin.version,
        'module': plugin.module, 'failure': plugin.failure or None,
        'brings': [{'what': text, 'help': help_text,
                    'options': [{'name': option.name, 'type': option.type.name, 'default': option.default,
                                 'help': option.help, 'secret': option.secret} for option in options]}
                   for text, help_text, options in _rows(plugin)]}


def _conflicts(loaded: Plugins) -> list[str]:
    """Return a line for each name that two plugins claim."""
    claims: dict[str, list[str]] = {}
    for plugin in loaded.loaded:
        for text, _, _ in _rows(plugin):
            claims.setdefault(text, []).append(str(plugin))
    return [f'{text} is claimed by {" and ".join(names)}' for text, names in claims.items() if len(names) > 1]
