"""The places of a run's later images, of which there may be millions: kept as hashes, some hundred bytes for each."""
import os
from collections.abc import Hashable, Iterable

from occystrap_core.api.schemes import WriterScheme
from occystrap_core.destinations.claims import Claims
from occystrap_core.destinations.destination_fields import require_room_for_several
from occystrap_core.errors import UsageError
from occystrap_core.plugins.manager import Plugins
from occystrap_core.plugins.resolver import require_many
from occystrap_core.report.first_lines import FirstLines
from occystrap_core.settings import Settings
from occystrap_core.tasks.image_task import ImageTask
from occystrap_core.tasks.later_sources import LaterSources, identities


class LaterPlaces:
    """Gives each image of a run a place of its own; a conflict is the failure of the image that comes later."""

    def __init__(self, plugins: Plugins, settings: Settings, tasks: Iterable[ImageTask]) -> None:
        """`tasks` are those that were checked already."""
        self._plugins, self._again = plugins, FirstLines()
        self._claims = settings.shared.get(Claims, Claims)
        self._claims.become_many()
        self._paths, self._above = set[int](), set[int]()
        """Hashes of used paths, and of the directories above them: each as written, and by what is there."""
        self._full = set[int]()
        """Hashes of the paths of destinations that hold a single image."""
        self._names = set[int]()
        self._apart = LaterSources(plugins)
        self._stream: Hashable = None
        for task in tasks:
            self._is_another_name(task)
            self._keep(task)

    @property
    def notes(self) -> list[str]:
        """Lines for the user about images that are listed more than once."""
        return self._again.lines('image', 'images', 'listed more than once, and copied once')

    def take(self, task: ImageTask) -> bool:
        """Return whether an image is to be copied; False if the same one goes there already. Raises UsageError."""
        if self._is_another_name(task):
            return False
        images, reference = task.images, task.reference
        self._apart.require_apart(task)
        self._claims.reads(images.location_of(reference), images.place(reference), task.source)
        self._require_beside(task)
        if not self._claims.claim(task.place, task.source, task.destination, task.form):
            self._again.add(f'{task.source} is listed more than once, and copied once')
            return False
        self._require_room(task)
        self._keep(task)
        return True

    def _is_another_name(self, task: ImageTask) -> bool:
        """Return whether the image already goes to the same place under another of its names."""
        content = task.images.content_key(task.reference)
        if content == task.reference:
            return False
        key = hash((task.entry, task.settings.whole_index, task.place, task.form, content))
        is_known = key in self._names
        self._names.add(key)
        return is_known

    def _require_beside(self, task: ImageTask) -> None:
        """Raise UsageError as `refuse_nested` does."""
        path = task.place.path
        if not path or hash(path) in self._paths:
            return
        if not self._above.isdisjoint(identities(path)) or not self._paths.isdisjoint(_above(path)):
            raise UsageError(f'{task.destination} is inside another destination of the same run, or contains one: '
                             'choose a separate path')

    def _require_room(self, task: ImageTask) -> None:
        """Raise UsageError if a destination that holds a single image gets another one."""
        goes = hash((task.destination.scheme, task.destination.path))
        if goes in self._full:
            require_room_for_several(self._plugins, task.written, task.destination)

    def _keep(self, task: ImageTask) -> None:
        self._apart.keep(task)
        if task.place.path and hash(task.place.path) not in self._paths:
            self._paths |= identities(task.place.path)
            self._above |= _above(task.place.path)
        try:
            require_many(self._plugins, task.destination)
        except UsageError:
            self._full.add(hash((task.destination.scheme, task.destination.path)))
        if self._plugins.find(WriterScheme, task.destination.scheme).to_stdout(task.destination):
            self._stream = self._stream or task.form
            if self._stream != task.form:
                raise UsageError(f'{task.destination}: another archive goes to stdout, which takes one: give a file '
                                 'for one of them')


def _above(path: str) -> set[int]:
    """Return hashes of the identities of all directories above a path."""
    found = set[int]()
    while (above := os.path.dirname(path)) != path:
        found |= identities(path := above)
    return found
