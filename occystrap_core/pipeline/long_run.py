"""A run of many images: later ones are found while the first are copied, and only failures are kept in memory."""
import threading
from collections.abc import Callable, Iterator, Sequence

from occystrap_core.api.schemes import WriterScheme
from occystrap_core.oci.reference import Reference
from occystrap_core.pipeline.same_source import AHEAD, sharing_sources
from occystrap_core.plugins.manager import Plugins
from occystrap_core.report.image_report import ImageReport
from occystrap_core.report.progress import Progress
from occystrap_core.report.run_report import RunReport
from occystrap_core.settings import Settings
from occystrap_core.tasks.image_task import ImageTask
from occystrap_core.tasks.later_tasks import LaterTasks
from occystrap_core.tasks.open_sources import OpenSources
from occystrap_core.tasks.source_use import RunAhead
from occystrap_core.tasks.task_list import TaskList
from occystrap_core.terminal import print_message

AT_ONCE = 1000
"""Images that are started before others have ended."""


class LongRun:
    """The tasks of a long run, and its report. Images that become visible together are known before the first of them
    starts."""

    def __init__(self, plugins: Plugins, settings: Settings, todo: TaskList, report: RunReport, progress: Progress,
                 keeps_images: bool) -> None:
        """`keeps_images`: the report lists images that succeeded, instead of only counting them."""
        self._plugins, self._settings, self._todo, self._progress = plugins, settings, todo, progress
        self._report, self._keeps_images = report, keeps_images
        self._first, todo.sources = todo.tasks, OpenSources()
        self._later = LaterTasks(plugins, settings, todo)
        self._ahead = RunAhead(AHEAD * settings.images)
        self._held: list[ImageTask] = []
        self._known, self._lock = 0, threading.Lock()
        report.images, report.sources = [], 0

    def tasks(self, failed: Callable[[ImageReport], None], joint: Callable[[Sequence[ImageTask]], None],
              stops: Callable[[], bool]) -> Iterator[ImageTask]:
        """Yield the tasks. `failed` is called for images that cannot be tasks, `joint` with those that become visible
        together.

        No more are looked for when `stops` returns true.
        """
        self._progress.begin([task.report for task in self._first])
        refused, self._todo.tasks = [*self._todo.failed], []
        self._todo.failed.clear()
        self._known += len(refused)
        for each in refused:
            failed(each)
        first, self._first = self._first, []
        yield from self._taken(first)
        for tasks, mistakes in self._later.parts():
            self._known += len(mistakes)
            for report in mistakes:
                failed(report)
            yield from self._taken(tasks)
            if stops():
                self._todo.notes.append('what else the source has was not looked for (--fail-fast)')
                break
        self._progress.expect(self._known, more=False)
        joint(self._held)
        yield from self._held

    def ended(self, report: ImageReport) -> None:
        """Record that an image has ended; it is kept only if it failed, or all are to be reported."""
        with self._lock:
            if self._keeps_images or report.left_out or not report.succeeded:
                self._report.images.append(report)
            else:
                self._report.others.add(report)
        for note in report.notes if not self._keeps_images and report.succeeded else ():
            print_message(f'note: {report.name}: {note}')
        assert self._todo.sources
        self._todo.sources.ended(report)

    def _taken(self, found: Sequence[ImageTask]) -> Iterator[ImageTask]:
        """Yield tasks with the sources that they share, except images whose destination makes several visible together.
        """
        self._known += len(found)
        self._progress.expect(self._known, more=True)
        self._report.destinations = max(self._report.destinations, 1 + max((each.lane for each in found), default=0))
        families: dict[tuple[int, Reference], list[ImageTask]] = {}
        for task in sharing_sources(found, self._settings, self._ahead):
            families.setdefault((task.entry, task.reference), []).append(task)
        assert self._report.sources is not None
        self._report.sources += len(families)
        for tasks in families.values():
            if any(map(self._is_joint, tasks)):
                self._held += tasks
            else:
                yield from tasks

    def _is_joint(self, task: ImageTask) -> bool:
        scheme = self._plugins.find(WriterScheme, task.destination.scheme)
        return task.output.made().together is not None or scheme.to_stdout(task.destination)
