"""A run: every image of the source, several in parallel, each copied, then verified while others are copied."""
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from occystrap_core.api.uri import Location, redact
from occystrap_core.destinations.media import Media
from occystrap_core.destinations.side_files import side_files
from occystrap_core.errors import Cancelled, NoImage, ServiceUnavailable, TooManyRequests, UsageError
from occystrap_core.layers.kept_layers import KeptLayers
from occystrap_core.layers.layer_cache import LayerCache
from occystrap_core.mirror.also_brought import AlsoBrought
from occystrap_core.pipeline.content_fit import ArtifactRefused
from occystrap_core.pipeline.image_endings import ImageEndings
from occystrap_core.pipeline.joint_images import CopiedImage, JointImages, publish
from occystrap_core.pipeline.lane_threads import LaneThreads
from occystrap_core.pipeline.same_source import sharing_sources
from occystrap_core.pipeline.task_copy import TaskCopies
from occystrap_core.oci.digest import Digest
from occystrap_core.plugins.manager import Plugins
from occystrap_core.report.image_report import ImageReport
from occystrap_core.report.progress import Progress
from occystrap_core.report.run_report import RunReport
from occystrap_core.settings import Settings, Shared, VerifyLevel
from occystrap_core.tasks.earlier_run import EarlierRun, FoundBefore
from occystrap_core.tasks.image_task import ImageTask
from occystrap_core.tasks.source_orders import Destinations
from occystrap_core.tasks.request_check import recorded_note
from occystrap_core.tasks.task_list import WINDOW, TaskList
from occystrap_core.terminal_text import counted
from occystrap_core.verification.judge import Verdict
from occystrap_core.verification.receipt import Receipt

if TYPE_CHECKING:
    from occystrap_core.receipts.receipt_file import ReceiptFile


class Run:
    """One invocation of `process`.

    `earlier`: receipts of an earlier run, besides those that destinations keep; images that they prove are not copied
    again if, with `refresh`, the source still has the same. `fail_fast`: start no image after one has failed.
    `layer_cache`: the file with results of filters and compression for layers. `prune`: returns the receipts by which
    images are removed that sources with prune=true no longer have; None removes none. `reports`: the files of --report.
    `proofs`: the report has each expectation with its observations. `of_one_image`: refuse a source of several images.
    `look`: called with the task of an image that is not there, instead of copying it. `is_missing`: no image is there
    yet. `keeps_images`: the report of a long run lists images that succeeded. `brought`: blobs that other processes
    brought to the destination, each with an image there. `report`: the report of `process`, also if that raised.
    """

    def __init__(self, plugins: Plugins, settings: Settings, level: VerifyLevel, progress: Progress,
                 receipts: 'ReceiptFile | None' = None, earlier: EarlierRun | None = None, fail_fast: bool = False,
                 layer_cache: str | None = None, refresh: bool = True,
                 prune: Callable[[], Sequence[Receipt]] | None = None, reports: Sequence[str] = (), *,
                 of_one_image: bool = False, look: Callable[[ImageTask], None] | None = None, is_missing: bool = False,
                 keeps_images: bool = True, proofs: bool = False, brought: Mapping[Digest, Location] | None = None,
                 ) -> None:
        self.plugins, self.settings, self.level, self.progress = plugins, settings, level, progress
        self.receipts, self.earlier = receipts, EarlierRun() if earlier is None else earlier
        self.fail_fast, self.layer_cache, self.refresh, self.prune = fail_fast, layer_cache, refresh, prune
        self.reports, self.of_one_image, self.look, self.is_missing = reports, of_one_image, look, is_missing
        self.keeps_images, self.proofs = keeps_images, proofs
        self.report: RunReport | None = None
        self._copies = TaskCopies(settings, progress, brought or {})
        self._also_brought = AlsoBrought(plugins, settings)
        self._joint: JointImages[tuple[Receipt, Verdict]] = JointImages(())

    def process(self, source: str, destination: Destinations, filters: Sequence[str] = ()) -> RunReport:
        """Copy all images that `source` names to `destination` and verify them; return the report.

        Raises OccystrapError if the only image fails; among several a failure is reported and the others continue.
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
            most = None if self.prune or self.of_one_image else WINDOW
            todo.expand(source, destination, filters, side_files(receipts, self.layer_cache, self.reports), most)
            if self.layer_cache:
                from occystrap_core.layers.layer_cache import FileCache
                shared.get(LayerCache, partial(FileCache, self.layer_cache))
            if self.of_one_image and len(todo.tasks) > 1:
                raise UsageError(f'{redact(source)} names {counted(len(todo.tasks), "image")}: choose one')
            report.notes = todo.notes
            report.destinations = 1 + max((task.lane for task in todo.tasks), default=0)
            report.images = [*(task.report for task in todo.tasks), *todo.failed]
            if self.prune and not todo.pruned:
                raise UsageError('--prune: no source has prune=true, such as registry://HOST/team/*:*?prune=true')
            if not todo.is_whole:
                self._process_long(todo, report)
            elif report.images:
                self._process_all(sharing_sources(todo.tasks, self.settings), report)
            report.leave_out()
            todo.notes += self._also_brought.note()
            self._prune(todo, report, partial(self._listed_again, source, destination))

    def _prune(self, todo: TaskList, report: RunReport, again: Callable[[], Collection[tuple[object, ...]]]) -> None:
        """Remove what sources with prune=true no longer have, if all images of the run succeeded."""
        if not todo.pruned:
            return
        failed = sum(not image.succeeded for image in report.images)
        if self.prune is None or failed:
            todo.notes.append(f'nothing is pruned, since {failed} of {report.count} images failed' if failed else
                              'prune=true deletes nothing without --prune')
            return
        from occystrap_core.mirror.pruned_images import prune_sources
        report.pruning = True
        for each in prune_sources(self.plugins, self.settings, todo, self.prune(), False, self.receipts, again):
            report.pruned.append(each)

    def _listed_again(self, source: str, destination: Destinations) -> Collection[tuple[object, ...]]:
        """Return the `place_keys` of what the source has now; none for stdin, which cannot be read twice."""
        from occystrap_core.mirror.pruned_images import place_keys
        if source.partition('://')[2].partition('?')[0] == '-':
            return ()
        settings = replace(self.settings, shared=Shared(self.settings.shared))
        with closing(settings.shared), TaskList(self.plugins, settings) as todo:
            todo.expand(source, destination, ())
            if todo.failed:
                raise ServiceUnavailable(f'{todo.failed[0].name}: {todo.failed[0].failure}')
            return place_keys(todo.tasks)

    def _process_all(self, tasks: Sequence[ImageTask], report: RunReport) -> None:
        self._ends = ImageEndings(self.plugins, self.level, self.progress, self.receipts, self.proofs, len(tasks) == 1,
                                  self._over)
        self._joint = JointImages(tasks)
        self.progress.begin(report.images)
        for image in report.images[len(tasks):]:
            self._ends.ended(image)
        self._process_with(LaneThreads(len(tasks), self.settings), tasks)

    def _over(self, report: ImageReport) -> None:
        if not self.keeps_images:
            report.counted()

    def _process_long(self, todo: TaskList, report: RunReport) -> None:
        """Process the known tasks while others are being looked for."""
        from occystrap_core.pipeline.long_run import AT_ONCE, LongRun  # late, as few runs are so long
        long = LongRun(self.plugins, self.settings, todo, report, self.progress, self.keeps_images)
        self._ends = ends = ImageEndings(self.plugins, self.level, self.progress, self.receipts, self.proofs, False,
                                         long.ended)
        tasks = long.tasks(ends.ended, self._begin_joint, lambda: self.fail_fast and ends.failed.is_set())
        self._process_with(LaneThreads(self.settings.images, self.settings, AT_ONCE), tasks)

    def _begin_joint(self, tasks: Sequence[ImageTask]) -> None:
        self._joint = JointImages(tasks)

    def _process_with(self, threads: LaneThreads, tasks: Iterable[ImageTask]) -> None:
        try:
            threads.process(tasks, partial(self._process, threads=threads), self._stop)
        finally:
            self.progress.end()

    def _stop(self, reason: BaseException) -> None:
        """Clean up after a signal, or the failure of the only image."""
        self._copies.abort(reason)
        self._joint.abort(reason)
        for note in self.settings.shared.get(KeptLayers, KeptLayers).notes():
            reason.add_note(note)

    def _process(self, task: ImageTask, threads: LaneThreads) -> None:
        """Copy one image; if it is the last of its group to end, make the group visible."""
        try:
            self._process_alone(task, threads)
        finally:
            task.use.end()
            if copied := self._joint.ended(task, self.settings.cancellation.cancelled):
                self._publish(copied, threads)

    def _process_alone(self, task: ImageTask, threads: LaneThreads) -> None:
        """Copy one image, unless it is proved to be there. A failure of the only image is raised, other failures are
        recorded."""
        if self.fail_fast and self._ends.failed.is_set():
            task.report.failure = 'skipped, since another image failed (--fail-fast)'
            self._ends.over(task.report)
            return
        started = time.monotonic()
        try:
            if (is_there := not self.is_missing and self._is_there(task)) or self.look:
                if self.look and not is_there:
                    self.look(task)
                self._ends.finished(task, started)
                return
            copied = self._copies.copy(task, started, batched=not self._joint.has(task))
        except (Exception, Cancelled) as error:  # no error of one image must affect the others
            if self._ends.only or self.settings.cancellation.cancelled:
                raise
            if isinstance(error, TooManyRequests) and not self._joint.has(task) and threads.again(task):
                return
            if isinstance(error, ArtifactRefused | NoImage) and not task.chosen:
                task.report.left_out = True
                self._ends.finished(task, started)
            else:
                self._ends.failed_with(task, started, error)
            return
        if self._joint.has(task):
            self._joint.add(copied)
        else:
            threads.later(task, partial(self._commit, copied))

    def _commit(self, image: CopiedImage) -> None:
        """Wait until an image is visible at its destination, then verify it."""
        report = image.task.report
        try:
            newer = self._copies.commit(image)
        except (Exception, Cancelled) as error:
            if self._ends.only or self.settings.cancellation.cancelled:
                raise
            self._ends.failed_with(image.task, image.started, error)
            return
        if newer:
            report.received(newer)
        report.notes = list(dict.fromkeys([*report.notes, *image.output.notes]))
        self._ends.visible(image.task, image.started)

    def _publish(self, images: Sequence[CopiedImage], threads: LaneThreads) -> None:
        """Make the images of a group visible; a failure counts for each of them."""
        goes, media = images[0].task, self.settings.shared.get(Media, Media)
        try:
            with media.kept(goes.written, goes.place):
                publish(images)
        except (Exception, Cancelled) as error:
            if self.settings.cancellation.cancelled:
                raise
            for each in images:
                each.task.report.receipt = None
                self._ends.failed_with(each.task, each.started, error)
            return
        first = images[0]
        first.task.report.notes = list(dict.fromkeys([*first.task.report.notes, *first.output.notes]))
        for each in images:
            try:
                each.copied()
            except Exception as error:
                self._ends.failed_with(each.task, each.started, error)
            else:
                threads.later(each.task, partial(self._ends.visible, each.task, each.started))

    def _is_there(self, task: ImageTask) -> bool:
        """Return whether the image is proved to be there and to be the source's; report it as unchanged then."""
        found = self._joint.if_all(task, lambda each: FoundBefore(
            self.plugins, each, self.earlier, self.refresh, self.level).find())
        if found is None:
            return False
        receipt, verdict = found
        task.report.unchanged(receipt, self.refresh)
        task.report.notes = [*task.report.notes, *recorded_note(receipt)]
        self._also_brought.add(task, receipt)
        task.output.taken().leave_unchanged()
        if self.level is not VerifyLevel.NONE:
            self._ends.judged(task, verdict)
        return True
