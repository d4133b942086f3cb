"""What the contract of a writer says of how often its methods are called."""
import threading
from pathlib import Path

import pytest

from occystrap_core import Cancelled, OutgoingLayer, OutputError, Settings, VerifyLevel, WrittenLayer
from occystrap_core.pipeline.dry_run import plan_copies
from occystrap_core.pipeline.run import Run
from occystrap_core.receipts.receipt_file import ReceiptFile
from occystrap_core.receipts.receipt_lines import read_receipts
from occystrap_core.report.progress import Progress
from occystrap_core.tasks.earlier_run import EarlierRun
from tests.unit.core.pipeline.memory import IMAGES, SHELVES, MemoryOutput, memory_plugins, offer, wait_until

HERE = 'tests.unit.core.pipeline.test_contract'
MADE: list[str] = []
GATE = threading.Event()


@pytest.fixture(autouse=True)
def nothing_there() -> None:
    SHELVES.clear()
    IMAGES.clear()
    MADE.clear()
    GATE.clear()


class Counted(MemoryOutput):
    """Counts how often it is made."""

    def __init__(self, location: object, settings: Settings) -> None:
        super().__init__(location, settings)
        MADE.append(self.location.path)


class Stuck(MemoryOutput):
    """Fails for one image, and for another does not notice cancellation while it writes."""

    def write_layer(self, layer: OutgoingLayer) -> WrittenLayer:
        if self.location.path == 'to-bad':
            raise OutputError('cannot be written')
        self.shelf.writes.append('begun')
        GATE.wait(10)
        raise OutputError('noticed too late')


def test_an_output_is_made_once_for_each_image(tmp_path: Path) -> None:
    plugins, source = memory_plugins(f'{HERE}:Counted'), offer('one', 'two', 'three')
    receipts = ReceiptFile(str(tmp_path / 'receipts'))
    for earlier in ((), True):
        MADE.clear()
        known = EarlierRun(read_receipts(str(tmp_path / 'receipts'))) if earlier else EarlierRun()
        run = Run(plugins, Settings(images=2), VerifyLevel.FAST, Progress(), None if earlier else receipts, known)
        report = run.process(source, 'memory://to-{name}')
        assert report.succeeded and [each.done_before for each in report.images] == [bool(earlier)] * 3
        assert sorted(MADE) == ['to-one', 'to-three', 'to-two']
        receipts.close()
    MADE.clear()
    list(plan_copies(plugins, Settings(), source, 'memory://to-{name}', ()))
    assert sorted(MADE) == ['to-one', 'to-three', 'to-two']


def test_an_output_is_aborted_once() -> None:
    plugins, settings = memory_plugins(f'{HERE}:Stuck'), Settings(jobs=8, images=2)  # a thread for each layer of both
    source, raised, others = offer('bad', 'slow'), list[BaseException](), set(threading.enumerate())

    def process() -> None:
        try:
            Run(plugins, settings, VerifyLevel.FAST, Progress()).process(source, 'memory://to-{name}')
        except Cancelled as error:
            raised.append(error)
    running = threading.Thread(target=process)
    running.start()
    wait_until(lambda: 'to-bad' in SHELVES and SHELVES['to-bad'].aborts == 1 and bool(SHELVES['to-slow'].writes))
    settings.cancellation.cancel()
    running.join(10)
    assert raised and SHELVES['to-slow'].aborts == 1
    GATE.set()
    wait_until(lambda: not set(threading.enumerate()) - others)
    assert SHELVES['to-bad'].aborts == SHELVES['to-slow'].aborts == 1
