"""The executor `dask`: connecting to a scheduler, and its workers."""
import logging
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any

import distributed

from occystrap_core import ServiceUnavailable
from occystrap_dask.cluster import Cluster
from occystrap_dask.worker_probe import error_text


@contextmanager
def dask_workers(options: Mapping[str, Any], note: Callable[[str], None]) -> Iterator[tuple[Executor, int]]:
    """Yield the executor and the number of usable workers.

    Raises ServiceUnavailable without a scheduler or workers.
    """
    address = options['scheduler']
    for name in ('distributed', 'distributed.client', 'distributed.core', 'tornado', 'asyncio'):
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)  # errors are reported in one line of our own
    try:
        client = distributed.Client(address, set_as_default=False, timeout=min(10.0, max(1.0, options['wait'])))
    except TypeError:  # Dask raises this without certificates
        raise ServiceUnavailable(f'{address} needs certificates, and there are none: set distributed.comm.tls.ca-file, '
                                 "and cert and key of distributed.comm.tls.client, in Dask's configuration") from None
    except (OSError, ValueError, ImportError) as error:
        raise ServiceUnavailable(f'no Dask scheduler answers at {address}: {error_text(error)}; start one with '
                                 'dask scheduler') from None
    cluster = Cluster(client, address, options['frozen'], note)
    try:
        found = cluster.begin(options['workers'] or 1, options['wait'])
        yield cluster, options['workers'] or found
    finally:
        cluster.stop()
