"""How a run ends: receipts are written or missed, images are given up, leftovers are named."""
import threading
from pathlib import Path

import pytest

from occystrap_core import (
    Cancelled, CheckResults, Image, InvalidImage, OutgoingLayer, OutputError, Receipt, Settings, UsageError,
    VerifyLevel, WrittenLayer,
)
from occystrap_core.api.place import Place
from occystrap_core.oci import Reference
from occystrap_core.pipeline.run import Run
from occystrap_core.plugins.manager import Plugins
from occystrap_core.receipts.receipt_file import ReceiptFile
from occystrap_core.receipts.receipt_lines import read_receipts
from occystrap_core.report.run_report import RunReport
from occystrap_core.tasks.earlier_run import EarlierRun
from occystrap_core.testing.sample import sample_image
from occystrap_core.verification.provenance import RecordedVerdict
from occystrap_core.verification.results import Outcome
from tests.unit.core.pipeline.memory import (
    IMAGES, SHELVES, MemoryOutput, memory_plugins, offer, verify_output, wait_until,
)
from tests.unit.core.pipeline.test_run import broken
from tests.unit.core.report.test_reports import Recorded

HERE = 'tests.unit.core.pipeline.test_run_end'
NAMES: dict[str, str] = {}


@pytest.fixture(autouse=True)
def nothing_there() -> None:
    SHELVES.clear()
    IMAGES.clear()
    NAMES.clear()


def run(source: str, destination: str = 'memory://to-{name}', *, plugins: Plugins | None = None,
        settings: Settings | None = None,
        level: VerifyLevel = VerifyLevel.FAST, receipts: ReceiptFile | None = None,
        earlier: EarlierRun | None = None) -> RunReport:
    made = Run(plugins or memory_plugins(), settings or Settings(images=2), level, Recorded(), receipts,
               earlier or EarlierRun())
    return made.process(source, destination)


class Renamed(MemoryOutput):
    """Has a place of its own for images whose name turns out to be another."""

    def place(self, reference: Reference) -> Place:
        return Place('/shelf', NAMES.get(str(reference), str(reference)))


def test_two_images_that_turn_out_to_be_for_one_place_are_not_both_written() -> None:
    def renamed(name: str) -> Image:
        NAMES[name] = 'same'
        return sample_image(name)
    source = offer('one', 'two', image=renamed)
    report = run(source, 'memory://shelf', plugins=memory_plugins(f'{HERE}:Renamed'), settings=Settings(images=1))
    assert [bool(image.failure) for image in report.images] == [False, True]
    assert 'would both be written to /shelf#same' in report.images[1].failure


def test_a_receipt_that_cannot_be_written_fails_the_only_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    receipts = ReceiptFile(str(tmp_path / 'receipts'))

    def refuse(receipt: Receipt) -> None:
        raise OutputError('the disk is full')
    monkeypatch.setattr(receipts, 'add', refuse)
    with pytest.raises(OutputError, match='^memory://to-one is copied, but the disk is full$'):
        run(offer('one'), receipts=receipts)
    report = run(offer('one', 'two'), receipts=receipts)
    assert [image.failure for image in report.images] == ['copied, but the disk is full'] * 2
    receipts.close()


@pytest.mark.parametrize(('level', 'verifier', 'outcome'), [
    (VerifyLevel.FAST, verify_output, 'verified'), (VerifyLevel.NONE, verify_output, 'unverified'), (VerifyLevel.FULL,
                                                                                                     None,
                                                                                                     'unverified')])
def test_the_verdict_of_the_run_is_in_its_receipts(level: VerifyLevel, verifier: object, outcome: str,
                                                   tmp_path: Path) -> None:
    receipts = ReceiptFile(str(tmp_path / 'receipts'))
    run(offer('one'), plugins=memory_plugins(verifier=verifier), level=level,
        receipts=receipts)  # type: ignore[arg-type]
    receipts.close()
    found, = read_receipts(str(tmp_path / 'receipts'))
    assert found.verdict and (found.verdict.outcome, found.verdict.level) == (outcome, level.value)


def earlier_of(name: str = 'one') -> tuple[EarlierRun, Receipt]:
    """Return what an earlier run proved, long ago."""
    receipt = run(offer(name)).images[0].receipt
    assert receipt
    receipt = receipt.with_verdict(RecordedVerdict('verified', 'full', '2020-01-02T03:04:05Z'))
    return EarlierRun([receipt]), receipt


@pytest.mark.parametrize('level', VerifyLevel)
def test_earlier_images_are_verified_at_the_level_of_the_run(level: VerifyLevel, tmp_path: Path) -> None:
    levels: list[VerifyLevel] = []

    def verify(receipt: Receipt, level: VerifyLevel, settings: Settings) -> CheckResults | None:
        levels.append(level)
        return verify_output(receipt, level, settings)
    earlier, receipt = earlier_of()
    receipts = ReceiptFile(str(tmp_path / 'receipts'))
    report = run('memory://one', plugins=memory_plugins(verifier=verify), level=level, receipts=receipts,
                 earlier=earlier)
    receipts.close()
    image, written = report.images[0], read_receipts(str(tmp_path / 'receipts'))[0]
    assert image.done_before and (image.layers, image.size) == (3, sum(each.size for each in receipt.of_kind('layer')))
    assert levels == [VerifyLevel.FAST if level is VerifyLevel.NONE else level]
    assert image.outcome is (None if level is VerifyLevel.NONE else Outcome.VERIFIED) and written.verdict
    assert (written.verdict.time == '2020-01-02T03:04:05Z') is (level is VerifyLevel.NONE)
    assert len(SHELVES['to-one'].images) == 1


def test_lost_images_are_copied_again() -> None:
    earlier, _ = earlier_of()
    SHELVES['to-one'].blobs.clear()
    report = run('memory://one', earlier=earlier)
    assert report.succeeded and not report.images[0].done_before and len(SHELVES['to-one'].images) == 2


def test_unverifiable_images_are_copied_again() -> None:
    earlier, _ = earlier_of()
    report = run('memory://one', earlier=earlier, plugins=memory_plugins(verifier=None))
    assert not report.images[0].done_before and len(SHELVES['to-one'].images) == 2


GATE = threading.Event()


class Slow(MemoryOutput):
    """Writes until it is cancelled; `to-deaf` does not notice that."""

    def write_layer(self, layer: OutgoingLayer) -> WrittenLayer:
        if self.location.path == 'to-bad':
            wait_until(lambda: 'to-slow' in SHELVES or 'to-deaf' in SHELVES)
            raise OutputError('cannot be written')
        if self.location.path == 'to-deaf':
            GATE.wait(10)
        else:
            while not self.settings.cancellation.cancelled:
                threading.Event().wait(0.01)
        raise Cancelled('cancelled')

    def abort(self) -> None:
        super().abort()
        if self.location.path != 'to-bad':
            raise OutputError('cannot be removed')


@pytest.mark.parametrize('name', ['slow', 'deaf'])
def test_a_signal_ends_the_run_and_what_could_not_be_removed_is_named(name: str) -> None:
    GATE.clear()
    settings, source, raised = Settings(images=1), offer(name), list[BaseException]()
    threads = set(threading.enumerate())

    def process() -> None:
        try:
            run(source, plugins=memory_plugins(f'{HERE}:Slow'), settings=settings)
        except Cancelled as error:
            raised.append(error)
    running = threading.Thread(target=process)
    running.start()
    wait_until(lambda: f'to-{name}' in SHELVES)
    settings.cancellation.cancel()
    running.join(10)
    assert len(raised) == 1 and raised[0].__notes__ == ['temporary files could not be removed: cannot be removed']
    assert SHELVES[f'to-{name}'].aborts == 1
    GATE.set()
    wait_until(lambda: not set(threading.enumerate()) - threads)


def test_an_error_of_the_run_itself_cancels_the_images(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(images=1)
    checks: list[int] = []

    def check() -> None:
        checks.append(1)
        if len(checks) > 3:
            raise KeyboardInterrupt
    monkeypatch.setattr(settings.cancellation, 'check', check)
    with pytest.raises(KeyboardInterrupt):
        run(offer('slow'), plugins=memory_plugins(f'{HERE}:Slow'), settings=settings)
    assert settings.cancellation.cancelled


def test_the_only_image_that_fails_cancels_nothing_else_but_leaves_no_thread() -> None:
    threads = set(threading.enumerate())
    with pytest.raises(InvalidImage):
        run(offer('bad', image=broken))
    wait_until(lambda: not set(threading.enumerate()) - threads)


def test_no_destination_for_a_name_with_an_unknown_field() -> None:
    with pytest.raises(UsageError, match='there is no field {nmae}; did you mean .name.'):
        run(offer('one'), 'memory://{nmae}')
