"""A copy of a thing onto itself is refused: it would destroy what it reads."""
import os

from occystrap_core.errors import UsageError
from occystrap_core.uri import Location


def refuse_same_place(source: Location, destination: Location) -> None:
    """Raise UsageError when both are one place."""
    same_path = source.path == destination.path or os.path.realpath(source.path) == os.path.realpath(destination.path)
    shared = source.options.keys() & destination.options.keys()  # such as a daemon's socket: another one, another place
    elsewhere = any(source.options[name] != destination.options[name] for name in shared)
    if source.scheme == destination.scheme and same_path and not elsewhere:
        raise UsageError(f'source and destination are the same place: {destination}')
