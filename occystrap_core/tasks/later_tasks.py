"""Tasks that are found while others are copied: for very many images, or sources that are slow to list."""
from collections.abc import Iterator, Sequence

from occystrap_core.errors import UsageError
from occystrap_core.plugins.manager import Plugins
from occystrap_core.report.image_report import ImageReport
from occystrap_core.settings import Settings
from occystrap_core.tasks.image_task import ImageTask
from occystrap_core.tasks.later_places import LaterPlaces
from occystrap_core.tasks.task_list import TaskList
from occystrap_core.tasks.task_places import distinct


class LaterTasks:
    """The tasks that TaskList left to be found; mistakes are now failures of single images."""

    def __init__(self, plugins: Plugins, settings: Settings, todo: TaskList) -> None:
        self._todo, self._places = todo, LaterPlaces(plugins, settings, todo.tasks)
        todo.begin()

    def parts(self) -> Iterator[tuple[Sequence[ImageTask], Sequence[ImageReport]]]:
        """Yield tasks as they are found, and reports on images that cannot become tasks."""
        for tasks in self._todo.coming:
            found = [each for each in distinct(self._placed(tasks)) if self._is_free(each)]
            failed = self._failed()
            self._drop(tasks, [*(each.report for each in found), *failed])
            yield found, failed
        yield [], self._failed()
        self._todo.notes += self._places.notes

    def _placed(self, tasks: Sequence[ImageTask]) -> Iterator[ImageTask]:
        for task in tasks:
            try:
                placed = self._todo.places.placed(task)
                self._todo.places.refuse_files([placed])
            except UsageError as error:
                self._refused(task, error)
            else:
                yield placed

    def _is_free(self, task: ImageTask) -> bool:
        try:
            return self._places.take(task)
        except UsageError as error:
            self._refused(task, error)
            return False

    def _refused(self, task: ImageTask, error: UsageError) -> None:
        task.report.failure = str(error)
        self._todo.failed.append(task.report)

    def _drop(self, tasks: Sequence[ImageTask], kept: Sequence[ImageReport]) -> None:
        """Release the sources of tasks that the run does not keep."""
        assert self._todo.sources
        known = set(map(id, kept))
        for task in tasks:
            if id(task.report) not in known:
                self._todo.sources.ended(task.report)

    def _failed(self) -> Sequence[ImageReport]:
        failed = [*self._todo.failed]
        self._todo.failed.clear()
        return failed
