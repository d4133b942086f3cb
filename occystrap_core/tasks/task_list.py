"""The tasks of a run: one for each image, found by opening the source, each with its own destination."""
from collections.abc import Collection, Hashable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import chain
from typing import NamedTuple, Self

from occystrap_core.api.image_input import ImageInput
from occystrap_core.api.image_list import ListedImage
from occystrap_core.api.place import Place
from occystrap_core.api.schemes import WriterScheme
from occystrap_core.api.selection_options import without_selection
from occystrap_core.api.uri import Location
from occystrap_core.destinations.bringers import source_name
from occystrap_core.destinations.claims import Claims, refuse_same_place
from occystrap_core.destinations.destination_fields import Untagged, require_room
from occystrap_core.destinations.side_files import KeptPath, SideFiles, kept_paths
from occystrap_core.errors import ImageNotFound, OccystrapError, UsageError
from occystrap_core.oci.patterns import Kept, first_names, has_glob
from occystrap_core.oci.reference import Reference
from occystrap_core.plugins.manager import Plugins
from occystrap_core.plugins.resolver import open_output, require_removable
from occystrap_core.report.image_report import ImageReport
from occystrap_core.settings import Settings
from occystrap_core.sources.selection import Selected, select
from occystrap_core.tasks.image_task import ImageTask, TaskOutput, places_of
from occystrap_core.tasks.nested_places import refuse_nested
from occystrap_core.tasks.source_orders import Destinations, Order, Orders
from occystrap_core.tasks.source_use import SourceUse
from occystrap_core.terminal_text import counted


class PrunedSource(NamedTuple):
    """A source with prune=true: what it no longer has is to go from its destinations."""

    name: str
    """As receipts have it (Bringer)."""
    destinations: Sequence[Location]
    """As written, with fields."""
    keep: Kept | None
    references: Sequence[Reference] = ()
    """The images that it has now."""
    is_list: bool = False
    images: ImageInput | None = None
    """The input, and how it is written, if it is no list."""
    written: Location | None = None

    def keeping(self, *names: str) -> set[str]:
        """Return the patterns of keep= that match one of these names of an image."""
        return self.keep.matching(names) if self.keep else set()

    def keeps_nothing(self, matched: Collection[str]) -> list[str]:
        """Return a line for each pattern of keep= that is not among those that `matched` an image, and an empty keep=.
        """
        if self.keep and not self.keep.patterns:
            return ['keep= is empty, and keeps nothing']
        return [f'keep={each} matches no image here or at the source: write team/app:v1, HOST/team/app:v1 or patterns '
                'of these' for each in (self.keep.patterns if self.keep else ()) if each not in matched]


class TaskList:
    """The tasks of a run, all known before the first begins. Close it after the run."""

    def __init__(self, plugins: Plugins, settings: Settings) -> None:
        self._plugins, self._settings = plugins, settings
        self._closing = ExitStack()
        self._orders = Orders(plugins, settings, self._closing)
        self._found: dict[int, Selected | OccystrapError] = {}
        self.tasks: list[ImageTask] = []
        self.failed: list[ImageReport] = []
        """Sources of a list that could not list their images."""
        self.notes = self._orders.notes
        """Lines for the user about what is left out of sources of many images."""
        self.pruned: list[PrunedSource] = []

    def expand(self, source: str, destination: Destinations, filters: Sequence[str],
               files: SideFiles | None = None) -> None:
        """Find all images that `source` names. Raises UsageError for impossible requests, before an image is read.

        `files` are those that the run writes besides; the files of filters are added.
        """
        destinations = (destination,) if isinstance(destination, str) else tuple(destination or ())
        orders = list(self._orders.of(ListedImage(source, destinations, None, filters)))
        for order in orders:
            self._find(order, only=self._orders.entries == 1)
        listed = self._orders.list_location
        if listed and _prunes(listed):
            goes = list({str(order.destination): order.destination for order in orders}.values())
            self._prune(listed, listed, goes, [task.reference for task in self.tasks], True)
        self.tasks = list(_distinct(self._placed(task) for task in self.tasks))
        self._refuse_files(files or SideFiles())
        self._require_room()
        self.tasks = list(self._once_each(self.tasks))
        refuse_nested(self.tasks, self._plugins)

    def _prune(self, written: Location, lists: Location, destinations: Sequence[Location],
               references: Sequence[Reference], is_list: bool = False) -> None:
        """Record a source with prune=true; raises UsageError if its destination removes no images."""
        for each in destinations:
            require_removable(self._plugins, each)
        self.pruned.append(PrunedSource(source_name(self._plugins, lists), destinations, written.options.get('keep'),
                                        references, is_list))

    def _require_room(self) -> None:
        """Raise as `require_room` does, with the images of a source that one can be chosen of."""
        try:
            require_room(self._plugins, [(task.source, task.written, task.destination) for task in self.tasks])
        except UsageError as error:
            names = [str(task.reference) for task in self.tasks if 'image' in task.images.location.options]
            raise UsageError(f'{error}; or choose one image of the source with ?image=: {first_names(names)}'
                             if names else str(error)) from None

    def _placed(self, task: ImageTask) -> ImageTask:
        """Return the task with the place of its image; raises UsageError if the image is read from that place."""
        place = task.output.made().place(task.reference)
        images = task.images
        refuse_same_place(images.location_of(task.reference), task.destination, images.place(task.reference), place)
        scheme = self._plugins.find(WriterScheme, task.destination.scheme)
        return task._replace(place=place, form=scheme.form(task.destination))

    def _refuse_files(self, files: SideFiles) -> None:
        """Raise UsageError if a file that is written besides is an image, a list of images, in one, or a taken stdout.
        """
        for task in self.tasks:
            for each in task.filters:
                for path in each.files:
                    files.add('file=', path)
        if not files:
            return
        places = dict.fromkeys(chain.from_iterable(map(places_of, self.tasks)))
        files.refuse_places([*map(KeptPath, self._orders.lists), *kept_paths(self._plugins, places)])
        if taken := self._taken_stdout():
            files.refuse_stdout(taken)

    def _taken_stdout(self) -> str:
        """Return what goes to stdout, in words; an empty text if nothing does."""
        archives = [each.destination for each in self.tasks
                    if self._plugins.find(WriterScheme, each.destination.scheme).to_stdout(each.destination)]
        return str(archives[0]) if archives else 'the report in JSON' if self._settings.stdout_taken else ''

    def _once_each(self, tasks: Sequence[ImageTask]) -> Iterator[ImageTask]:
        """Yield the tasks, each only once.

        Raises UsageError for two images, or two forms of one, that would go to one place, and for one that would
        replace another's source.
        """
        claims = self._settings.shared.get(Claims, Claims)
        for task in tasks:
            location = task.images.location_of(task.reference)
            claims.reads(location, task.images.place(task.reference), task.source)
        first: dict[tuple[Place, str], ImageTask] = {}
        for task in tasks:
            if claims.claim(task.place, task.source, task.destination, task.form):
                first[task.place, task.source] = task
                yield task
            elif kept := first.get((task.place, task.source)):
                kept.report.notes = [f'{task.source} is listed more than once, and copied once']

    def _find(self, order: Order, only: bool) -> None:
        location = order.images.location
        try:
            references = self._selected(order).references
        except ImageNotFound as error:
            if not (error.nothing_matches and order.location.options.get('prune') == 'empty'):
                self._unlisted(order, error, only)
                return
            references = ()
        except OccystrapError as error:
            self._unlisted(order, error, only)
            return
        if _prunes(order.location):
            self._prune(order.location, location, [order.destination], references)
            self.pruned[-1] = self.pruned[-1]._replace(images=order.images, written=order.location)
        untagged = Untagged(self._plugins.find(WriterScheme, order.destination.scheme), order.destination, references)
        for reference, written, destination in untagged.places(references):
            report = ImageReport(str(reference), str(destination), one_of_several=order.several)
            alone = without_selection(order.images.location_of(reference))
            which = [str(reference)] if len(references) > 1 and alone == without_selection(location) else []
            source = ' '.join([str(alone), *which, *order.requested])
            output = TaskOutput(partial(open_output, self._plugins, destination, order.settings))
            chosen = len(references) == 1 and not has_glob(location.path)
            self.tasks.append(ImageTask(order.images, reference, source, written, destination,
                                        order.filters, order.recipe, order.settings, report, output, SourceUse(),
                                        chosen, order.entry))
        if untagged.failure:
            self.failed.append(ImageReport(f'{location}: {counted(untagged.count, "image")} without a tag',
                                           str(order.destination), failure=untagged.failure,
                                           one_of_several=order.several))

    def _unlisted(self, order: Order, error: OccystrapError, only: bool) -> None:
        """Record that a source cannot list its images; raises the error of the only one, and of impossible requests."""
        if only or isinstance(error, UsageError):
            raise error
        self.failed.append(ImageReport(str(order.images.location), str(order.destination), failure=str(error),
                                       one_of_several=order.several))

    def _selected(self, order: Order) -> Selected:
        """Return the images of an input, which is asked once for all destinations; raises as it does."""
        images = order.images
        if id(images) not in self._found:
            try:
                self._found[id(images)] = found = select(images, order.location)
                self.notes += [each for each in found.notes if each not in self.notes]
            except OccystrapError as error:
                self._found[id(images)] = error
        known = self._found[id(images)]
        if isinstance(known, OccystrapError):
            raise known
        return known

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._closing.close()


def _prunes(source: Location) -> bool:
    """Return whether a source has prune=true."""
    return source.options.get('prune') in ('true', 'empty')


def _distinct(tasks: Iterable[ImageTask]) -> Iterator[ImageTask]:
    """Yield the tasks; of several names of one image of a source, which go in one form to one place, the first."""
    seen: dict[Hashable, ImageTask] = {}
    for task in tasks:
        first = seen.setdefault((id(task.images), task.place, task.form, task.images.content_key(task.reference)), task)
        if first is task:
            yield task
        elif first.reference == task.reference:
            first.report.notes = [f'{task.destination} is named more than once, and written once']
