"""A run: every image of the source, several in parallel, each copied, then verified while others are copied."""
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial

from occystrap_core.api.place import Place
from occystrap_core.daemon_threads import DaemonThreads, completed, give_up
from occystrap_core.errors import Cancelled, NoImage, OutputError, UsageError
from occystrap_core.image.image_index import layer_notes
from occystrap_core.pipeline.claims import Claims
from occystrap_core.pipeline.destination_check import verify_receipt
from occystrap_core.pipeline.delta import note_bases
from occystrap_core.pipeline.earlier_run import EarlierRun, FoundBefore
from occystrap_core.pipeline.field_directories import FieldDirectories
from occystrap_core.pipeline.image_copy import Abortion, ImageCopy, writing_to
from occystrap_core.pipeline.image_task import ImageTask
from occystrap_core.pipeline.index_copy import ArtifactRefused, IndexCopy, copy_of, filtered, size_to_move
from occystrap_core.pipeline.joint_images import CopiedImage, JointImages, publish
from occystrap_core.pipeline.layer_cache import LayerCache
from occystrap_core.pipeline.progress import Progress
from occystrap_core.pipeline.receipt_file import ReceiptFile
from occystrap_core.pipeline.report import ImageReport, RunReport, failure_text, layers_of
from occystrap_core.pipeline.request_check import platforms_of, recorded_note, require_requested, selection_note
from occystrap_core.pipeline.same_source import sharing_sources
from occystrap_core.pipeline.side_files import side_files
from occystrap_core.pipeline.source_use import Opened
from occystrap_core.pipeline.tasks import Destinations, TaskList
from occystrap_core.plugins.manager import Plugins
from occystrap_core.settings import Settings, VerifyLevel
from occystrap_core.verification.judge import Verdict
from occystrap_core.verification.expectation import Evidence
from occystrap_core.verification.receipt import Receipt, RecordedVerdict
from occystrap_core.verification.results import Outcome

Later = Callable[[ImageTask, Callable[[], None]], None]
"""Has work on an image that was copied done on another thread, while others are copied."""

_ABORTING = 1.3
"""Seconds that images get to notice a signal and clean up: the process must end within two."""


@dataclass(eq=False, repr=False)
class Run:
    """What one invocation of `process` works with.

    `earlier`: receipts of an earlier run, besides those that destinations keep; images they prove are not copied again
    if, with `refresh`, they are still what the source has. `fail_fast`: begin no image after one has failed.
    `layer_cache`: the file with results of filters and compression for layers. `prune` gives the receipts by which
    images go that sources with prune=true no longer have; None keeps all.
    """

    plugins: Plugins
    settings: Settings
    level: VerifyLevel
    progress: Progress
    receipts: ReceiptFile | None = None
    earlier: EarlierRun = field(default_factory=EarlierRun)
    fail_fast: bool = False
    layer_cache: str | None = None
    refresh: bool = True
    prune: Callable[[], Sequence[Receipt]] | None = None
    report: RunReport | None = field(init=False, default=None)
    """That of `process`, also if it raised."""
    _only: bool = False
    _failed: threading.Event = field(default_factory=threading.Event)
    _at_work: dict[int, Abortion] = field(default_factory=dict)
    _joint: JointImages[tuple[Receipt, Verdict]] = field(default_factory=lambda: JointImages(()))

    def process(self, source: str, destination: Destinations, filters: Sequence[str] = ()) -> RunReport:
        """Copy all images that `source` names to `destination` and verify them; return the report.

        Raises OccystrapError if the only image fails; among several
        a failure is reported and the others continue.
        """
        started = time.monotonic()
        report = self.report = RunReport(self.level, self.settings.requests, copies=True)
        try:
            self._process_source(report, source, destination, filters)
        finally:
            report.seconds = time.monotonic() - started
        return report

    def _process_source(self, report: RunReport, source: str, destination: Destinations, filters: Sequence[str],
                        ) -> None:
        with closing(self.settings.shared) as shared, TaskList(self.plugins, self.settings) as todo:
            receipts = self.receipts.path if self.receipts else None
            todo.expand(source, destination, filters, side_files(receipts, self.layer_cache))
            if self.layer_cache:
                from occystrap_core.pipeline.layer_cache import FileCache
                shared.get(LayerCache, partial(FileCache, self.layer_cache))
            report.notes = todo.notes
            report.destinations = 1 + max((task.lane for task in todo.tasks), default=0)
            report.images = [*(task.report for task in todo.tasks), *todo.failed]
            if self.prune and not todo.pruned:
                raise UsageError('--prune: no source has prune=true, such as registry://HOST/team/*:*?prune=true')
            if report.images:
                self._process_all(sharing_sources(todo.tasks, self.settings), report)
            report.leave_out()
            self._prune(todo, report)

    def _prune(self, todo: TaskList, report: RunReport) -> None:
        """Remove what sources with prune=true no longer have, if all images of the run succeeded."""
        if not todo.pruned:
            return
        failed = sum(not image.succeeded for image in report.images)
        if self.prune is None or failed:
            todo.notes.append(f'nothing is pruned, since {failed} of {len(report.images)} images failed' if failed else
                              'prune=true deletes nothing without --prune')
            return
        from occystrap_core.pipeline.pruned_images import prune_sources
        report.pruning = True
        removed = self.receipts.remove if self.receipts else lambda gone: None
        for each in prune_sources(self.plugins, self.settings, todo, self.prune(), False, removed):
            report.pruned.append(each)

    def _process_all(self, tasks: Sequence[ImageTask], report: RunReport) -> None:
        lanes = range(report.destinations)
        threads = [DaemonThreads(min(self.settings.images, len(tasks)), f'image-{lane}') for lane in lanes]
        verifying = [DaemonThreads(min(self.settings.images, len(tasks)), f'verification-{lane}') for lane in lanes]
        self.progress.begin(report.images)
        for image in report.images[len(tasks):]:
            self._ended(image)
        checks: list[Future[None]] = []
        self._only, self._joint = len(tasks) == 1, JointImages(tasks)

        def later(task: ImageTask, work: Callable[[], None]) -> None:
            checks.append(verifying[task.lane].submit(work))

        copies = [threads[task.lane].submit(partial(self._process, task, later)) for task in tasks]
        try:
            with self._stopping(copies):
                _wait(copies, self.settings)
                _wait(checks, self.settings)
        finally:
            self.progress.end()
            for each in [*threads, *verifying]:
                each.close()

    def _process(self, task: ImageTask, later: Later) -> None:
        """Copy one image, and make it visible with others if it is the last of them to end."""
        try:
            self._process_alone(task, later)
        finally:
            task.use.end()
            copied = self._joint.ended(task)
            if copied and not self.settings.cancellation.cancelled:
                self._publish(copied, later)

    def _process_alone(self, task: ImageTask, later: Later) -> None:
        """Copy one image, unless it is proved to be there; a failure of the only image is raised, others are recorded.
        """
        if self.fail_fast and self._failed.is_set():
            task.report.failure = 'skipped, since another image failed (--fail-fast)'
            return
        started = time.monotonic()
        try:
            if self._is_there(task):
                self._finished(task, started)
                return
            copied = self._copy(task, started)
        except (Exception, Cancelled) as error:  # whatever it is, it does not concern the other images
            if self._only or self.settings.cancellation.cancelled:
                raise
            if isinstance(error, ArtifactRefused | NoImage) and not task.chosen:
                task.report.left_out = True
                self._finished(task, started)
            else:
                self._failed_with(task, started, error)
            return
        if self._joint.has(task):
            self._joint.add(copied)
        else:
            later(task, partial(self._commit, copied))

    def _commit(self, image: CopiedImage) -> None:
        """Wait until an image is visible at its destination, and verify it."""
        report = image.task.report
        try:
            try:
                with writing_to(image.output):
                    newer = image.output.commit()
            except BaseException as error:
                image.abortion.abort(error)
                report.receipt = None
                raise
            finally:
                self._at_work.pop(id(image.abortion), None)
            image.copied()
        except (Exception, Cancelled) as error:
            if self._only or self.settings.cancellation.cancelled:
                raise
            self._failed_with(image.task, image.started, error)
            return
        if newer:
            self._note(report, newer)
        report.notes = list(dict.fromkeys([*report.notes, *image.output.notes]))
        self._visible(image.task, image.started)

    def _visible(self, task: ImageTask, started: float) -> None:
        """Verify an image that is at its destination."""
        if self.level is VerifyLevel.NONE:
            self._finished(task, started)
        else:
            self._verify(task, started)

    def _publish(self, images: Sequence[CopiedImage], later: Later) -> None:
        """Make images visible that only become so together; a failure is that of each."""
        try:
            publish(images)
        except (Exception, Cancelled) as error:
            if self.settings.cancellation.cancelled:
                raise
            for each in images:
                each.task.report.receipt = None
                self._failed_with(each.task, each.started, error)
            return
        first = images[0]
        first.task.report.notes = list(dict.fromkeys([*first.task.report.notes, *first.output.notes]))
        for each in images:
            try:
                each.copied()
            except Exception as error:
                self._failed_with(each.task, each.started, error)
            else:
                later(each.task, partial(self._visible, each.task, each.started))

    def _failed_with(self, task: ImageTask, started: float, error: BaseException) -> None:
        task.report.failure = failure_text(error, self.plugins)
        self._finished(task, started)

    def _copy(self, task: ImageTask, started: float) -> CopiedImage:
        output = task.output.taken()
        output.batched = output.commits and not self._joint.has(task)
        with task.use.opened(partial(_open, task), self.settings) as (source, image):
            self._claim(task, output.place(source.reference))
            directories = self.settings.shared.get(FieldDirectories, FieldDirectories)
            directories.make(task.written, output.place(source.reference))
            with self.progress.image(task.report.name, size_to_move(image)) as advance:
                note_bases(source, output, task.written)
                copy = copy_of(image, output, task.settings, task.recorded, advance, task.recipe, task.use.reads)
                receipt = self._run(copy, until_visible=output.batched)
        self._note(task.report, receipt)
        task.report.settle_seconds = output.settle_seconds
        task.report.notes = [*task.report.notes, *selection_note(source), *image.notes, *layer_notes(source),
                             *(() if output.batched else output.notes)]
        task.report.platforms = platforms_of(source)
        task.report.layers, task.report.size = len(copy.layers), sum(layer.size for layer in copy.layers)
        task.report.moved = sum(size for _, size in {(layer.digest, layer.size) for layer in copy.layers
                                                     if layer.evidence is Evidence.STREAMED})
        return CopiedImage(task, output, copy.abortion, started, task.use.arrived)

    def _run(self, copy: ImageCopy | IndexCopy, until_visible: bool) -> Receipt:
        """Run a copy, whose abortion is registered for the end of the run while it may be needed."""
        self._at_work[id(copy.abortion)] = copy.abortion
        try:
            receipt = copy.run()
        except BaseException:
            until_visible = False
            raise
        finally:
            if not until_visible:
                del self._at_work[id(copy.abortion)]
        return receipt

    def _claim(self, task: ImageTask, place: Place) -> None:
        """Claim the place of an image that turned out to have another name than expected."""
        if place != task.place:
            self.settings.shared.get(Claims, Claims).claim(place, task.source, task.destination)

    def _note(self, report: ImageReport, receipt: Receipt) -> None:
        report.receipt, report.destination = receipt, receipt.destination

    def _record(self, report: ImageReport) -> None:
        """Write the receipt with its verdict; without it the image is no success.

        A failure of the only image is raised, others are recorded.
        """
        if not self.receipts or not report.receipt:
            return
        verdict = RecordedVerdict((report.outcome or Outcome.UNVERIFIED).value, self.level.value,
                                  time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime()))
        if report.done_before and report.outcome is None and report.receipt.verdict:
            verdict = report.receipt.verdict
        try:
            self.receipts.add(report.receipt.with_verdict(verdict))
        except OutputError as error:
            if self._only:
                raise OutputError(f'{report.destination} is copied, but {error}') from None
            report.failure = f'copied, but {error}'

    def _is_there(self, task: ImageTask) -> bool:
        """Return whether the image is proved to be there, and to be the source's; it is then reported as unchanged."""
        found = self._joint.if_all(task, self._found)
        if found is None:
            return False
        receipt, verdict = found
        self._note(task.report, receipt)
        layers = receipt.of_kind('layer')
        task.report.layers, task.report.size = layers_of(receipt), sum(layer.size for layer in layers)
        task.report.moved, task.report.platforms = 0, receipt.platforms
        task.report.notes = [*task.report.notes, *recorded_note(receipt)]
        task.report.done_before, task.report.source_asked = True, self.refresh
        task.output.taken().leave_unchanged()
        if self.level is not VerifyLevel.NONE:
            task.report.judged(verdict)
        return True

    def _found(self, task: ImageTask) -> tuple[Receipt, Verdict] | None:
        """Return the receipt of an image that is there, and its verdict."""
        return FoundBefore(self.plugins, task, self.earlier, self.refresh, self.level).find()

    def _verify(self, task: ImageTask, started: float) -> None:
        assert task.report.receipt
        with self.progress.verification(str(task.reference)):
            verdict = verify_receipt(self.plugins, task.report.receipt, self.level, task.settings)
        task.report.judged(verdict)
        self._finished(task, started)

    def _finished(self, task: ImageTask, started: float) -> None:
        task.report.seconds = time.monotonic() - started
        self._record(task.report)
        self._ended(task.report)

    def _ended(self, report: ImageReport) -> None:
        if not report.succeeded:
            self._failed.set()
        self.progress.finished(report)

    @contextmanager
    def _stopping(self, copies: Sequence[Future[None]]) -> Iterator[None]:
        """After a signal, or the failure of the only image, let everything stop and clean up before raising."""
        try:
            yield
        except BaseException as error:
            self.settings.cancellation.cancel()
            give_up(copies, _ABORTING)
            if at_work := list(self._at_work.values()):
                threads = DaemonThreads(len(at_work), 'abort')
                wait([threads.submit(partial(each.abort, error)) for each in at_work])
                threads.close()
            self._joint.abort(error)
            _add_leftovers(copies, error)
            raise


def _open(task: ImageTask) -> Opened:
    """Open the image of a task, and apply its filters; raises as the input does."""
    source = task.images.open(task.reference)
    try:
        require_requested(source, task.reference, task.settings)
        return Opened(source, filtered(source, task.filters))
    except BaseException:
        source.close()
        raise


def _add_leftovers(copies: Iterable[Future[None]], reason: BaseException) -> None:
    """Add what images could not clean up to the reason for the stop."""
    for copy in copies:
        error = copy.exception() if copy.done() and not copy.cancelled() else None
        if error and error is not reason:
            for note in getattr(error, '__notes__', ()):
                reason.add_note(note)


def _wait(futures: Iterable[Future[None]], settings: Settings) -> None:
    """Wait until all are done; raises the first exception."""
    for future in completed(list(futures), settings.cancellation.check):
        future.result()
