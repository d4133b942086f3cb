"""Progress of a run on workers: a line for each image, and every ten seconds one that summarizes all workers."""
import threading
from collections.abc import Callable, Mapping, Sequence

from occystrap_core.report.image_report import ImageReport
from occystrap_core.report.progress import Progress
from occystrap_core.report.transfer_meter import TransferMeter
from occystrap_core.terminal import print_message
from occystrap_core.terminal_text import counted

_INTERVAL = 10.0
_SHOWN = 8
"""For up to this number of workers a line shows each of them; for more it shows machines."""


class BulkProgress(Progress):
    """Writes the same lines to a terminal and to a log, as the number of images is unknown."""

    def __init__(self, interval: float = _INTERVAL) -> None:
        """`interval` is in seconds."""
        self._interval, self._ended = interval, threading.Event()
        self._images, self._meter = 0, TransferMeter()
        self.at_work: Callable[[], int] = lambda: 0
        """Returns how many images workers are copying now."""
        self.by_worker: Callable[[], Mapping[str, tuple[int, int]]] = dict
        """Returns for each worker, `MACHINE:PROCESS`, how many images it has finished, and how many it has now."""

    def begin(self, images: Sequence[ImageReport]) -> None:
        """Write lines from now on."""
        threading.Thread(target=self._tick, name='progress', daemon=True).start()

    def finished(self, image: ImageReport) -> None:
        """Count an image, and write a line for it."""
        self._images += 1
        self._meter.advance(image.moved or 0)
        print_message(f'[{self._images}] {image.line()}')

    def end(self) -> None:
        """Write no more lines."""
        self._ended.set()

    def tell(self) -> None:
        """Write a line about the state of the run."""
        self._meter.sample()
        print_message(f'{counted(self._images, "image")} done, {self.at_work()} in flight, {self._meter.size()}, '
                      f'{self._meter.speed()}{_workers_text(self.by_worker())}')

    def _tick(self) -> None:
        while not self._ended.wait(self._interval):
            self.tell()


def _workers_text(workers: Mapping[str, tuple[int, int]]) -> str:
    """Return `; by worker: node:4711 12 done 1 in flight, …`; for many workers by machine."""
    what = 'worker'
    if len(workers) > _SHOWN:
        what, sums = 'machine', dict[str, tuple[int, int]]()
        for name, (done, now) in workers.items():
            machine = name.rpartition(':')[0] or name
            before = sums.get(machine, (0, 0))
            sums[machine] = before[0] + done, before[1] + now
        workers = sums
    texts = [f'{name} {done} done {now} in flight' for name, (done, now) in workers.items()]
    more = f' and {len(texts) - _SHOWN} more' if len(texts) > _SHOWN else ''
    return f'; by {what}: {", ".join(texts[:_SHOWN])}{more}' if texts else ''
