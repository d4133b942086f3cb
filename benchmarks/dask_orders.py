"""What client and scheduler need for many orders through Dask: a list of images, and workers that copy nothing.

    python -m benchmarks.dask_orders 20000

Prints the memory of the scheduler after each tenth of the orders, and then what the client needed.
"""
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.bulk_orders import answered, execute, peak_memory
from occystrap_core.api.schemes import ExecutorKind
from occystrap_core.bulk.order_work import OrderWork
from occystrap_dask.executor import dask_workers
from tests.services.dask_cluster import dask_cluster

WORKERS = 2
scheduler: list[str] = []
"""Its address."""
done = [0]


class Emptied(Executor):
    """A cluster whose workers answer at once."""

    def __init__(self, cluster: Executor) -> None:
        self._cluster = cluster

    def submit(self, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> 'Future[Any]':
        """Send what stands for a plan or a copy."""
        assert isinstance(work, OrderWork)
        done[0] += bool(work.plan)
        return self._cluster.submit(partial(answered, work.order, bool(work.plan)))


@contextmanager
def emptied(options: Mapping[str, Any], note: Callable[[str], None]) -> Iterator[tuple[Executor, int]]:
    """Give the executor."""
    options = {'scheduler': scheduler[0], 'workers': WORKERS, 'wait': 60.0, 'frozen': 60.0}
    with dask_workers(options, note) as (cluster, slots):
        yield Emptied(cluster), slots


def memory_of(process: int) -> int:
    """Return the resident memory of a process, in MiB."""
    found = re.search(r'VmRSS:\s+(\d+) kB', Path(f'/proc/{process}/status').read_text())
    assert found
    return int(found[1]) >> 10


def watch(process: int, count: int) -> None:
    """Print the memory of the scheduler after each tenth."""
    for part in range(1, 11):
        while done[0] < count * part // 10:
            time.sleep(0.05)
        print(f'{count * part // 10} orders: scheduler {memory_of(process)} MiB', flush=True)


def main(count: int) -> None:
    """Run so many orders."""
    with dask_cluster(WORKERS, PYTHONPATH=str(Path(__file__).parent.parent)) as cluster:
        scheduler.append(cluster.address)
        print(f'no order: scheduler {memory_of(cluster.scheduler.pid)} MiB', flush=True)
        threading.Thread(target=watch, args=(cluster.scheduler.pid, count), daemon=True).start()
        started = execute(ExecutorKind('emptied', f'{__name__}:emptied'), count)
        print(f'{count} orders after {time.monotonic() - started:.1f} s; the client took {time.process_time():.1f} s '
              f'of the processor and {peak_memory():.0f} MiB')


if __name__ == '__main__':
    main(int(sys.argv[1]))
