"""Shell completion for schemes, paths, names that a service lists, filters, and options."""
import os
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import click

from occystrap_core.api.options import Option
from occystrap_core.api.schemes import FILES, ExecutorKind, FilterKind, InputScheme, WriterScheme, load
from occystrap_core.plugins.manager import build_plugin_manager
from occystrap_core.settings import Settings

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_PATIENCE = 2.0
"""At most this many seconds are spent on the names that a service lists."""
_MOST = 1000

Scheme = InputScheme | WriterScheme


def complete_uri(context: click.Context, parameter: click.Parameter, incomplete: str) -> 'list[CompletionItem[str]]':
    """Return the matching schemes and paths; for a scheme paths or names that it lists, after a `?` its options."""
    kind: type[Scheme] = InputScheme if parameter.name == 'source' else WriterScheme
    schemes: list[Scheme] = [scheme for _, scheme in build_plugin_manager().declared(kind)]
    name, separator, rest = incomplete.partition('://')
    found = [scheme for scheme in schemes if name.lower() in (scheme.name, *scheme.aliases)]
    if not separator:
        return [*_items((f'{scheme.name}://', scheme.help) for scheme in schemes if scheme.name.startswith(name)),
                *_items((path, '') for path in complete_path(incomplete))]
    path, question, query = rest.partition('?')
    if question:
        given, ampersand, last = query.rpartition('&')
        start = f'{name}://{path}?{given}{ampersand}'
        return _items((start + text, help) for scheme in found for text, help in _options(scheme.all_options, last))
    return _items((f'{name}://{each}', '') for scheme in found for each in _places(scheme, path))


def complete_filter(context: click.Context, parameter: click.Parameter, incomplete: str) -> 'list[CompletionItem[str]]':
    """Return the matching filters, or after a `:` the options of the filter."""
    return _named([kind for _, kind in build_plugin_manager().declared(FilterKind)], incomplete)


def complete_executor(context: click.Context, parameter: click.Parameter, incomplete: str,
                      ) -> 'list[CompletionItem[str]]':
    """Return the matching executors, or after a `:` the options of the executor."""
    return _named([kind for _, kind in build_plugin_manager().declared(ExecutorKind)], incomplete)


def _named(kinds: Sequence[FilterKind | ExecutorKind], incomplete: str) -> 'list[CompletionItem[str]]':
    name, colon, rest = incomplete.partition(':')
    if not colon:
        return _items((kind.name, kind.help) for kind in kinds if kind.name.startswith(incomplete))
    given, comma, last = rest.rpartition(',')
    start = f'{name}:{given}{comma}'
    return _items((start + text, help) for kind in kinds if kind.name == name
                  for text, help in _options(kind.options, last))


def complete_path(incomplete: str) -> list[str]:
    """Return the paths that begin with `incomplete`, directories with a `/` appended; hidden ones only if a dot was
    typed."""
    directory, slash, start = incomplete.rpartition('/')
    try:
        with os.scandir(os.path.expanduser(f'{directory}/') if slash else '.') as entries:
            names = sorted(f'{each.name}/' if each.is_dir() else each.name for each in entries
                           if each.name.startswith(start) and (start or not each.name.startswith('.')))
    except OSError:
        return []
    return [f'{directory}{slash}{name}' for name in names[:_MOST]]


def _options(options: Sequence[Option], last: str) -> Iterator[tuple[str, str]]:
    """Yield the options that match or, after a `=`, the values of the option if it has only a few."""
    name, equals, value = last.partition('=')
    for option in options:
        if equals and option.name == name and '|' in option.type.name:
            yield from ((f'{name}={each}', '') for each in option.type.name.split('|') if each.startswith(value))
        elif not equals and option.name.startswith(name):
            yield f'{option.name}=', option.help


def _places(scheme: Scheme, path: str) -> list[str]:
    """Return the matching paths, or matching names that the scheme's service lists, as far as they arrive in time."""
    if scheme.completion == FILES:
        return complete_path(path)
    if not scheme.completion:
        return []
    settings = Settings(timeout=_PATIENCE, retries=0)
    found: list[str] = []

    def ask() -> None:
        try:
            for name in load(scheme.completion)(path, settings):
                found.append(name)
                if len(found) >= _MOST:
                    return
        except Exception:  # a shell could not show it
            return
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(_PATIENCE)
    from occystrap_core.oci.patterns import natural_key
    return sorted(found, key=natural_key)


def _items(found: Iterable[tuple[str, str]]) -> 'list[CompletionItem[str]]':
    from click.shell_completion import CompletionItem  # late: only shells need it
    return [CompletionItem(value, help=text or None) for value, text in found]
