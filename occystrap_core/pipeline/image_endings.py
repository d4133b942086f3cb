"""What happens when an image of a run ends: it gets a verdict, a line among the receipts, and is shown as finished."""
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from occystrap_core.destinations.bringers import bringers
from occystrap_core.errors import OutputError
from occystrap_core.plugins.manager import Plugins
from occystrap_core.receipts.destination_check import verify_receipt
from occystrap_core.report.image_report import ImageReport, failure_text
from occystrap_core.report.progress import Progress
from occystrap_core.settings import VerifyLevel
from occystrap_core.tasks.image_task import ImageTask
from occystrap_core.verification.judge import Verdict
from occystrap_core.verification.provenance import Bringer, RecordedVerdict
from occystrap_core.verification.results import Outcome

if TYPE_CHECKING:
    from occystrap_core.receipts.receipt_file import ReceiptFile


class ImageEndings:
    """Verifies and records images as they end; used by several threads.

    `proofs`: the report has each expectation with its observations. `only`: the run has a single image, whose error is
    raised instead of recorded. `over`: called with each image that has ended.
    """

    def __init__(self, plugins: Plugins, level: VerifyLevel, progress: Progress, receipts: 'ReceiptFile | None',
                 proofs: bool, only: bool, over: Callable[[ImageReport], None] = lambda report: None) -> None:
        self.plugins, self.level, self.progress, self.receipts = plugins, level, progress, receipts
        self.proofs, self.only, self.over = proofs, only, over
        self.failed = threading.Event()
        """Set after an image has failed."""

    def visible(self, task: ImageTask, started: float) -> None:
        """Verify an image that is at its destination."""
        if self.level is not VerifyLevel.NONE:
            assert task.report.receipt
            with self.progress.verification(str(task.reference)):
                verdict = verify_receipt(self.plugins, task.report.receipt, self.level, task.settings)
            self.judged(task, verdict)
        self.finished(task, started)

    def judged(self, task: ImageTask, verdict: Verdict) -> None:
        """Report the verdict about an image."""
        task.report.judged(verdict)
        if self.proofs:
            task.report.looks = verdict.to_json()

    def failed_with(self, task: ImageTask, started: float, error: BaseException) -> None:
        """Report an image that failed."""
        task.report.failure = failure_text(error, self.plugins)
        self.finished(task, started)

    def finished(self, task: ImageTask, started: float) -> None:
        """Write the receipt of an image, and show that it has ended; raises OutputError in a run of one image."""
        task.report.seconds = time.monotonic() - started
        self._record(task.report, bringers(task.settings))
        self.ended(task.report)

    def ended(self, report: ImageReport) -> None:
        """Show that an image has ended."""
        if not report.succeeded:
            self.failed.set()
        self.progress.finished(report)
        self.over(report)

    def _record(self, report: ImageReport, brought_by: Sequence[Bringer]) -> None:
        """Record the receipt with its verdict, and write it; if that fails, the image has failed."""
        if not report.receipt:
            return
        verdict = RecordedVerdict.now((report.outcome or Outcome.UNVERIFIED).value, self.level.value)
        if report.done_before and report.outcome is None and report.receipt.verdict:
            verdict = report.receipt.verdict
        report.recorded = replace(report.receipt, verdict=verdict, brought_by=tuple(brought_by))
        try:
            if self.receipts:
                self.receipts.add(report.recorded)
        except OutputError as error:
            if self.only:
                raise OutputError(f'{report.destination} is copied, but {error}') from None
            report.failure = f'copied, but {error}'
