"""A Dask cluster that runs in this process, and work for its workers."""
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import distributed

from occystrap_dask import cluster
from occystrap_dask.executor import dask_workers

finish = threading.Event()
"""Lets all work end that waits."""


class Work:
    """Says which worker has it, at once or when it is stopped."""

    def __init__(self, waits: bool) -> None:
        self._waits, self._stopped = waits, threading.Event()

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel without the event."""
        return Work, (self._waits,)

    def __call__(self) -> str:
        """Return the address of the worker."""
        began = time.monotonic()
        while self._waits and not (self._stopped.is_set() or finish.is_set()):
            time.sleep(0.01)
            assert time.monotonic() - began < 20
        return str(distributed.get_worker().address)

    def stop(self) -> None:
        """Let it end."""
        self._stopped.set()


@contextmanager
def cluster_of(local: distributed.LocalCluster, count: int | None,
               note: Callable[[str], None] = print) -> Iterator[cluster.Cluster]:
    """Give the executor that uses so many workers, or those that it finds."""
    options = {'scheduler': local.scheduler_address, 'workers': count, 'wait': 10.0, 'frozen': 30.0}
    with dask_workers(options, note) as (found, slots):
        assert isinstance(found, cluster.Cluster) and slots == (count or 1)
        yield found


def busy_worker(executor: cluster.Cluster) -> str:
    """Return the worker that has work, once it has begun."""
    (taker,) = executor._busy()
    time.sleep(0.5)
    return taker.worker


def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait till something is so, or fail."""
    until = time.monotonic() + 10
    while not (found := is_so()) and time.monotonic() < until:
        time.sleep(0.05)
    assert found


def run(work: Work) -> str:
    """Do what another user of the cluster has to do."""
    return work()
