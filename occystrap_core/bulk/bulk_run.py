"""A run whose images are copied by workers: this process sends out orders, collects results, and writes the receipts.
"""
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace

from occystrap_core.api.options import read_options
from occystrap_core.api.schemes import ExecutorKind, load
from occystrap_core.api.uri import Location, parse_filter, parse_uri
from occystrap_core.bulk.coordinator import Coordinator
from occystrap_core.bulk.earlier_receipts import EarlierReceipts
from occystrap_core.bulk.image_orders import ImageOrders
from occystrap_core.bulk.order_work import WorkerOptions
from occystrap_core.bulk.orders_ahead import OrdersAhead
from occystrap_core.destinations.media import Media
from occystrap_core.destinations.side_files import side_files
from occystrap_core.errors import OccystrapError
from occystrap_core.orders import ImageDone
from occystrap_core.plugins.manager import Plugins
from occystrap_core.receipts.receipt_file import ReceiptFile
from occystrap_core.report.bulk_progress import BulkProgress
from occystrap_core.report.image_report import ImageReport, failure_text
from occystrap_core.report.progress import Progress
from occystrap_core.report.run_report import RunReport
from occystrap_core.settings import Settings, VerifyLevel
from occystrap_core.terminal import print_message
from occystrap_core.verification.receipt import Receipt

_FIRST = 2
"""How many images must be known before a worker begins, so that an impossible request is refused first."""


def executor_kind(plugins: Plugins, text: str) -> tuple[ExecutorKind, dict[str, object]]:
    """Return the executor that `NAME:option=value,…` names, and its options; raises UsageError."""
    name, given = parse_filter(text, 'executor')
    kind = plugins.find(ExecutorKind, name)
    options = read_options(kind.options, given, f'executor {name}')
    if kind.check:
        load(kind.check)(options)
    return kind, options


@dataclass(eq=False, repr=False)
class BulkRun:
    """One invocation of `process --executor`; the fields are those of Run."""

    plugins: Plugins
    settings: Settings
    level: VerifyLevel
    progress: Progress
    kind: ExecutorKind
    options: dict[str, object]
    receipts: ReceiptFile | None = None
    earlier: EarlierReceipts = field(default_factory=EarlierReceipts)
    fail_fast: bool = False
    refresh: bool = True
    keeps_images: bool = False
    """Whether the report lists images that succeeded, of which there may be many, or only counts them."""
    reports: Sequence[str] = ()
    """The files of --report."""
    report: RunReport | None = field(init=False, default=None)
    _has_failed: bool = field(init=False, default=False)

    def process(self, source: str, destinations: Sequence[str], filters: Sequence[str] = ()) -> RunReport:
        """Copy all images that `source` names and verify them; return the report. Raises as Run does."""
        started = time.monotonic()
        report = self.report = RunReport(self.level, self.settings.requests, copies=True)
        try:
            with closing(self.settings.shared):
                self._process(report, source, destinations, filters)
        except BaseException:
            report.has_more = True
            raise
        finally:
            self.progress.end()
            report.seconds = time.monotonic() - started
            report.leave_out()
        return report

    def _process(self, report: RunReport, source: str, destinations: Sequence[str], filters: Sequence[str]) -> None:
        settings = replace(self.settings, cancellation=self.settings.cancellation.child())
        jobs = OrdersAhead(settings.cancellation)
        files = side_files(self.receipts.path if self.receipts else None, None, self.reports)
        if settings.stdout_taken:
            files.refuse_stdout('the report in JSON')
        orders = ImageOrders(self.plugins, settings, jobs.put, files)
        with closing(jobs):
            made = orders.of(source, destinations, filters, self._receipt_at)
            jobs.start(made, _FIRST, self.settings.cancellation.check)
            workers = self._execute(jobs)
        report.notes += orders.notes
        busy = ', '.join(f'{name} {count}' for name, count in sorted(workers.items()))
        report.notes += [f'images by worker: {busy}'] if busy else []

    def _execute(self, jobs: OrdersAhead) -> Mapping[str, int]:
        """Execute all orders; return how many images each worker has finished."""
        with ExitStack() as stopped, self._executor() as (executor, slots):
            options = WorkerOptions.of(self.settings, self.level, self.refresh, bool(self.reports), slots)
            self.progress.begin(())
            coordinator = Coordinator(executor, slots, options, self.settings.cancellation.check, self._ended,
                                      self._skips)
            stopped.enter_context(_adding_kept(coordinator))
            if isinstance(self.progress, BulkProgress):
                self.progress.at_work, self.progress.by_worker = lambda: coordinator.at_work, coordinator.by_worker
            coordinator.run(jobs)
        return coordinator.workers

    def _skips(self) -> str:
        """Return why no more images are started; empty if they are."""
        return 'skipped, since another image failed (--fail-fast)' if self.fail_fast and self._has_failed else ''

    @contextmanager
    def _executor(self) -> Iterator[tuple[Executor, int]]:
        factory = load(self.kind.factory)
        with factory(self.options, lambda line: print_message(f'note: {line}')) as (executor, slots):
            yield executor, slots

    def _receipt_at(self, destination: Location) -> str:
        return self.earlier.at(self.plugins, destination, self.settings) if self.earlier else ''

    def _ended(self, done: ImageDone, worker: str = '') -> None:
        """Record the result of an image, and write its receipt."""
        assert self.report
        self.settings.requests.count(**done.requests)
        receipt = Receipt.from_json(done.receipt) if done.receipt else None
        report = _report_of(done, receipt, worker)
        if receipt and report.succeeded:
            report.failure = self._other_medium(done)
        if receipt and self.receipts and not (done.succeeded and report.failure):
            try:
                self.receipts.add(receipt)
            except OccystrapError as error:
                report.failure = report.failure or f'copied, but {failure_text(error, self.plugins)}'
        self.progress.finished(report)
        self._has_failed = self._has_failed or not report.succeeded
        if self.keeps_images or not report.succeeded:
            self.report.images.append(report)
            return
        for note in report.notes:
            print_message(f'note: {report.name}: {note}')
        self.report.others.add(report)

    def _other_medium(self, done: ImageDone) -> str:
        """Return why an image is not where the others are; empty if it is."""
        try:
            self.settings.shared.get(Media, Media).require_again(parse_uri(done.order.destination).path)
        except OccystrapError as error:
            return failure_text(error, self.plugins)
        return ''


@contextmanager
def _adding_kept(coordinator: Coordinator) -> Iterator[None]:
    """Add what is kept for the next run to the exception that ends the with block, once the workers have stopped."""
    try:
        yield
    except BaseException as reason:
        for note in coordinator.kept():
            reason.add_note(note)
        raise


def _report_of(done: ImageDone, receipt: Receipt | None, worker: str) -> ImageReport:
    """Return the report on an image that a worker made."""
    report = ImageReport(done.order.source, done.order.destination)
    if done.report:
        report = ImageReport.of_json(done.report, receipt)
    if done.error and report.succeeded:
        report.failure = str(done.error)
    if report.failure and worker:
        report.failure += f' (worker {worker})'
    return report
