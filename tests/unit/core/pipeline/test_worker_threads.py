"""The worker threads of a run: as many as -j says, however many images are copied and verified, and no deadlock."""
import threading
from collections.abc import Callable
from contextlib import closing
from types import SimpleNamespace
from typing import Any, cast

import pytest

from occystrap_core import Cancelled, CheckResults, Receipt, Settings, VerifyLevel
from occystrap_core.cancellation import Cancellation
from occystrap_core.cli.verify import verify_all
from occystrap_core.pipeline.lane_threads import LaneThreads
from occystrap_core.pipeline.run import Run
from occystrap_core.report.progress import Progress
from occystrap_core.report.run_report import RunReport
from tests.unit.core.pipeline import memory
from tests.unit.core.pipeline.memory import IMAGES, SHELVES, memory_plugins, offer, wait_until


@pytest.fixture(autouse=True)
def nothing_there() -> None:
    SHELVES.clear()
    IMAGES.clear()


class Counter:
    """Counts the threads on which something runs in parallel."""

    def __init__(self) -> None:
        self.most, self.threads = 0, set[str]()
        self._now, self._lock = 0, threading.Lock()

    def __enter__(self) -> None:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
            self.threads.add(threading.current_thread().name)

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._now -= 1


def test_copies_and_verifiers_share_the_worker_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    counter, write = Counter(), memory.MemoryOutput.write_layer

    def written(self: memory.MemoryOutput, layer: memory.OutgoingLayer) -> memory.WrittenLayer:
        with counter:
            threading.Event().wait(0.01)
            return write(self, layer)

    def verify_output(receipt: Receipt, level: VerifyLevel, settings: Settings) -> CheckResults:
        def look(number: int) -> None:
            with counter:
                threading.Event().wait(0.01)
        settings.in_parallel(look, range(5))
        results = memory.verify_output(receipt, level, settings)
        assert results
        return results
    monkeypatch.setattr(memory.MemoryOutput, 'write_layer', written)
    names = [f'image-{number}' for number in range(8)]
    offer(*names)
    plugins, settings = memory_plugins(verifier=verify_output), Settings(images=4, jobs=2)
    report = Run(plugins, settings, VerifyLevel.FULL, Progress()).process(
        f'memory://{",".join(names)}', 'memory://to-{name}')
    assert report.succeeded and counter.most == 2 and counter.threads == {'worker-0', 'worker-1'}
    receipts = [image.receipt for image in report.images if image.receipt]
    settings = Settings(images=4, jobs=2)
    report = RunReport(VerifyLevel.FULL, settings.requests)
    verify_all(plugins, receipts, VerifyLevel.FULL, settings, report)
    assert report.succeeded
    assert counter.most == 2 and counter.threads == {'worker-0', 'worker-1'}


def test_results_come_in_the_order_of_the_items() -> None:
    settings = Settings(jobs=3)
    with closing(settings.shared):
        assert settings.in_parallel(lambda each: each * 2, range(100)) == list(range(0, 200, 2))
        assert settings.in_parallel(str, (), helping=True) == settings.in_parallel(str, ()) == []


@pytest.mark.parametrize('jobs', [1, 2, 3])
def test_work_may_wait_for_work_of_its_own(jobs: int) -> None:
    settings = Settings(jobs=jobs)

    def below(depth: int) -> int:
        return 1 + sum(settings.in_parallel(below, [depth - 1] * 3)) if depth else 1
    with closing(settings.shared):
        assert settings.in_parallel(below, [3] * 4) == [40] * 4


def test_a_caller_that_helps_needs_no_free_worker() -> None:
    settings, gate = Settings(jobs=1), threading.Event()
    with closing(settings.shared):
        busy = settings.workers().submit(gate.wait)
        assert settings.in_parallel(str, range(5), helping=True) == ['0', '1', '2', '3', '4']
        gate.set()
        assert busy.result(5)


def test_verification_goes_before_waiting_layers() -> None:
    settings, gate, order = Settings(jobs=1), threading.Event(), list[str]()
    with closing(settings.shared):
        workers = settings.workers()
        workers.submit(gate.wait)
        layer = workers.submit(lambda: order.append('layer'))
        asking = threading.Thread(target=settings.in_parallel, args=(order.append, ['look']))
        asking.start()
        wait_until(lambda: workers._todo.qsize() == 2)
        gate.set()
        layer.result(5)
        asking.join(5)
    assert order == ['look', 'layer']


def test_the_first_failure_is_raised_and_nothing_begun_after_it() -> None:
    settings, begun = Settings(jobs=1), list[int]()

    def fail(number: int) -> None:
        begun.append(number)
        raise KeyError(number)
    with closing(settings.shared), pytest.raises(KeyError, match='0'):
        settings.in_parallel(fail, range(9))
    assert begun == [0]


@pytest.mark.parametrize('helping', [True, False])
def test_a_run_that_is_interrupted_waits_for_nothing(helping: bool) -> None:
    settings = Settings(jobs=2)
    work: Callable[[int], None] = lambda number: settings.cancellation.cancel()  # noqa: E731
    with closing(settings.shared), pytest.raises(Cancelled):
        settings.in_parallel(work, range(9), helping=helping)


def test_threads_end_with_settings_that_are_not_closed() -> None:
    before = {*threading.enumerate()}
    assert Settings(jobs=2).in_parallel(str, range(9))
    wait_until(lambda: not {*threading.enumerate()} - before)


def test_images_of_a_long_run_are_not_started_far_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are looked for while others are copied, and each that waits needs memory."""
    monkeypatch.setattr('occystrap_core.pipeline.lane_threads._LOOK', 0.001)
    started, ahead, gate = list[Any](), list[int](), threading.Event()

    class Waited(Cancellation):
        def check(self) -> None:  # called by whoever waits for images
            ahead.append(len(started))
            gate.set()
    tasks = (started.append(each) or each for each in [SimpleNamespace(lane=0)] * 20)
    threads = LaneThreads(2, Settings(images=2, cancellation=Waited()), most=3)
    threads.process(cast(Any, tasks), lambda task: cast(None, gate.wait(10)), lambda error: None)
    assert ahead[0] == 4 and len(started) == 20
