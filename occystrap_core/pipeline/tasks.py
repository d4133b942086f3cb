"""What a run has to do: one task an image, found by opening the source, or every source that a list names."""
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Self

from occystrap_core.errors import OccystrapError, UsageError
from occystrap_core.image_filter import ImageFilter
from occystrap_core.image_input import ImageInput
from occystrap_core.image_list import ListedImage
from occystrap_core.oci.reference import Reference
from occystrap_core.opening import (
    destination_location, open_filters, open_output, open_source, source_location,
)
from occystrap_core.pipeline.destinations import filled_in, require_room
from occystrap_core.pipeline.report import ImageReport
from occystrap_core.pipeline.same_place import Claims, refuse_same_place
from occystrap_core.place import Place
from occystrap_core.plugins import Plugins
from occystrap_core.settings import Settings
from occystrap_core.uri import Location
from occystrap_core.values import value
from occystrap_core.version import __version__


@value
class ImageTask:
    """One image to copy: where from, where to (as written, and filled in), how, and what is to be reported of it."""

    images: ImageInput
    reference: Reference
    source: str
    written: Location
    destination: Location
    filters: Sequence[ImageFilter]
    recipe: str | None
    settings: Settings
    report: ImageReport
    place: Place = Place()


@value
class _Order:
    """What to do with all images of one source."""

    images: ImageInput
    destination: Location
    filters: Sequence[ImageFilter]
    recipe: str | None
    settings: Settings
    asked: Sequence[str]
    """What else than the source decides on what is copied, as on the command line."""


class TaskList:
    """The tasks of a run, all known before the first begins. Close it when the run is over."""

    def __init__(self, plugins: Plugins, settings: Settings) -> None:
        self._plugins, self._settings = plugins, settings
        self._closing = ExitStack()
        self.tasks: list[ImageTask] = []
        self.failed: list[ImageReport] = []
        """Sources of a list that could not tell their images."""

    def expand(self, source: str, destination: str | None, filters: Sequence[str]) -> None:
        """Find all images that `source` names. Raises UsageError for what can never work, before an image is read."""
        orders = list(self._orders(ListedImage(source, destination, None, filters)))
        for order in orders:
            self._find(order, only=len(orders) == 1)
        self.tasks = [self._placed(task) for task in self.tasks]
        require_room(self._plugins, [(task.written, task.destination) for task in self.tasks])
        self.tasks = list(self._once_each(self.tasks))

    def _placed(self, task: ImageTask) -> ImageTask:
        """Return the task with the place that its image takes; raises UsageError if that is where it lies."""
        place = open_output(self._plugins, task.destination, task.settings).place(task.reference)
        images = task.images
        refuse_same_place(images.location_of(task.reference), task.destination, images.place(task.reference), place)
        return replace(task, place=place)

    def _once_each(self, tasks: Sequence[ImageTask]) -> Iterator[ImageTask]:
        """Yield the tasks, one that is listed twice once; raises UsageError for two images that want one place."""
        claims = self._settings.shared.get(Claims, Claims)
        first: dict[tuple[Place, str], ImageTask] = {}
        for task in tasks:
            if claims.claim(task.place, task.source, task.destination):
                first[task.place, task.source] = task
                yield task
            elif kept := first.get((task.place, task.source)):
                kept.report.notes = [f'{task.source} is listed more than once, and copied once']

    def _orders(self, entry: ListedImage, listed: bool = False) -> Iterator[_Order]:
        """Yield what is to be done for one entry; a list's entries take its place."""
        settings = self._settings.choosing(entry.platform) if entry.platform else self._settings
        opened = open_source(self._plugins, source_location(self._plugins, entry.source), settings)
        if isinstance(opened, ImageInput):
            self._closing.callback(opened.close)
            yield self._order(opened, entry, settings)
        elif listed:
            raise UsageError(f'{opened.location}: a list cannot name another list')
        else:
            for each in opened.entries():
                inherited = entry.filters if each.filters is None else each.filters
                inner = replace(each, destination=each.destination or entry.destination, filters=inherited)
                with _told_where(each):
                    yield from self._orders(inner, listed=True)

    def _order(self, opened: ImageInput, entry: ListedImage, settings: Settings) -> _Order:
        if entry.destination is None:
            raise UsageError(f'where should {opened.location} go? DEST is missing')
        destination = destination_location(self._plugins, entry.destination)
        filters = open_filters(self._plugins, entry.filters or (), settings)
        recipe = ' '.join([__version__, *(entry.filters or ())]) if all(each.repeatable for each in filters) else None
        chosen = settings.platforms or settings.platform
        asked = [f'--platform={chosen}'] if chosen else []
        asked += [f'--filter={text}' for text in entry.filters or ()]
        if option := opened.location.options.get('platform'):  # which comes before --platform
            settings = settings.choosing(option)
        return _Order(opened, destination, filters, recipe, settings, asked)

    def _find(self, order: _Order, only: bool) -> None:
        location = order.images.location
        try:
            references = list(order.images.references())
        except OccystrapError as error:
            if only or isinstance(error, UsageError):
                raise
            self.failed.append(ImageReport(str(location), str(order.destination), failure=str(error)))
            return
        for reference in references:
            destination = filled_in(order.destination, reference)
            report = ImageReport(str(reference), str(destination))
            alone = order.images.location_of(reference)
            which = [str(reference)] if len(references) > 1 and alone == location else []
            source = ' '.join([str(alone), *which, *order.asked])
            self.tasks.append(ImageTask(order.images, reference, source, order.destination, destination,
                                        order.filters, order.recipe, order.settings, report))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._closing.close()


@contextmanager
def _told_where(entry: ListedImage) -> Iterator[None]:
    """Put before a UsageError where in a list the entry stands."""
    try:
        yield
    except UsageError as error:
        raise UsageError(f'{entry.where}: {error}' if entry.where else str(error)) from None
