"""Shell completion for schemes, filters and their options."""
from typing import TYPE_CHECKING

import click

from occystrap_core.api.schemes import FilterKind, InputScheme, WriterScheme
from occystrap_core.plugins.manager import build_plugin_manager

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


def complete_uri(context: click.Context, parameter: click.Parameter, incomplete: str) -> 'list[CompletionItem]':
    """Return the matching schemes, or after a `?` the options of the scheme."""
    from click.shell_completion import CompletionItem  # late, as only shells need it
    plugins = build_plugin_manager()
    schemes: list[InputScheme | WriterScheme] = []
    if parameter.name == 'source':
        schemes += [scheme for _, scheme in plugins.declared(InputScheme)]
    else:
        schemes += [scheme for _, scheme in plugins.declared(WriterScheme)]
    head, query, last = incomplete.rpartition('?' if '&' not in incomplete else '&')
    if query:
        options = [option for scheme in schemes if incomplete.startswith(f'{scheme.name}://')
                   for option in scheme.all_options]
        return [CompletionItem(f'{head}{query}{option.name}=', help=option.help) for option in options
                if option.name.startswith(last)]
    return [CompletionItem(f'{scheme.name}://', help=scheme.help) for scheme in schemes
            if f'{scheme.name}://'.startswith(incomplete)]


def complete_filter(context: click.Context, parameter: click.Parameter, incomplete: str) -> 'list[CompletionItem]':
    """Return the matching filters, or after a `:` the options of the filter."""
    from click.shell_completion import CompletionItem  # late, as only shells need it
    kinds = [kind for _, kind in build_plugin_manager().declared(FilterKind)]
    name, colon, _ = incomplete.partition(':')
    if colon:
        return [CompletionItem(f'{name}:{option.name}=', help=option.help) for kind in kinds if kind.name == name
                for option in kind.options]
    return [CompletionItem(kind.name, help=kind.help) for kind in kinds if kind.name.startswith(incomplete)]
