"""The orders of a bulk run: one for each image of a source and each destination, made when it is needed."""
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from functools import lru_cache
from itertools import groupby

from occystrap_core.api.image_filter import ImageFilter
from occystrap_core.api.image_input import ImageInput
from occystrap_core.api.image_list import ListedImage
from occystrap_core.api.schemes import WriterScheme
from occystrap_core.api.selection_options import without_selection
from occystrap_core.api.uri import Location, redact
from occystrap_core.bulk.jobs import Job
from occystrap_core.destinations.claims import refuse_same_place
from occystrap_core.destinations.destination_fields import Untagged, require_room
from occystrap_core.destinations.media import Media
from occystrap_core.destinations.side_files import SideFiles, kept_paths
from occystrap_core.errors import OccystrapError, OutputError, UsageError
from occystrap_core.oci.reference import Reference
from occystrap_core.orders import ImageDone, ImageOrder, require_no_login
from occystrap_core.plugins.manager import Plugins
from occystrap_core.plugins.resolver import open_output
from occystrap_core.report.first_lines import FirstLines
from occystrap_core.report.image_report import ImageReport
from occystrap_core.settings import Settings
from occystrap_core.sources.selection import stream_selected
from occystrap_core.tasks.image_task import ImageTask, TaskOutput, paths_of
from occystrap_core.tasks.later_places import LaterPlaces
from occystrap_core.tasks.source_orders import Order, Orders
from occystrap_core.tasks.source_use import SourceUse
from occystrap_core.terminal_text import counted

_REMEMBERED = 1000
"""Number of image paths that are remembered to be separate from the files of the run; most images have the same path.
"""


class ImageOrders:
    """Makes the orders of a run. `failed` gets the results for images and sources that cannot become orders."""

    def __init__(self, plugins: Plugins, settings: Settings, failed: Callable[[ImageDone], None],
                 files: SideFiles | None = None) -> None:
        """`files` are the other files that the run writes, in which no image may be."""
        self._plugins, self._settings, self._report = plugins, settings, failed
        self._files, self._spare = files, lru_cache(_REMEMBERED)(self._refuse_files)
        self._places = LaterPlaces(plugins, settings, ())
        self._paths = set[int]()
        """Paths, as hashes, of destinations whose images become visible together."""
        self._given = self._failures = self._mistakes = 0
        self._left_out = FirstLines()

    @property
    def notes(self) -> list[str]:
        """Lines for the user about what is left out: the first few, and the number of others."""
        return [*self._left_out.lines('note of a source', 'notes of sources', 'left out here'),
                *self._places.notes]

    def of(self, source: str, destinations: Sequence[str], filters: Sequence[str],
           earlier: Callable[[Location], str]) -> Iterator[Job]:
        """Yield the jobs for all images; `earlier` returns a receipt for the image at a destination.

        Raises UsageError for impossible requests; once images have been handed out, these are failures instead.
        """
        with ExitStack() as closing:
            orders = Orders(self._plugins, self._settings, closing)
            listed = ListedImage(source, tuple(destinations), None, filters)
            for found, opened in orders.one_by_one(listed, self._mistaken):
                with opened:
                    if orders.list_location:
                        self._spare(orders.list_location.scheme, orders.list_location.path)
                    possible = [each for each in found if self._is_possible(each, orders)]
                    for _, same in groupby(possible, lambda each: id(each.images)):
                        yield from self._of_source(list(same), orders, earlier)
        if not self._given and not self._mistakes:
            raise UsageError(f'{redact(source)} lists no images: write one reference or URI per line')

    def _mistaken(self, entry: ListedImage, error: UsageError) -> None:
        self._fail_or_raise(redact(entry.source), ' '.join(map(redact, entry.destinations)), error)

    def _fail_or_raise(self, source: str, destination: str, error: UsageError) -> None:
        """Report a mistake in a list, or two images for one place, as a failure.

        Raises it instead if hardly anything was handed out, so that nothing is copied.
        """
        if self._given + self._failures < 2:
            raise error
        self._mistakes += 1
        self._failed(ImageDone(ImageOrder(source, destination), error=error))

    def _failed(self, done: ImageDone) -> None:
        self._failures += 1
        self._report(done)

    def _is_possible(self, order: Order, orders: Orders) -> bool:
        """Return whether workers can execute an order; if not, report it if it is one of a list, otherwise raise
        UsageError."""
        try:
            self._require_possible(order)
        except UsageError as error:
            if orders.list_location is None:
                raise
            self._fail_or_raise(str(order.location), str(order.destination), error)
            return False
        return True

    def _of_source(self, goes: list[Order], orders: Orders, earlier: Callable[[Location], str]) -> Iterator[Job]:
        """Yield the orders of one source, which is listed once for all its destinations."""
        for part in self._listed(goes, orders):
            for each in [*goes]:
                try:
                    yield from self._of_part(each, part, earlier)
                except UsageError as error:
                    if orders.list_location is None:
                        raise
                    goes.remove(each)
                    self._fail_or_raise(str(each.location), str(each.destination), error)

    def _listed(self, goes: Sequence[Order], orders: Orders) -> Iterator[Sequence[Reference]]:
        """Yield the images of a source, in parts.

        If it cannot be listed, that is raised for the only source, unless some of its images are already under way;
        otherwise it is reported as a failure.
        """
        images, location = goes[0].images, goes[0].location
        given = self._given
        try:
            yield from stream_selected(images, location, self._left_out.add)
        except OccystrapError as error:
            is_only = orders.list_location is None and self._given == given
            if is_only or isinstance(error, UsageError) and orders.list_location is None:
                raise
            for each in goes:
                self._failed(ImageDone(ImageOrder(str(location), str(each.destination)), error=error))

    def _of_part(self, order: Order, references: Sequence[Reference], earlier: Callable[[Location], str],
                 ) -> Iterator[Job]:
        untagged = Untagged(self._plugins.find(WriterScheme, order.destination.scheme), order.destination, references)
        for reference, written, destination in untagged.places(references):
            made = ImageOrder(_named_alone(order.images, reference), str(written),
                              tuple(order.written_filters), order.platform or None, order.settings.bringer)
            try:
                is_free = self._is_free(order, reference, destination, written, made)
            except UsageError as error:
                self._fail_or_raise(made.source, str(destination), error)
                continue
            except OutputError as error:
                self._failed(ImageDone(made, error=error))
                continue
            if is_free:
                self._given += 1
                yield Job(made, earlier(destination), str(destination))
        if untagged.failure:
            what = f'{order.location}: {counted(untagged.count, "image")} without a tag'
            self._failed(ImageDone(ImageOrder(what, str(order.destination)), error=UsageError(untagged.failure)))

    def _is_free(self, order: Order, reference: Reference, goes: Location, written: Location, made: ImageOrder) -> bool:
        """Return whether a place is still free; False if the same image already goes there.

        Raises UsageError for another image, OutputError if the medium was exchanged.
        """
        output = open_output(self._plugins, goes, order.settings)
        place, lies = output.place(reference), order.images.place(reference)
        refuse_same_place(order.images.location_of(reference), goes, lies, place)
        source = ' '.join([made.source, *order.requested])
        task = ImageTask(order.images, reference, source, written, goes, order.filters, order.recipe, order.settings,
                         ImageReport(made.source, str(goes)), TaskOutput(lambda: output), SourceUse(), False,
                         order.entry, place, self._plugins.find(WriterScheme, goes.scheme).form(goes))
        if not self._places.take(task):
            return False
        for each in paths_of(order.images, reference, goes, place) if self._files else ():
            self._spare(*each)
        self._settings.shared.get(Media, Media).require(written, place)
        if output.together is not None:
            self._require_first(goes, written)
        return True

    def _refuse_files(self, scheme: str, path: str) -> None:
        """Raise UsageError if another file of the run is, or is within, the path of an image or a list."""
        if self._files:
            self._files.refuse_places(kept_paths(self._plugins, [(scheme, path)]))

    def _require_first(self, goes: Location, written: Location) -> None:
        """Raise UsageError if several images go to a destination whose images become visible together."""
        path = hash((goes.scheme, goes.path))
        if path in self._paths:
            require_room(self._plugins, [(str(number), written, goes) for number in range(2)])
            raise UsageError(f'{goes} is published only when all its images are complete, which workers cannot do: '
                             'leave out --executor')
        self._paths.add(path)

    def _require_possible(self, order: Order) -> None:
        """Raise UsageError for what only one process can do, or what must not be sent to workers."""
        require_no_login(self._plugins, order.location, order.destination)
        self._require_no_stdout(order.destination)
        for each in order.filters:
            self._require_no_file(each)

    def _require_no_stdout(self, goes: Location) -> None:
        if self._plugins.find(WriterScheme, goes.scheme).to_stdout(goes):
            raise UsageError(f'{goes} is the stdout of one process: leave out --executor')

    def _require_no_file(self, each: ImageFilter) -> None:
        if each.files or not each.repeatable:
            raise UsageError(f'the filter {type(each).__name__} writes reports, which workers cannot do: leave out the '
                             'filter or --executor')


def _named_alone(images: ImageInput, reference: Reference) -> str:
    """Return the URI of one image alone, without the options that selected it."""
    return str(without_selection(images.location_of(reference)))
