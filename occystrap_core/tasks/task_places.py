"""The places of a run's images: no two are the same, and none is a source or another file that the run writes."""
import os
from collections.abc import Hashable, Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from itertools import chain

from occystrap_core.api.place import Place
from occystrap_core.api.schemes import WriterScheme
from occystrap_core.destinations.claims import Claims, refuse_same_place
from occystrap_core.destinations.destination_fields import require_room
from occystrap_core.destinations.side_files import KeptPath, SideFiles, kept_paths, upwards
from occystrap_core.errors import UsageError
from occystrap_core.oci.patterns import first_names
from occystrap_core.plugins.manager import Plugins
from occystrap_core.settings import Settings
from occystrap_core.tasks.image_task import ImageTask, places_of


class TaskPlaces:
    """Checks the places of tasks, all at once or in parts; each method raises UsageError if an image would be lost."""

    def __init__(self, plugins: Plugins, settings: Settings, files: SideFiles, lists: Sequence[str]) -> None:
        """`files` are the other files that the run writes, `lists` those that name its images."""
        self._plugins, self._settings, self._files, self._lists = plugins, settings, files, lists

    def checked(self, tasks: Iterable[ImageTask]) -> list[ImageTask]:
        """Return all tasks of a run with their places, without repeated ones."""
        placed = list(distinct(map(self.placed, tasks)))
        self.refuse_files(placed)
        self._require_room(placed)
        found = list(self._once_each(placed))
        refuse_nested(found, self._plugins)
        refuse_sources_within(found, self._plugins)
        return found

    def placed(self, task: ImageTask) -> ImageTask:
        """Return the task with the place of its image; raises UsageError if the image is read from that place."""
        place = task.output.made().place(task.reference)
        images = task.images
        refuse_same_place(images.location_of(task.reference), task.destination, images.place(task.reference), place)
        scheme = self._plugins.find(WriterScheme, task.destination.scheme)
        return task._replace(place=place, form=scheme.form(task.destination))

    def refuse_files(self, tasks: Sequence[ImageTask]) -> None:
        """Raise UsageError if another file of the run is an image or a list of images, is within one, or is a stdout in
        use."""
        files = self._files
        for task in tasks:
            for each in task.filters:
                for path in each.files:
                    files.add('file=', path)
        if not files:
            return
        places = dict.fromkeys(chain.from_iterable(map(places_of, tasks)))
        files.refuse_places([*map(KeptPath, self._lists), *kept_paths(self._plugins, places)])
        if taken := self._taken_stdout(tasks):
            files.refuse_stdout(taken)

    def _require_room(self, tasks: Sequence[ImageTask]) -> None:
        """Raise as `require_room` does, listing the images of a source from which one can be chosen."""
        try:
            require_room(self._plugins, [(task.source, task.written, task.destination) for task in tasks])
        except UsageError as error:
            inputs = dict.fromkeys(task.images for task in tasks if 'image' in task.images.location.options)
            names = [str(each) for images in inputs for each in images.references()]  # also others of the same content
            raise UsageError(f'{error}; or choose one image of the source with ?image=: {first_names(names)}'
                             if names else str(error)) from None

    def _taken_stdout(self, tasks: Sequence[ImageTask]) -> str:
        """Return in words what goes to stdout; an empty text if nothing does."""
        archives = [each.destination for each in tasks
                    if self._plugins.find(WriterScheme, each.destination.scheme).to_stdout(each.destination)]
        return str(archives[0]) if archives else 'the report in JSON' if self._settings.stdout_taken else ''

    def _once_each(self, tasks: Sequence[ImageTask]) -> Iterator[ImageTask]:
        """Yield the tasks without repeated ones.

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


def distinct(tasks: Iterable[ImageTask]) -> Iterator[ImageTask]:
    """Yield the tasks; of several names of one image that go to the same place in the same form, only the first."""
    seen: dict[Hashable, ImageTask] = {}
    for task in tasks:
        first = seen.setdefault((id(task.images), task.place, task.form, task.images.content_key(task.reference)), task)
        if first is task:
            yield task
        elif first.reference == task.reference:
            first.report.notes = [f'{task.destination} is named more than once, and written once']


def refuse_nested(tasks: Sequence[ImageTask], plugins: Plugins) -> None:
    """Raise UsageError if a destination is within another, or if two different archives go to stdout."""
    _refuse_two_streams(tasks, plugins)
    paths = {task.place.path: task for task in tasks if task.place.path}
    roots = {task.place.root: task for task in paths.values()}
    for path, task in paths.items():
        for root, name in upwards(path):
            if name and (outer := roots.get(root)):
                raise UsageError(f'{task.destination} lies within {outer.destination}, a destination of the same run: '
                                 'choose a place beside it')


def refuse_sources_within(tasks: Sequence[ImageTask], plugins: Plugins) -> None:
    """Raise UsageError if a source is within a destination, where it would be lost if the format replaces that."""
    sources: dict[str, ImageTask] = {}
    written: dict[tuple[str, str], ImageTask] = {}
    for task in tasks:
        (_, source), goes = places_of(task)
        if source:
            sources.setdefault(source, task)
        if goes[1]:
            written[goes] = task
    if not sources:
        return
    kept = {Place(each.path).root: (task, each.names)
            for task, each in zip(written.values(), kept_paths(plugins, written), strict=True)}
    for source, task in sources.items():
        for root, name in upwards(os.path.realpath(source)) if kept else ():
            outer, names = kept.get(root, (task, ()))
            if name and any(fnmatchcase(name, each) for each in names):
                raise UsageError(f'{task.source} lies within {outer.destination}, a destination of the same run, which '
                                 'may replace it: choose a place beside it')


def _refuse_two_streams(tasks: Sequence[ImageTask], plugins: Plugins) -> None:
    streams: dict[Hashable, ImageTask] = {}
    for task in tasks:
        if plugins.find(WriterScheme, task.destination.scheme).to_stdout(task.destination):
            streams.setdefault(task.form, task)
    if len(streams) > 1:
        one, other, *_ = streams.values()
        raise UsageError(f'{one.destination} and {other.destination} both go to stdout, which takes one archive: give '
                         'a file for one of them')
