"""The option --executor of `process`: which executor copies the images."""
from typing import TYPE_CHECKING, Any

import click

from occystrap_core.bulk.bulk_run import executor_kind
from occystrap_core.errors import UsageError
from occystrap_core.plugins.manager import Plugins
from occystrap_core.settings import Settings

if TYPE_CHECKING:
    from occystrap_core.api.schemes import ExecutorKind


def executor_of(context: click.Context, plugins: Plugins, settings: Settings, options: dict[str, Any],
                ) -> 'tuple[ExecutorKind, dict[str, Any]] | None':
    """Return the executor and its options; None for this process. Raises UsageError for options that workers cannot
    follow."""
    kind, given = executor_kind(plugins, options['executor'])
    if not kind.factory:
        return None
    if context.get_parameter_source('images') is click.core.ParameterSource.COMMANDLINE:
        instead = f', and write --executor {kind.name}:workers={options["images"]}' if 'workers' in given else ''
        raise UsageError(f'--images is for the process that copies: leave it out{instead}')
    if settings.login:
        raise UsageError('passwords are not sent to workers: log in there with occystrap login, and leave out '
                         '--username')
    for name in ('prune', 'since', 'layer_cache', 'temp_dir'):
        if options[name]:
            raise UsageError(f'--{name.replace("_", "-")} is for the process that copies: leave it out, or --executor')
    return kind, given
