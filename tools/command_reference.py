"""Makes docs/command-reference.md from what the commands and plugins declare: `python tools/command_reference.py`."""
import sys
from pathlib import Path

import click

from occystrap_core.api.options import Option
from occystrap_core.api.schemes import ExecutorKind, FilterKind, InputScheme, WriterScheme
from occystrap_core.cli.common import Common
from occystrap_core.cli.group import occystrap
from occystrap_core.plugins.manager import build_plugin_manager

TARGET = Path(__file__).parent.parent / 'docs/command-reference.md'
OFFICIAL = ('occystrap-core', 'occystrap-dask', 'occystrap-dir', 'occystrap-docker', 'occystrap-registry',
            'occystrap-s3', 'occystrap-tar')

_HEAD = """# Command reference

Made by `tools/command_reference.py` from what the commands and plugins declare; change those, not this page.

Locations are `scheme://path?option=value&option=value`, filters `name:key=value,key=value` (`\\,` for a comma in a
value; a `?` or `%` in a path is written `%3F` or `%25`). Common options work before and after the command's name.
Messages go to stderr, data to stdout. A summary is always the last line on stderr.

[Exit codes](exit-codes.md), [environment variables](environment.md).
"""


def reference() -> str:
    """Return the page."""
    return '\n'.join([_HEAD, '## Commands', *_commands(), '## Sources', *_declared(InputScheme, '://'),
                      '## Destinations', *_declared(WriterScheme, '://'), '## Filters', *_declared(FilterKind, ''),
                      '## Executors', *_declared(ExecutorKind, '')])


def _commands() -> list[str]:
    lines = []
    with click.Context(occystrap, info_name='occystrap', obj=Common()) as context:
        for name in ['', *sorted(occystrap.list_commands(context))]:
            command = occystrap.get_command(context, name) if name else occystrap
            assert command
            inner = click.Context(command, info_name=name, parent=context, terminal_width=100) if name else context
            lines += [f'### `{f"occystrap {name}".rstrip()}`', '',
                      '```text', command.get_help(inner).rstrip(), '```', '']
    return lines


def _declared(kind: type, suffix: str) -> list[str]:
    lines = []
    for plugin, each in build_plugin_manager().declared(kind):
        if plugin.distribution in OFFICIAL:
            options = getattr(each, 'all_options', each.options)
            lines += [f'### `{each.name}{suffix}` ({plugin.distribution})', '', each.help, '', *_options(options)]
    return lines


def _options(options: list[Option]) -> list[str]:
    if not options:
        return []
    rows = [f'| `{option.name}` | {option.type.name.replace("|", ", ")} | {_default(option)} | {option.help} |'
            for option in options]
    return ['| option | value | default | |', '| --- | --- | --- | --- |', *rows, '']


def _default(option: Option) -> str:
    return '' if option.default in (None, '') else f'`{str(option.default).lower()}`'


if __name__ == '__main__':
    sys.stdout.write(f'{TARGET.write_text(reference())} characters\n')
