"""Destinations of a run that lie within another, or share stdout: whichever is written last would spoil the other."""
from collections.abc import Hashable, Sequence

from occystrap_core.api.schemes import WriterScheme
from occystrap_core.destinations.side_files import upwards
from occystrap_core.errors import UsageError
from occystrap_core.plugins.manager import Plugins
from occystrap_core.tasks.image_task import ImageTask


def refuse_nested(tasks: Sequence[ImageTask], plugins: Plugins) -> None:
    """Raise UsageError if a destination is within another's, or two archives that are not one go to stdout."""
    _refuse_two_streams(tasks, plugins)
    paths = {task.place.path: task for task in tasks if task.place.path}
    roots = {task.place.root: task for task in paths.values()}
    for path, task in paths.items():
        for root, name in upwards(path):
            if name and (outer := roots.get(root)):
                raise UsageError(f'{task.destination} lies within {outer.destination}, a destination of the same run: '
                                 'choose a place beside it')


def _refuse_two_streams(tasks: Sequence[ImageTask], plugins: Plugins) -> None:
    streams: dict[Hashable, ImageTask] = {}
    for task in tasks:
        if plugins.find(WriterScheme, task.destination.scheme).to_stdout(task.destination):
            streams.setdefault(task.form, task)
    if len(streams) > 1:
        one, other, *_ = streams.values()
        raise UsageError(f'{one.destination} and {other.destination} both go to stdout, which takes one archive: give '
                         'a file for one of them')
