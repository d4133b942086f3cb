"""Makes man pages and completion scripts from the commands: `python tools/package_data.py DIRECTORY`.

Each distribution gets a directory: a command's page belongs to the distribution that brings it.
"""
import inspect
import re
import sys
import time
from collections import defaultdict
from os import environ
from pathlib import Path

import click
from click.shell_completion import get_completion_class
from click_man.core import write_man_pages

from occystrap_core.api.schemes import CommandDeclaration
from occystrap_core.cli.common import Common
from occystrap_core.cli.completion_command import COMPLETE
from occystrap_core.cli.completion_shells import add_shells
from occystrap_core.cli.group import occystrap
from occystrap_core.plugins.manager import build_plugin_manager
from occystrap_core.version import __version__

CORE = 'occystrap-core'
SCRIPTS = {'bash': 'bash-completion/completions/occystrap', 'zsh': 'zsh/site-functions/_occystrap',
           'fish': 'fish/vendor_completions.d/occystrap.fish'}


def main(target: Path) -> None:
    """Write everything."""
    _write_pages(target)
    add_shells()
    for shell, name in SCRIPTS.items():
        found = get_completion_class(shell)
        assert found
        path = target / CORE / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(found(occystrap, {}, 'occystrap', COMPLETE).source())


def _write_pages(target: Path) -> None:
    """Write a page for the program and one for each command; the program's page lists core's own commands."""
    brought = {each.name: plugin.distribution for plugin, each in build_plugin_manager().declared(CommandDeclaration)}
    commands: dict[str, dict[str, click.Command]] = defaultdict(dict)
    with click.Context(occystrap, info_name='occystrap', obj=Common()) as context:
        rows = occystrap.shell_complete(context, '')
        helps = {row.value: row.help or '' for row in rows}
        for name in sorted(occystrap.list_commands(context)):
            command = occystrap.get_command(context, name)
            assert command
            command.short_help, command.help = helps[name], _roff(command.help or '')
            if brought.get(name, CORE).startswith('occystrap-'):
                commands[brought.get(name, CORE)][name] = command
    date = time.strftime('%Y-%m-%d', time.gmtime(int(environ.get('SOURCE_DATE_EPOCH', time.time()))))
    for distribution, own in commands.items():
        pages = target / distribution / 'man/man1'
        pages.mkdir(parents=True)
        group = click.Group('occystrap', commands=own, params=occystrap.params, help=_roff(occystrap.help or ''),
                            short_help='Move container images and prove that they arrived.')
        write_man_pages('occystrap', group, version=__version__, target_dir=str(pages), date=date)
        for page in pages.iterdir():
            letters = (each if each.isascii() else f'\\[u{ord(each):04X}]' for each in page.read_text())
            page.write_text(''.join(letters))
        if distribution != CORE:
            (pages / 'occystrap.1').unlink()


def _roff(text: str) -> str:
    """Return the help of a command as roff: its lines stay where click keeps them, behind a line with a backspace."""
    paragraphs = []
    for paragraph in re.split(r'\n\s*\n', inspect.cleandoc(text).replace('\\', r'\e')):
        first, _, rest = paragraph.partition('\n')
        kept = rest.replace('-', r'\-') if first == '\b' else ''
        lines = [rf'\&{line}' if line.startswith(('.', "'")) else line for line in (kept or paragraph).split('\n')]
        paragraphs.append('\n'.join(['.nf', *lines, '.fi'] if kept else lines))
    return '\n\n'.join(paragraphs)


if __name__ == '__main__':
    main(Path(sys.argv[1]))
