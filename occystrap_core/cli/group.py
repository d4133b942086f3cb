"""The command `occystrap`: its own commands and those of plugins, each imported only when it is run."""
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from occystrap_core.api.schemes import CommandDeclaration, load
from occystrap_core.cli.common import Common, add_common_options, common, load_plugins
from occystrap_core.cli.option_order import behind_command
from occystrap_core.errors import PluginError
from occystrap_core.terminal import print_lines
from occystrap_core.version import __version__

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

_OWN = {declaration.name: declaration for declaration in (
    CommandDeclaration('process', 'occystrap_core.cli.process:process',
                       'Copy images, optionally through filters, and verify.'),
    CommandDeclaration('verify', 'occystrap_core.cli.verify:verify', 'Verify what an earlier run wrote.'),
    CommandDeclaration('status', 'occystrap_core.cli.status:status', 'Compare a mirror with its source.'),
    CommandDeclaration('info', 'occystrap_core.cli.info:info',
                       'Show platform, digests, layers and history of an image.'),
    CommandDeclaration('search', 'occystrap_core.cli.search:search', 'Find files in the layers of images.'),
    CommandDeclaration('check', 'occystrap_core.cli.check:check', 'Check images against the rules of their format.'),
    CommandDeclaration('completion', 'occystrap_core.cli.completion_command:completion',
                       'Print the completion script of bash, zsh or fish.'),
    CommandDeclaration('help', 'occystrap_core.cli.help_command:help_command', 'Show the help of a command.'),
    CommandDeclaration('schema', 'occystrap_core.cli.schema_command:schema', 'Print the JSON schema of a plan.'),
    CommandDeclaration('plugins', 'occystrap_core.cli.list_plugins:plugins', 'List plugins, schemes, filters.'),
)}


_ELSEWHERE = {
    **dict.fromkeys(('copy', 'cp', 'pull', 'push', 'save', 'load', 'sync', 'mirror', 'export', 'import', 'download'),
                    'use occystrap process SOURCE DEST'),
    **dict.fromkeys(('unpack', 'extract', 'mount'), 'use occystrap process SOURCE oci://DIRECTORY, or mounts://'),
    **dict.fromkeys(('inspect', 'show', 'manifest', 'config', 'digest', 'history'), 'use occystrap info SOURCE'),
    **dict.fromkeys(('find', 'grep'), 'use occystrap search SOURCE GLOB'),
    **dict.fromkeys(('lint', 'validate'), 'use occystrap check SOURCE'),
    **dict.fromkeys(('ls', 'list', 'catalog'), 'use occystrap tags registry://HOST, or occystrap images'),
    **dict.fromkeys(('diff', 'compare'),
                    'use occystrap status SOURCE DEST, or occystrap verify DEST --against SOURCE'),
    **dict.fromkeys(('tag', 'retag'), 'use occystrap process registry://HOST/NAME:TAG registry://HOST/NAME:NEW'),
    **dict.fromkeys(('delete', 'rm', 'rmi', 'untag'),
                    'nothing here deletes one tag; occystrap process SOURCE?prune=true DEST --prune removes what '
                    'SOURCE has dropped'),
    'run': 'use occystrap process SOURCE oci://DIRECTORY, and runc run -b DIRECTORY NAME',
    'prune': 'use occystrap process SOURCE?prune=true DEST --prune',
    'version': 'use occystrap --version',
}
"""Commands of other programs, with the command that does the same here."""


class LazyGroup(click.Group):
    """A group that knows its commands by their declarations, without importing them."""

    def list_commands(self, context: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted(self._declarations(context))

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """Return a command, imported now; None for an unknown name, which click reports."""
        if not self._is_command(context, name):
            return None
        declaration = _OWN.get(name) or load_plugins(context, warn=False).find(CommandDeclaration, name)
        command = load(declaration.target)
        if not isinstance(command, click.Command):
            raise PluginError(f'{declaration.target} is a {type(command).__name__}, expected a click command')
        return add_common_options(command)

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        """Parse after moving options of the command behind its name."""
        return super().parse_args(context, behind_command(args, self, partial(self._is_command, context)))

    def invoke(self, context: click.Context) -> None:
        """Run the command; its return value is not an exit code, `context.exit` sets that."""
        super().invoke(context)

    def resolve_command(self, context: click.Context, args: list[str],
                        ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command to run; raises a usage error that suggests similar names."""
        if args and not self._is_command(context, args[0]):
            raise click.UsageError(f'unknown command {args[0]!r}{self._hint(context, args[0])}', context)
        name, command, rest = super().resolve_command(context, args)
        common(context).command = name or ''
        return name, command, rest

    def _hint(self, context: click.Context, name: str) -> str:
        """Return which command an unknown one may stand for."""
        from difflib import get_close_matches  # late, as only errors need it

        from occystrap_core.errors import nearest
        here = self.list_commands(context)
        close = get_close_matches(name, [*here, *_ELSEWHERE], n=1, cutoff=0.8)  # 'prune' is not what 'run' means
        known = _ELSEWHERE.get(close[0]) if close else None
        return f': {known}' if known else nearest(name, here)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing any."""
        rows = [(name, each.help) for name, each in sorted(self._declarations(context).items())]
        with formatter.section('Commands'):
            formatter.write_dl(rows)

    def shell_complete(self, context: click.Context, incomplete: str) -> 'list[CompletionItem[str]]':
        """Return matching commands, without importing them, and matching options."""
        from click.shell_completion import CompletionItem
        found = sorted(self._declarations(context).items())
        return [*(CompletionItem(name, help=each.help) for name, each in found if name.startswith(incomplete)),
                *click.Command.shell_complete(self, context, incomplete)]

    def _is_command(self, context: click.Context, name: str) -> bool:
        return name in _OWN or name in self._declarations(context)

    def _declarations(self, context: click.Context) -> dict[str, CommandDeclaration]:
        plugins = load_plugins(context, warn=False)
        return {**{each.name: each for _, each in plugins.declared(CommandDeclaration)}, **_OWN}


def _print_version(context: click.Context, parameter: click.Parameter, value: bool) -> Any:
    if value and not context.resilient_parsing:
        print_lines([f'occystrap {__version__}', *_parts(context)])
        context.exit()


def _parts(context: click.Context) -> list[str]:
    """Return a line for each distribution with plugins, and for Python."""
    import platform
    import sys
    plugins = load_plugins(context, warn=False)
    versions = {each.distribution: each.version for each in plugins.all}
    failed = {each.distribution for each in plugins.failed}
    return [*(f'{name} {version}{" (a plugin FAILED: see occystrap plugins)" if name in failed else ""}'
              for name, version in sorted(versions.items())), f'Python {platform.python_version()} ({sys.executable})']


@click.group(cls=LazyGroup, context_settings={'help_option_names': ['-h', '--help'], 'obj': None})
@click.option('--version', is_flag=True, is_eager=True, expose_value=False, callback=_print_version,
              help='Print the versions of this program, its plugins and Python.')
@click.pass_context
def occystrap(context: click.Context) -> None:
    """Move container images and prove that they arrived.

    \b
    occystrap process registry://registry.example/app:v1 tar://app.tar
    """
    context.ensure_object(Common)


add_common_options(occystrap)
