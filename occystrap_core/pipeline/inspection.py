"""Reading images without copying them, for `search`, `check` and `info`."""
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from occystrap_core.api.image_input import ImageInput
from occystrap_core.api.uri import Location
from occystrap_core.cancellation import Cancellation
from occystrap_core.daemon_threads import completed, give_up
from occystrap_core.errors import Cancelled, ImageError, NoImage
from occystrap_core.image.artifact import Artifact
from occystrap_core.image.image import Content, Image, ImageIndex
from occystrap_core.image.layer import Layer, ReadObservers
from occystrap_core.layers.outgoing_layer import naming_layer
from occystrap_core.layers.single_flight import layer_jobs
from occystrap_core.oci.reference import Reference
from occystrap_core.pipeline.index_copy import size_to_move
from occystrap_core.plugins.manager import Plugins
from occystrap_core.report.image_report import ImageReport, failure_text, left_out_text
from occystrap_core.report.progress import Advance, Progress
from occystrap_core.settings import Settings
from occystrap_core.sources.selection import print_notes, select
from occystrap_core.tasks.opened_inputs import opened_inputs

T = TypeVar('T')


Read = Callable[[Content, Settings, Advance], T]
"""Inspects what an input opened, with the settings it was opened with, and reports the bytes that are read."""


@dataclass
class ReadImage(Generic[T]):
    """The result for one image, or why there is none."""

    name: str
    reference: Reference | None
    """None if the source could not list its images."""
    report: ImageReport
    result: T | None = None


def read_images(plugins: Plugins, settings: Settings, source: str, read: Read[T], progress: Progress,
                unfit: Callable[[ImageError], T] | None = None, images: list[ReadImage[T]] | None = None,
                ) -> list[ReadImage[T]]:
    """Have `read` inspect every image of a source, or of a list of sources; return its results.

    Raises the error of the only image; if there are several, an error is recorded and the others continue. With
    `unfit`, an image that cannot be opened is not a failure: `unfit` turns the error into a result. All results are
    added to `images` before reading starts, so that they are available whatever is raised.
    """
    images = [] if images is None else images
    with ExitStack() as closed:
        closed.enter_context(closing(settings.shared))
        found: list[tuple[ImageInput, ReadImage[T], Settings]] = []
        unopened: list[ReadImage[T]] = []
        for opened, location, chosen in opened_inputs(plugins, settings, source, closed):
            try:
                found += [(opened, _expected(str(each), each), chosen) for each in _once_each(opened, location)]
            except ImageError as error:
                if unfit is None:
                    raise
                unopened.append(_expected(str(opened.location)))
                unopened[-1].result = unfit(error)
        images += [*(image for _, image, _ in found), *unopened]
        progress.begin([image.report for _, image, _ in found])
        closed.callback(progress.end)
        for opened, image, chosen in found:
            assert image.reference
            try:
                with opened.open(image.reference) as content, settings.cancellation.by_signals():
                    _look(content, image, partial(read, content, chosen), progress)
            except (Exception, Cancelled) as error:  # no error of one image must affect the others
                if unfit and isinstance(error, ImageError):
                    image.result = unfit(error)
                elif len(found) == 1 or settings.cancellation.cancelled:
                    raise
                elif isinstance(error, NoImage):
                    image.report.left_out = True
                else:
                    image.report.failure = failure_text(error, plugins)
            progress.finished(image.report)
    if count := sum(image.report.left_out for _, image, _ in found):
        print_notes([left_out_text(count)])
    images[:] = [image for image in images if not image.report.left_out]
    return images


def _once_each(opened: ImageInput, location: Location) -> Iterable[Reference]:
    """Return the selected images of an input, each under its first name."""
    first: dict[object, Reference] = {}
    references, notes = select(opened, location)
    print_notes(notes)
    for reference in references:
        first.setdefault(opened.content_key(reference), reference)
    return first.values()


def _expected(name: str, reference: Reference | None = None) -> ReadImage[T]:
    return ReadImage(name, reference, ImageReport(name, '', verb='read'))


def _look(content: Content, image: ReadImage[T], read: Callable[[Advance], T], progress: Progress) -> None:
    started = time.monotonic()
    with progress.image(image.name, size_to_move(content)) as advance:
        image.result = read(advance)
    images = list(images_of(content))
    image.report.layers = sum(len(each.layers) or len(each.diff_ids) for each in images)  # a daemon's were read
    image.report.size = sum(layer.stored_size for each in images for layer in each.layers)
    image.report.seconds = time.monotonic() - started


def images_of(content: Content) -> Iterator[Image]:
    """Yield the images in what an input opened, except artifacts."""
    if isinstance(content, ImageIndex):
        for child in content.children:
            yield from images_of(child.content)
    elif not isinstance(content, Artifact):
        yield content


def read_layers(image: Image, settings: Settings, read: Callable[[Layer, ReadObservers], None],
                advance: Advance) -> None:
    """Have `read` read each layer of an image, with the given observers: in parallel, the largest first, or as they
    arrive.

    A layer that is listed twice is read once, at its upper position. Raises the first error.
    """
    stopped = Cancellation()

    def passed(count: int) -> None:
        stopped.check()
        settings.cancellation.check()
        advance(count)

    def follow(layer: Layer) -> None:
        stopped.check()
        with naming_layer(layer):
            read(layer, ReadObservers(moved=passed))

    if image.sequential:
        for layer in image.arrivals():
            follow(layer)
        return
    distinct = {layer.source.diff_id or id(layer): layer for layer in image.layers}
    turns = layer_jobs(settings)
    futures = [turns.submit(None, partial(follow, layer))
               for layer in sorted(distinct.values(), key=lambda layer: -layer.stored_size)]
    try:
        for future in completed(futures, settings.cancellation.check):
            future.result()
    except BaseException:
        stopped.cancel()
        give_up(futures)
        raise
