"""Copying the images of a run's tasks, and aborting those at work when the run stops."""
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import wait
from contextlib import contextmanager
from functools import partial

from occystrap_core.api.image_output import ImageOutput
from occystrap_core.api.place import Place
from occystrap_core.api.uri import Location
from occystrap_core.api.written_image import PlacedLayer
from occystrap_core.daemon_threads import DaemonThreads
from occystrap_core.destinations.claims import Claims
from occystrap_core.destinations.made_directories import MadeDirectories
from occystrap_core.destinations.media import Media
from occystrap_core.image.image import Content, layer_notes
from occystrap_core.layers.kept_layers import resumed_notes, reused_bytes
from occystrap_core.oci.digest import Digest
from occystrap_core.pipeline.abortion import Abortion, writing_to
from occystrap_core.pipeline.base_layers import note_bases
from occystrap_core.pipeline.image_copy import ImageCopy
from occystrap_core.pipeline.content_fit import filtered
from occystrap_core.pipeline.index_copy import IndexCopy, copy_of, size_to_move
from occystrap_core.pipeline.joint_images import CopiedImage
from occystrap_core.report.image_report import ImageReport
from occystrap_core.report.progress import Progress
from occystrap_core.settings import Settings
from occystrap_core.tasks.image_task import ImageTask
from occystrap_core.tasks.request_check import platforms_of, require_requested, selection_note
from occystrap_core.tasks.source_use import Opened
from occystrap_core.verification.expectation import Evidence
from occystrap_core.verification.receipt import Receipt


class TaskCopies:
    """The copies of one run; used by several threads."""

    def __init__(self, settings: Settings, progress: Progress, brought: Mapping[Digest, Location]) -> None:
        """`brought` is that of Run."""
        self._settings, self._progress, self._brought = settings, progress, brought
        self._at_work: dict[int, Abortion] = {}

    def copy(self, task: ImageTask, started: float, batched: bool) -> CopiedImage:
        """Copy one image, and report what was moved; raises as input, filters and writer do, after an abort.

        With `batched` the image may become visible with others, in `commit`, if its writer can do that. `started` is a
        time of time.monotonic().
        """
        output = task.output.taken()
        output.batched = output.commits and batched
        with (task.use.opened(partial(open_task, task), self._settings) as (source, image),
              self._prepared(task, output.place(source.reference))):
            with self._progress.image(task.report.name, size_to_move(image)) as advance:
                note_bases(source, output, task.written)
                for digest, location in self._brought.items():
                    output.note_base(digest, location)
                copy = copy_of(image, output, task.settings, task.recorded, advance, task.recipe, task.use.reads)
                task.report.received(self._run(copy, until_visible=output.batched))
        _report(task.report, source, image, output, copy.layers)
        return CopiedImage(task, output, copy.abortion, started, task.use.arrived)

    def commit(self, image: CopiedImage) -> Receipt | None:
        """Wait until an image is visible; return its receipt if it has changed. Raises after an abort."""
        try:
            with writing_to(image.output), self._media.kept(image.task.written, image.task.place):
                newer = image.output.commit()
        except BaseException as error:
            image.abortion.abort(error)
            image.task.report.receipt = None
            raise
        finally:
            self._at_work.pop(id(image.abortion), None)
        image.copied()
        return newer

    def abort(self, reason: BaseException) -> None:
        """Abort all copies in progress in parallel; what cannot be removed is added to the reason."""
        if at_work := list(self._at_work.values()):
            threads = DaemonThreads(len(at_work), 'abort')
            wait([threads.submit(partial(each.abort, reason)) for each in at_work])
            threads.close()

    @property
    def _media(self) -> Media:
        return self._settings.shared.get(Media, Media)

    @contextmanager
    def _prepared(self, task: ImageTask, place: Place) -> Iterator[None]:
        """Claim the place of an image that turned out to have another name than expected; create the directories above
        it, on the medium of the run."""
        if place != task.place:
            self._settings.shared.get(Claims, Claims).claim(place, task.source, task.destination, task.form)
        made = self._settings.shared.get(MadeDirectories, MadeDirectories)
        with self._media.kept(task.written, place), made.above(task.written, place):
            yield

    def _run(self, copy: ImageCopy | IndexCopy, until_visible: bool) -> Receipt:
        """Run a copy; its abortion stays registered, for the end of the run, as long as it may be needed."""
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


def open_task(task: ImageTask) -> Opened:
    """Open the image of a task, and apply its filters; raises as the input does."""
    source = task.images.open(task.reference)
    try:
        require_requested(source, task.reference, task.settings)
        return Opened(source, filtered(source, task.filters))
    except BaseException:
        source.close()
        raise


def _report(report: ImageReport, source: Content, image: Content, output: ImageOutput, layers: Sequence[PlacedLayer],
            ) -> None:
    """Report notes, platforms and sizes of an image that is copied."""
    report.settle_seconds = output.settle_seconds
    report.notes = [*report.notes, *selection_note(source), *image.notes, *layer_notes(source),
                    *resumed_notes(layers), *(() if output.batched else output.notes)]
    report.platforms = platforms_of(source)
    report.layers, report.size = len(layers), sum(layer.size for layer in layers)
    report.moved = sum(size for _, size in {(layer.digest, layer.moved) for layer in layers
                                            if layer.evidence is Evidence.STREAMED})
    report.reused = reused_bytes(layers)
