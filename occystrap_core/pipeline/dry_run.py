"""What a run would do, without writing anything."""
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

from occystrap_core.api.image_output import ImageOutput
from occystrap_core.api.written_image import LayerForm
from occystrap_core.daemon_threads import DaemonThreads, completed
from occystrap_core.destinations.claims import Claims
from occystrap_core.destinations.made_directories import directories_to_make
from occystrap_core.destinations.side_files import SideFiles
from occystrap_core.errors import NoImage
from occystrap_core.image.image import Image, ImageIndex
from occystrap_core.layers.outgoing_layer import Outgoing
from occystrap_core.pipeline.abortion import writing_to
from occystrap_core.pipeline.content_fit import ArtifactRefused, filtered, require_room
from occystrap_core.plugins.manager import Plugins
from occystrap_core.report.image_report import failure_text, left_out_text
from occystrap_core.settings import Settings
from occystrap_core.sources.selection import print_notes
from occystrap_core.tasks.image_task import ImageTask
from occystrap_core.tasks.later_tasks import LaterTasks
from occystrap_core.tasks.open_sources import OpenSources
from occystrap_core.tasks.source_orders import Destinations
from occystrap_core.tasks.request_check import require_requested, selection_note
from occystrap_core.tasks.task_list import WINDOW, TaskList
from occystrap_core.terminal_text import counted, images_text, size_text

_AT_ONCE = 1000
"""Later images of a long run that are looked at together."""


@dataclass
class PlannedCopy:
    """The planned copy of one image: its layers, and those that the destination has; sizes in bytes at the source.

    `size` is None if it is unknown before reading, as for images of daemons.
    """

    source: str
    destination: str
    layers: int = 0
    size: int | None = None
    layers_there: int = 0
    size_there: int = 0
    failure: str = ''
    notes: list[str] = field(default_factory=list)
    unchanged: bool = False
    """Whether it would be left as it is."""
    left_out: bool = False
    """Whether it is an artifact that a pattern matches and the destination cannot hold; it is only counted then."""

    def line(self) -> str:
        """Return what would be done, as one line for the user."""
        if self.failure:
            return f'would fail: {self.source}: {self.failure}'
        if self.unchanged:
            return f'would skip {self.destination}: {self.source} is unchanged, verified'
        size = 'size unknown' if self.size is None else size_text(self.size)
        notes = ''.join(f'; {note}' for note in self.notes)
        there = f', {self.layers_there} ({size_text(self.size_there)}) already there' if self.layers_there else ''
        return f'would copy {self.source} to {self.destination}: {counted(self.layers, "layer")}, {size}{there}{notes}'

    def to_json(self) -> dict[str, Any]:
        """Return the same for programs."""
        return {name: value for name, value in asdict(self).items() if name != 'left_out'}


@dataclass
class PlannedTotals:
    """The totals of planned copies; sizes in bytes."""

    count: int = 0
    failed: int = 0
    layers: int = 0
    layers_there: int = 0
    size: int = 0
    """Most that has to be copied."""

    def counting(self, found: Iterable[PlannedCopy]) -> Iterator[PlannedCopy]:
        """Yield the planned copies, and count them."""
        for each in found:
            self.count += 1
            if each.failure:
                self.failed += 1
            else:
                self.layers += each.layers
                self.layers_there += each.layers_there
                self.size += (each.size or 0) - each.size_there
            yield each

    def text(self, pruned: str) -> str:
        """Return the totals in words, with those of pruned images before the failures."""
        failed = f', {self.failed} would FAIL' if self.failed else ''
        return (f'{images_text(self.count - self.failed, self.count)}, {counted(self.layers, "layer")}, '
                f'{self.layers_there} already there, at most {size_text(self.size)} to copy{pruned}{failed}')


def plan_copies(plugins: Plugins, settings: Settings, source: str, destination: Destinations,
                filters: Sequence[str], unchanged: Callable[[ImageTask], bool] = lambda task: False,
                prune: Callable[[TaskList], None] = lambda todo: None, files: SideFiles | None = None,
                most: int | None = WINDOW) -> Iterator[PlannedCopy]:
    """Yield what copying `source` to `destination` would do; raises UsageError for an impossible request.

    `unchanged` returns whether an image would be left as it is. `prune` is called with all tasks if all would succeed
    and a source is pruned. `files` are the other files that the run would write. Of more than `most` images, the first
    are yielded before all are known, and nothing is pruned.
    """
    with closing(settings.shared), TaskList(plugins, settings) as todo:
        todo.expand(source, destination, filters, files, most)
        is_whole, known = todo.is_whole, len(todo.notes)
        print_notes(todo.notes)
        inspector = _Inspector(plugins, settings, unchanged)
        with closing(inspector.threads):
            for tasks in [todo.tasks] if is_whole else _parts(plugins, settings, todo):
                yield from inspector.planned(tasks, todo)
        print_notes([left_out_text(inspector.left_out)] if inspector.left_out else [])
        print_notes(todo.notes[known:])
        if todo.pruned and is_whole and not inspector.failed:
            prune(todo)
        elif todo.pruned and not is_whole:
            print_notes(['what would be pruned is not shown, since it depends on all images: add --prune'])


def _parts(plugins: Plugins, settings: Settings, todo: TaskList) -> Iterator[Sequence[ImageTask]]:
    """Yield the tasks of a long run: those that are known, then others as they are found, some at a time."""
    todo.sources = OpenSources()
    later, first, todo.tasks = LaterTasks(plugins, settings, todo), todo.tasks, []
    yield first
    found = list[ImageTask]()
    for tasks, refused in later.parts():
        todo.failed += refused
        found += tasks
        if len(found) >= _AT_ONCE:
            yield found
            found = []
    yield found


class _Inspector:
    """Looks at images in parallel, and counts what is left out."""

    def __init__(self, plugins: Plugins, settings: Settings, unchanged: Callable[[ImageTask], bool]) -> None:
        self._plugins, self._check, self._unchanged = plugins, settings.cancellation.check, unchanged
        self.threads = DaemonThreads(settings.images, 'image')
        self.left_out = 0
        """The number of artifacts that are left out."""
        self.failed = False
        """Whether a copy would fail."""

    def planned(self, tasks: Sequence[ImageTask], todo: TaskList) -> Iterator[PlannedCopy]:
        """Yield the planned copies of these tasks, then the failures that `todo` has, and forget them."""
        found = [PlannedCopy(task.source, str(task.destination)) for task in tasks]
        futures = [self.threads.submit(partial(_look, self._plugins, task, foreseen, self._unchanged))
                   for task, foreseen in zip(tasks, found, strict=True)]
        for future in completed(futures, self._check):
            future.result()
        if todo.sources:
            for task in tasks:
                todo.sources.ended(task.report)
        self.left_out += sum(each.left_out for each in found)
        refused = [PlannedCopy(each.reference, each.destination, failure=each.failure) for each in todo.failed]
        todo.failed.clear()
        for planned in (*(each for each in found if not each.left_out), *refused):
            self.failed |= bool(planned.failure)
            yield planned


def _look(plugins: Plugins, task: ImageTask, foreseen: PlannedCopy,
          unchanged: Callable[[ImageTask], bool]) -> None:
    try:
        if unchanged(task):
            foreseen.unchanged = True
            return
        output = task.output.taken()
        with task.images.open(task.reference) as image:
            _require_possible(task, image, output)
            foreseen.notes += selection_note(image)
            foreseen.layers = len(image.layers if isinstance(image, ImageIndex) else image.diff_ids)
            if not image.sequential:
                foreseen.size = sum(layer.stored_size for layer in image.layers)
            lacking = 0
            for layer in image.layers if not task.filters else ():
                if _is_there(output, Outgoing(layer, output.layer_form, lambda count: None)):
                    foreseen.layers_there += 1
                    foreseen.size_there += layer.stored_size
                elif layer.base:
                    lacking += 1
            foreseen.notes += [f'{lacking} of them are left out of this delta, and not there'] if lacking else []
    except Exception as error:
        foreseen.left_out = isinstance(error, ArtifactRefused | NoImage) and not task.chosen
        foreseen.failure = failure_text(error, plugins)


def _require_possible(task: ImageTask, opened: Image | ImageIndex, output: ImageOutput) -> None:
    """Raise the errors that the run would raise before it moves bytes, in the same order."""
    require_requested(opened, task.reference, task.settings)
    place = output.place(opened.reference)
    if place != task.place:
        task.settings.shared.get(Claims, Claims).claim(place, task.source, task.destination)
    changed = filtered(opened, task.filters)
    require_room(changed, output)
    if not directories_to_make(task.written, place):
        with writing_to(output):
            output.require_possible(changed)


def _is_there(output: ImageOutput, outgoing: Outgoing) -> bool:
    known = outgoing.descriptor if output.layer_form is LayerForm.STORED else outgoing.diff_id
    return known is not None and output.has_layer(outgoing) is not None
