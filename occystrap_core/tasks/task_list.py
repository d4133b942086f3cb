"""The tasks of a run: one for each image and destination, found by opening and listing the sources."""
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import groupby, islice
from typing import TYPE_CHECKING, Self

from occystrap_core.api.image_input import ImageInput
from occystrap_core.api.image_list import ListedImage
from occystrap_core.api.schemes import WriterScheme
from occystrap_core.api.selection_options import without_selection
from occystrap_core.api.uri import Location, redact
from occystrap_core.destinations.bringers import PrunedSource, source_name
from occystrap_core.destinations.destination_fields import Untagged
from occystrap_core.destinations.side_files import SideFiles
from occystrap_core.errors import ImageNotFound, OccystrapError, UsageError
from occystrap_core.oci.patterns import has_glob, reference_key
from occystrap_core.oci.reference import Reference
from occystrap_core.plugins.manager import Plugins
from occystrap_core.plugins.resolver import open_output, require_removable
from occystrap_core.report.image_report import ImageReport
from occystrap_core.settings import Settings
from occystrap_core.sources.selection import select, stream_selected
from occystrap_core.tasks.image_task import ImageTask, TaskOutput
from occystrap_core.tasks.source_orders import Destinations, Order, Orders
from occystrap_core.tasks.source_use import SourceUse
from occystrap_core.tasks.task_places import TaskPlaces
from occystrap_core.terminal_text import counted

if TYPE_CHECKING:
    from occystrap_core.tasks.open_sources import OpenSources


WINDOW = 2_000
"""Images that are found before the first one starts; further images are found while these are copied."""
_PATIENCE = 5.0
"""Seconds after which the run starts with the images found so far."""


_PART = 1000
"""Tasks of a source that are yielded together."""


class _SourceTasks:
    """Makes tasks from what sources list."""

    def __init__(self, plugins: Plugins, notes: list[str]) -> None:
        """`notes` collects lines for the user about what is left out."""
        self._plugins, self._notes = plugins, notes
        self.failed: list[ImageReport] = []
        """Reports on images that no destination can take."""

    def of(self, orders: Sequence[Order], streamed: bool, listed: list[Reference]) -> Iterator[Sequence[ImageTask]]:
        """Yield the tasks of one input for all its destinations, in parts if it is `streamed`.

        `listed` collects the images, if the source is pruned. Raises as `select` does.
        """
        prunes = _prunes(orders[0].location)
        try:
            for part in self._parts(orders[0].images, orders[0].location, streamed):
                listed += part if prunes else ()
                yield from self._tasks_of(orders, part)
        except ImageNotFound as error:
            if not (error.nothing_matches and orders[0].location.options.get('prune') == 'empty'):
                raise

    def _parts(self, images: ImageInput, location: Location, streamed: bool) -> Iterator[Sequence[Reference]]:
        if streamed:
            yield from stream_selected(images, location, self._note)
            return
        found = select(images, location)
        for note in found.notes:
            self._note(note)
        yield found.references

    def _note(self, text: str) -> None:
        if text not in self._notes:
            self._notes.append(text)

    def _tasks_of(self, orders: Sequence[Order], references: Sequence[Reference]) -> Iterator[Sequence[ImageTask]]:
        """Yield the tasks of some images of a source; tasks of one image for several destinations come mostly together.
        """
        taken = [(each, Untagged(self._plugins.find(WriterScheme, each.destination.scheme), each.destination,
                                 references)) for each in orders]
        placed = [(order, untagged.places(references)) for order, untagged in taken]
        count = len(references)
        while found := [self._task(order, *each, count) for order, rest in placed for each in islice(rest, _PART)]:
            yield found
        for order, untagged in taken:
            if untagged.failure:
                what = f'{order.images.location}: {counted(untagged.count, "image")} without a tag'
                self.failed.append(ImageReport(what, str(order.destination), failure=untagged.failure,
                                               one_of_several=order.several))

    def _task(self, order: Order, reference: Reference, written: Location, destination: Location, count: int,
              ) -> ImageTask:
        """Return the task for one of `count` images of a source."""
        location = order.images.location
        report = ImageReport(str(reference), str(destination), one_of_several=order.several)
        alone = without_selection(order.images.location_of(reference))
        which = [str(reference)] if count > 1 and alone == without_selection(location) else []
        source = ' '.join([str(alone), *which, *order.requested])
        output = TaskOutput(partial(open_output, self._plugins, destination, order.settings))
        chosen = count == 1 and not has_glob(location.path)
        return ImageTask(order.images, reference, source, written, destination, order.filters, order.recipe,
                         order.settings, report, output, SourceUse(), chosen, order.entry)


class TaskList:
    """The tasks of a run: all of them, or the first of many. Close it after the run."""

    def __init__(self, plugins: Plugins, settings: Settings) -> None:
        self._plugins, self._settings = plugins, settings
        self._closing = ExitStack()
        self._orders = Orders(plugins, settings, self._closing)
        self._found = _SourceTasks(plugins, self._orders.notes)
        self._goes: dict[str, Location] = {}
        """The destinations of a list that is pruned."""
        self._has_begun = False
        self.sources: OpenSources | None = None
        """Closes the inputs of sources that are opened later."""
        self.coming: Iterator[Sequence[ImageTask]] = iter(())
        """The tasks that `expand` has not found yet."""
        self.tasks: list[ImageTask] = []
        self.is_whole = True
        """Whether `tasks` are all tasks of the run."""
        self.failed = self._found.failed
        """Sources of a list that could not list their images."""
        self.notes = self._orders.notes
        """Lines for the user about what is left out of sources of many images."""
        self.pruned: list[PrunedSource] = []

    def expand(self, source: str, destination: Destinations, filters: Sequence[str],
               files: SideFiles | None = None, most: int | None = None) -> None:
        """Find all images that `source` names. Raises UsageError for impossible requests, before an image is read.

        `files` are the other files that the run writes; those of filters are added. With `most`, the search ends after
        this many images, or after some seconds if there are at least two; LaterTasks finds the others.
        """
        destinations = (destination,) if isinstance(destination, str) else tuple(destination or ())
        self.coming = self._parts_of(ListedImage(source, destinations, None, filters), most)
        until = time.monotonic() + _PATIENCE
        for tasks in self.coming:
            self.tasks += tasks
            if most and len(self.tasks) > 1 and (len(self.tasks) >= most or time.monotonic() > until):
                self.is_whole = False
                break
        listed = self._orders.list_location
        if listed and _prunes(listed):
            self._prune(listed, listed, [*self._goes.values()], [task.reference for task in self.tasks], True)
        self.places = TaskPlaces(self._plugins, self._settings, files or SideFiles(), self._orders.lists)
        self.tasks = self.places.checked(_in_order(self.tasks) if self.is_whole else self.tasks)

    def begin(self) -> None:
        """From now on treat mistakes as failures, since images are being copied."""
        self._has_begun = True

    def _parts_of(self, entry: ListedImage, most: int | None) -> Iterator[Sequence[ImageTask]]:
        """Yield the tasks of an entry of the command line in parts; all sources, or the first `most`, are opened first.
        """
        groups = self._opened(entry, most)
        first = list(islice(groups, most))
        for _, closing in first:
            self._closing.enter_context(closing)
        for orders, _ in first:
            yield from self._of_source(orders, len(first) == 1, bool(most))
        for orders, closing in groups:
            assert self.sources
            yield from self.sources.of(self._of_source(orders, False, True), closing)

    def _opened(self, entry: ListedImage, most: int | None) -> Iterator[tuple[Sequence[Order], ExitStack]]:
        if not most:
            orders = groupby(self._orders.of(entry), lambda order: order.entry)
            return ((list(each), ExitStack()) for _, each in orders)
        return self._orders.one_by_one(entry, self._mistaken, most)

    def _mistaken(self, entry: ListedImage, error: UsageError) -> None:
        if not self._has_begun:
            raise error
        goes = ' '.join(map(redact, entry.destinations))
        self.failed.append(ImageReport(redact(entry.source), goes, failure=str(error)))

    def _of_source(self, orders: Sequence[Order], only: bool, streamed: bool) -> Iterator[Sequence[ImageTask]]:
        """Yield the tasks of one source; each of its inputs is listed once for all its destinations."""
        listed = self._orders.list_location
        if listed and _prunes(listed):
            self._goes.update((str(each.destination), each.destination) for each in orders)
        for _, same in groupby(orders, lambda order: id(order.images)):
            found, there = list(same), list[Reference]()
            try:
                yield from self._found.of(found, streamed, there)
            except OccystrapError as error:
                for each in found:
                    self._unlisted(each, error, only)
                continue
            for each in found if _prunes(found[0].location) else ():
                self._prune(each.location, each.images.location, [each.destination], there)
                self.pruned[-1] = self.pruned[-1]._replace(images=each.images, written=each.location)

    def _unlisted(self, order: Order, error: OccystrapError, only: bool) -> None:
        """Record that a source cannot list its images; raises the error of the only source, and errors of impossible
        requests."""
        if not self._has_begun and (only or isinstance(error, UsageError)):
            raise error
        self.failed.append(ImageReport(str(order.images.location), str(order.destination), failure=str(error),
                                       one_of_several=order.several))

    def _prune(self, written: Location, lists: Location, destinations: Sequence[Location],
               references: Sequence[Reference], is_list: bool = False) -> None:
        """Record a source with prune=true; raises UsageError if its destination removes no images."""
        for each in destinations:
            require_removable(self._plugins, each)
        self.pruned.append(PrunedSource(source_name(self._plugins, lists), destinations, written.options.get('keep'),
                                        references, is_list))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self.sources:
            self.sources.close()
        self._closing.close()


def _in_order(tasks: Sequence[ImageTask]) -> list[ImageTask]:
    """Return the tasks by entry, then by destination; names that a service lists in any order are in natural order.
    """
    def key(task: ImageTask) -> tuple[object, ...]:
        in_any_order = type(task.images).stream is not ImageInput.stream
        return task.entry, task.lane, *(reference_key(task.reference) if in_any_order else ())
    return sorted(tasks, key=key)


def _prunes(source: Location) -> bool:
    """Return whether a source has prune=true."""
    return source.options.get('prune') in ('true', 'empty')
