"""The executor `dask`: connecting to a scheduler, and its workers."""
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any

from occystrap_dask.cluster import Cluster
from occystrap_dask.scheduler import Scheduler


@contextmanager
def dask_workers(options: Mapping[str, Any], note: Callable[[str], None]) -> Iterator[tuple[Executor, int]]:
    """Yield the executor and the number of usable workers.

    Raises ServiceUnavailable without a scheduler or workers.
    """
    scheduler = Scheduler(options['scheduler'], min(10.0, max(1.0, options['wait'])))
    cluster = Cluster(scheduler, options['frozen'], note)
    try:
        found = cluster.begin(options['workers'] or 1, options['wait'])
        yield cluster, options['workers'] or found
    finally:
        cluster.stop()
