"""One place holds one image: a copy onto its source, or onto another image of the run, would destroy what is there."""
import os
import threading
from collections.abc import Hashable

from occystrap_core.errors import UsageError
from occystrap_core.place import Place
from occystrap_core.uri import Location


class Claims:
    """The places that the images of a run take; asked by several threads."""

    def __init__(self) -> None:
        self._claimed: dict[Hashable, dict[str | None, list[tuple[Place, str]]]] = {}
        self._lock = threading.Lock()

    def claim(self, place: Place, source: str, destination: Location) -> bool:
        """Keep a place for the image of `source`; returns False if that has been done for the same image already.

        `source` says all that decides on the image. Raises UsageError if another image would take the place, too.
        """
        with self._lock:
            there = self._claimed.setdefault(place.root, {})
            rivals = there if place.name is None else (None, place.name)
            others = [each for name in rivals for each in there.get(name, ()) if each[0].clashes_with(place)]
            for _, other in others:
                if other != source:
                    raise UsageError(f'{destination}: {other} and {source} would go to one place, {place}, and one '
                                     'replace the other: give each a place of its own, such as by fields '
                                     '{repository} and {tag}')
            if not others:
                there.setdefault(place.name, []).append((place, source))
            return not others


def refuse_same_place(source: Location, destination: Location, lies: Place | None, goes: Place) -> None:
    """Raise UsageError when an image would be copied onto itself; `lies` is where it is, as far as that is known."""
    same_path = source.path == destination.path or os.path.realpath(source.path) == os.path.realpath(destination.path)
    shared = source.options.keys() & destination.options.keys()  # such as a daemon's socket: another one, another place
    elsewhere = any(source.options[name] != destination.options[name] for name in shared)
    same = source.scheme == destination.scheme and same_path and not elsewhere
    if same or (lies and lies.root == goes.root and lies.clashes_with(goes) and (
            source.scheme == destination.scheme or None not in (lies.name, goes.name))):  # else of another format
        raise UsageError(f'source and destination are the same place: {destination}')
