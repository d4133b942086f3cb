"""The declarations of this plugin; cheap to import: Dask is imported when its executor is used."""
from collections.abc import Iterable, Mapping
from typing import Any

from occystrap_core import Option, OptionType, UsageError, hookimpl
from occystrap_core.orders import ExecutorKind


@hookimpl
def register_executors() -> Iterable[ExecutorKind]:
    """Return the executor dask."""
    return [ExecutorKind('dask', 'occystrap_dask.executor:dask_workers', [
        Option('scheduler', help='the address of the scheduler: tcp://HOST:8786, tls://HOST:8786 (required)'),
        Option('frozen', OptionType.number(1, 86400, name='seconds'), 30.0,
               'how long a worker may be silent before its image is given to another'),
        Option('workers', OptionType.whole(1, 100_000),
               help='number of images in parallel, and of workers to wait for (default: those that are there)'),
        Option('wait', OptionType.SECONDS, 30.0, 'how long to wait for workers'),
    ], 'the workers of a Dask cluster, an image in each: dask:scheduler=tcp://HOST:8786',
        'occystrap_dask.plugin:require_scheduler')]


def require_scheduler(options: Mapping[str, Any]) -> None:
    """Raise UsageError without a scheduler's address."""
    if not options['scheduler']:
        raise UsageError('executor dask: the scheduler is missing: write --executor dask:scheduler=tcp://HOST:8786')
