"""What the client of a bulk run needs for many orders: a list of images, and workers that copy nothing.

    python benchmarks/bulk_orders.py 100000

Prints a line: orders, seconds until the first is with a worker, seconds in all, those of the processor, memory of the
process at its most. The orders are planned and answered by an executor in this process that does no work, so this is
the client alone.
"""
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from occystrap_core.api.schemes import ExecutorKind
from occystrap_core.bulk.bulk_run import BulkRun
from occystrap_core.bulk.earlier_receipts import EarlierReceipts
from occystrap_core.bulk.order_work import Answer, OrderWork
from occystrap_core.orders import ImageDone, ImageOrder, ImagePlan
from occystrap_core.plugins.manager import build_plugin_manager
from occystrap_core.report.progress import Progress
from occystrap_core.settings import Settings, VerifyLevel

SLOTS = 64
begun: list[float] = []


class Nothing(Executor):
    """Answers at once."""

    def submit(self, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> 'Future[Any]':
        """Answer a plan, or a copy, as a worker would."""
        assert isinstance(work, OrderWork)
        begun[:] = begun or [time.monotonic()]
        future: Future[Any] = Future()
        future.set_result(answered(work.order, bool(work.plan)))
        return future


def answered(order: ImageOrder, is_planned: bool) -> Answer:
    """Return what a worker would: the plan of an image with ten shared layers and one of its own, or that it is done.
    """
    if is_planned:
        return Answer(ImageDone(order, 'verified', {}), 'worker')
    own = f'sha256:{abs(hash(order.source)):064x}'
    shared = frozenset([*(f'sha256:{number:064x}' for number in range(10)), own])
    return Answer(ImagePlan(order, 'store', shared, {'manifest': (b'x' * 2000, '')}), 'worker')


@contextmanager
def nothing(options: Mapping[str, Any], note: Callable[[str], None]) -> Iterator[tuple[Executor, int]]:
    """Give the executor."""
    yield Nothing(), SLOTS


def peak_memory() -> float:
    """Return the peak resident memory of this program, in MiB: what getrusage says has that of its parent in it."""
    found = re.search(r'VmHWM:\s+(\d+) kB', Path('/proc/self/status').read_text())
    assert found
    return int(found[1]) / 1024


def write_list(directory: Path, scheme: str, count: int) -> Path:
    """Write a list of so many images of a scheme, and return its path."""
    listed = directory / 'images.txt'
    with listed.open('w') as file:
        file.writelines(f'{scheme}://source.example/team-{number % 1000}/app-{number}:v1\n' for number in range(count))
    return listed


def execute(kind: ExecutorKind, count: int) -> float:
    """Have so many orders executed, and return when that began."""
    with tempfile.TemporaryDirectory() as directory:
        listed = write_list(Path(directory), 'registry', count)
        run = BulkRun(build_plugin_manager(), Settings(), VerifyLevel.FAST, Progress(), kind, {}, None,
                      EarlierReceipts())
        started = time.monotonic()
        report = run.process(f'list://{listed}', ['registry://mirror.example/{repository}:{tag}'])
    assert report.succeeded and report.count == count, report.summary()
    return started


def main(count: int) -> None:
    """Run so many orders."""
    started = execute(ExecutorKind('nothing', f'{__name__}:nothing'), count)
    memory = peak_memory()
    print(f'{count} orders: the first after {begun[0] - started:.1f} s, all after {time.monotonic() - started:.1f} s, '
          f'{time.process_time():.1f} s of the processor, {memory:.0f} MiB')


if __name__ == '__main__':
    main(int(sys.argv[1]))
