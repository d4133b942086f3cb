"""Images of a run that become visible at their destination together, when the last of them has ended."""
import threading
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from typing import Generic, NamedTuple, TypeVar

from occystrap_core.api.image_output import ImageOutput
from occystrap_core.errors import OccystrapError
from occystrap_core.pipeline.abortion import Abortion, writing_to
from occystrap_core.tasks.image_task import ImageTask

T = TypeVar('T')


class CopiedImage(NamedTuple):
    """An image that is copied but not yet visible; `copied` tells its filters when it has arrived."""

    task: ImageTask
    output: ImageOutput
    abortion: Abortion
    started: float
    copied: Callable[[], object]


class _Group(Generic[T]):
    """The tasks that write one file; `left` is the number that have not ended."""

    def __init__(self) -> None:
        self.tasks: list[ImageTask] = []
        self.left = 0
        self.copied: list[CopiedImage] = []
        self.there: dict[int, T] | None = None
        self.lock = threading.Lock()


class JointImages(Generic[T]):
    """The images of a run whose output has the same `together` as another's; used by several threads."""

    def __init__(self, tasks: Sequence[ImageTask]) -> None:
        groups: dict[Hashable, _Group[T]] = {}
        for task in tasks:
            groups.setdefault(task.output.made().together, _Group()).tasks.append(task)
        groups.pop(None, None)
        self._groups = [group for group in groups.values() if len(group.tasks) > 1]
        self._of = {id(task.report): group for group in self._groups for task in group.tasks}
        for group in self._groups:
            group.left = len(group.tasks)
            for task in group.tasks:
                task.output.made().deferred = True

    def has(self, task: ImageTask) -> bool:
        """Return whether an image becomes visible with others."""
        return id(task.report) in self._of

    def add(self, image: CopiedImage) -> None:
        """Record an image that is copied."""
        group = self._of[id(image.task.report)]
        with group.lock:
            group.copied.append(image)

    def ended(self, task: ImageTask, cancelled: bool) -> Sequence[CopiedImage]:
        """Record that a task has ended, in whatever way; after the last of its group, return the copied images in
        order.

        If the run is `cancelled`, they are left to `abort`.
        """
        group = self._of.get(id(task.report))
        if group is None:
            return ()
        with group.lock:
            group.left -= 1
            if group.left or cancelled:
                return ()
            order = {id(task.report): place for place, task in enumerate(group.tasks)}
            copied, group.copied = sorted(group.copied, key=lambda each: order[id(each.task.report)]), []
            return copied

    def if_all(self, task: ImageTask, find: Callable[[ImageTask], T | None]) -> T | None:
        """Return what `find` returns for a task, or None if it returns None for any task of the group.

        The group is replaced at its destination as a whole: if one image must be copied, all must. That is also so if
        `find` fails for one image; the failure is then reported when that image is copied.
        """
        group = self._of.get(id(task.report))
        if group is None:
            return find(task)
        with group.lock:
            if group.there is None:
                group.there = {}
                with suppress(OccystrapError):
                    found = [(id(each.report), find(each)) for each in group.tasks]
                    if all(each is not None for _, each in found):
                        group.there = {key: each for key, each in found if each is not None}
            return group.there.get(id(task.report))

    def abort(self, reason: BaseException) -> None:
        """Abort the outputs of images that were copied and will not be published."""
        for group in self._groups:
            give_up(group.copied, reason)


def publish(images: Sequence[CopiedImage]) -> None:
    """Make images visible together; after an error all of them are aborted, and it is raised."""
    output = images[0].output
    try:
        with writing_to(output):
            output.publish([each.output for each in images])
    except BaseException as error:
        give_up(images, error)
        raise


def give_up(images: Sequence[CopiedImage], reason: BaseException) -> None:
    """Abort the outputs of these images."""
    for each in images:
        each.abortion.abort(reason)
