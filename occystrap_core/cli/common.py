"""What all commands share: plugins loaded once, options before and after the command's name, settings, output."""
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from occystrap_core.api.options import OptionType
from occystrap_core.name_memory import MOST, NameMemory
from occystrap_core.plugins.manager import Plugins, build_plugin_manager
from occystrap_core.terminal import print_message


def load_plugins(context: click.Context, warn: bool = True) -> Plugins:
    """Return the plugins of this invocation, with one warning for each that failed, if `warn`."""
    store = context.find_root().meta
    if 'plugins' not in store:
        store['plugins'] = build_plugin_manager()
    plugins = common(context).plugins = store['plugins']
    assert isinstance(plugins, Plugins)
    if warn and not store.get('warned'):
        store['warned'] = True
        for plugin in plugins.failed:
            print_message(f'warning: plugin {plugin} failed and is skipped: {plugin.failure}')
    return plugins


F = TypeVar('F', bound=Callable[..., Any])


class Common:
    """The values of the options that every command takes."""

    def __init__(self, debug: bool = False) -> None:
        self.debug, self.quiet = debug, False
        self.format = 'text'
        self.command = ''
        """The command's name, once it is known."""
        self.plugins: Plugins | None = None
        """The plugins of this invocation, once they are loaded."""
        self.ending: Sequence[str] = ()
        """The lines that follow the error that ended a run: how to resume, and the summary."""
        self._given: set[str] = set()

    def take(self, name: str, value: object, given: bool) -> None:
        """Keep an option's value; a given value takes precedence over a default."""
        if given or name not in self._given:
            setattr(self, name, value)
        if given:
            self._given.add(name)


def common(context: click.Context) -> Common:
    """Return the common options of this invocation."""
    return context.find_root().ensure_object(Common)


def add_common_options(command: click.Command) -> click.Command:
    """Add the common options to a command, except names that it has itself; their values are kept in the context."""
    own = {name for each in command.params for name in each.opts}
    command.params += [option for option in _common_options() if not own.intersection(option.opts)]
    return command


def _common_options() -> list[click.Option]:
    return [
        click.Option(['-O', '--output-format', 'format'], type=click.Choice(['text', 'json']), default='text',
                     expose_value=False, callback=_keep, help='The format of stdout.'),
        click.Option(['-q', '--quiet'], is_flag=True, expose_value=False, callback=_keep,
                     help='Show no progress, only errors and the summary.'),
        click.Option(['--debug'], is_flag=True, expose_value=False, callback=_keep,
                     help='Tracebacks and a log of requests on stderr, secrets redacted.')]


class _Size(click.ParamType):  # type: ignore[type-arg]
    """A number of bytes, as in options of schemes."""

    name = 'size'

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> int:
        """Return the number; a mistake is a usage error."""
        try:
            return value if isinstance(value, int) else int(OptionType.SIZE.parse(value))
        except ValueError as error:
            self.fail(f'{value!r}: {error}', parameter, context)


def names_option(command: F) -> F:
    """Add the option for the memory of entries' names, for commands that read layers' entries."""
    return click.option('--max-names', type=_Size(), default=MOST, metavar='SIZE', callback=_name_memory,
                        help=f'Memory for the names in the layers (default: {MOST >> 20}M).')(command)


def _name_memory(context: click.Context, parameter: click.Parameter, value: int) -> NameMemory:
    return NameMemory(value)


def _show_log() -> None:
    """Write occystrap's own log to stderr; logs of HTTP libraries are left out, since they contain tokens and signed
    URLs."""
    import logging

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            print_message(self.format(record), whole=True)
    log = logging.getLogger('occystrap')
    if not log.handlers:
        handler = Lines()
        handler.setFormatter(logging.Formatter('%(asctime)s %(name)s: %(message)s', '%H:%M:%S'))
        log.addHandler(handler)
        log.setLevel(logging.DEBUG)


def _keep(context: click.Context, parameter: click.Parameter, value: object) -> None:
    assert parameter.name
    given = context.get_parameter_source(parameter.name) is not click.core.ParameterSource.DEFAULT
    common(context).take(parameter.name, value, given)
    if parameter.name == 'debug' and value:
        _show_log()
