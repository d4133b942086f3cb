"""Finds out whether a worker can be used: by its installed versions, and then by its name."""
from collections.abc import Callable
from importlib import metadata

import distributed

from occystrap_core import __version__
from occystrap_dask.worker_task import loaded

PATIENCE = 10.0
"""Seconds that a worker gets for each answer."""


def probe(client: 'distributed.Client', worker: str) -> tuple[str, str]:
    """Return a worker's name and, if it cannot be used, why and what to do about it; else an empty text."""
    advice = f'install there occystrap-core and occystrap-dask {__version__}, with the plugins that it needs'
    try:
        if not (reason := _unfit(client, worker)):
            return _ask(client, worker, loaded), ''
    except TimeoutError:
        reason = f'no answer within {PATIENCE:g} s'
        advice = 'end what else it does, or give it more memory if Dask has paused it, and start the worker again'
    except Exception as error:  # whatever goes wrong there
        reason = error_text(error)
    return worker, f'{reason}; {advice}'


def _unfit(client: 'distributed.Client', worker: str) -> str:
    """Return what a worker lacks, empty if it lacks nothing.

    A task whose function the worker does not have would never be answered, so installed versions are requested first.
    """
    for name in ('occystrap-core', 'occystrap-dask'):
        try:
            found = _ask(client, worker, metadata.version, name)
        except metadata.PackageNotFoundError:
            return f'it has no {name}'
        if found != __version__:
            return f'it has {name} {found}, this is {__version__}'
    return ''


def _ask(client: 'distributed.Client', worker: str, function: Callable[..., str], *arguments: str) -> str:
    task = client.submit(function, *arguments, workers=[worker], allow_other_workers=False, pure=False, retries=0)
    return str(task.result(timeout=PATIENCE))


def error_text(error: BaseException) -> str:
    """Return the first line of an error, with its causes."""
    while error.__cause__:
        error = error.__cause__
    return (str(error).splitlines() or [type(error).__name__])[0]
