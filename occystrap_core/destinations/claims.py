"""Claims of the places that images of a run are read from and written to, so that none overwrites another."""
import os
import threading
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from occystrap_core.api.place import Place
from occystrap_core.api.uri import Location
from occystrap_core.errors import UsageError

if TYPE_CHECKING:
    from occystrap_core.destinations.many_claims import ManyClaims

_Claim = TypeVar('_Claim')


class _Claimed(NamedTuple):
    place: Place
    source: str
    destination: Location
    form: Hashable


class Claims:
    """The claimed places of a run; used by several threads."""

    def __init__(self) -> None:
        self._claimed: dict[Hashable, dict[str | None, list[_Claimed]]] = {}
        self._read: dict[Hashable, dict[str | None, list[tuple[Place, Location, str]]]] = {}
        self._lock = threading.Lock()
        self._many: 'ManyClaims | None' = None

    def become_many(self) -> None:
        """From now on keep places as hashes, since there may be millions; those already kept are converted."""
        from occystrap_core.destinations.many_claims import ManyClaims  # late, as few runs are so long
        many = ManyClaims()
        for each in _all(self._claimed):
            many.keep(each.place, each.source, each.form, each.destination.scheme)
        for place, _, source in _all(self._read):
            many.keep_read(place, source)
        with self._lock:
            self._many, self._claimed, self._read = many, {}, {}

    def reads(self, location: Location, lies: Place | None, source: str) -> None:
        """Record where an image is read; `lies` is its place, if known. Called for all images before the first `claim`.

        After `become_many` it is also called later, and raises UsageError if another image will replace this one.
        """
        if self._many:
            if lies:
                with self._lock:
                    self._many.reads(lies, source)
            return
        place = lies or _place_of(location)
        self._read.setdefault(place.root, {}).setdefault(place.name, []).append((place, location, source))

    def claim(self, place: Place, source: str, destination: Location, form: Hashable = None) -> bool:
        """Claim a place for the image of `source`; return False if it was claimed for the same image before.

        `source` identifies the image, `form` whatever else determines what is written. Raises UsageError if the place
        is taken by another image or by the same image in another form, if images of another scheme go to the path, or
        if another image of the run is read there, which would be overwritten.
        """
        if self._many:
            with self._lock:
                return self._many.claim(place, source, destination, form)
        self._refuse_source(place, source, destination)
        claimed = _Claimed(place, source, destination, form)
        with self._lock:
            there = self._claimed.setdefault(place.root, {})
            others = [each for each in _named(there, place.name) if each.place.clashes_with(place)]
            for other in others:
                _require_same(other, claimed)
            if place.path:
                _require_one_scheme(there, claimed)
            if not others:
                there.setdefault(place.name, []).append(claimed)
            return not others

    def _refuse_source(self, goes: Place, source: str, destination: Location) -> None:
        for place in (goes, _place_of(destination)):
            for lies, location, other in _named(self._read.get(place.root, {}), place.name):
                if other != source and _replaces(location, destination, lies, place):
                    raise UsageError(f'{destination}: {source} would replace {other}, which is a source of the same '
                                     'run: choose another destination, or copy in two runs')


def refuse_same_place(source: Location, destination: Location, lies: Place | None, goes: Place) -> None:
    """Raise UsageError if an image would be copied onto itself; `lies` is the place it is read from, if known."""
    same = _place_of(source) == _place_of(destination) and not _is_elsewhere(source, destination)
    if same or (lies and lies.root == goes.root and _replaces(source, destination, lies, goes)):
        raise UsageError(f'source and destination are the same place: {destination}')


def _require_same(other: _Claimed, claimed: _Claimed) -> None:
    """Raise UsageError unless two claims of one place are for the same image, written in the same form."""
    _, source, destination, form = claimed
    if other.source != source:
        raise UsageError(f'{destination}: {other.source} and {source} would both be written to {claimed.place}, one '
                         f'replacing the other{_alike(other.place, claimed.place)}: give each its own place, with '
                         'fields such as {repository} and {tag} where these differ, or in a plan')
    if other.form != form:
        raise UsageError(f'{other.destination} and {destination} are the same place, {claimed.place}, and {source} can '
                         'be there in one form only: choose another place for one of them')


def _alike(other: Place, place: Place) -> str:
    """Return why two places are one, if their paths are written in another case."""
    same = other.path == place.path or other.path.casefold() != place.path.casefold()
    return '' if same else f', as the file system does not tell it and {other} apart'


def _require_one_scheme(there: Mapping[str | None, Sequence[_Claimed]], claimed: _Claimed) -> None:
    """Raise UsageError if images of another scheme go to the same path."""
    other = next(chain.from_iterable(there.values()), claimed)
    if other.destination.scheme != claimed.destination.scheme:
        raise UsageError(f'{other.destination} and {claimed.destination} are the same place, {claimed.place.path}, '
                         'which can have one format only: choose another place for one of them')


def _all(places: Mapping[Hashable, Mapping[str | None, Sequence[_Claim]]]) -> Iterator[_Claim]:
    return chain.from_iterable(chain.from_iterable(named.values()) for named in places.values())


def _named(there: Mapping[str | None, Sequence[_Claim]], name: str | None) -> Iterator[_Claim]:
    """Yield the claims that may clash with a name: of the same name, and of the whole path; all claims for None."""
    names: Iterable[str | None] = there if name is None else (None, name)
    return chain.from_iterable(there.get(each, ()) for each in names)


def _place_of(location: Location) -> Place:
    """Return a place made from a location alone, for inputs that do not know the places of their images."""
    return Place('', f'{location.scheme}://{os.path.realpath(location.path)}')


def _replaces(source: Location, destination: Location, lies: Place, goes: Place) -> bool:
    """Return whether an image written to one place would replace the image read at the other; both have the same root.
    """
    if not lies.clashes_with(goes) or (lies == _place_of(source) and _is_elsewhere(source, destination)):
        return False
    return source.scheme == destination.scheme or None not in (lies.name, goes.name)  # else of another format


def _is_elsewhere(source: Location, destination: Location) -> bool:
    """Return whether options, such as a daemon's socket, make these different places."""
    shared = source.options.keys() & destination.options.keys()
    return any(source.options[name] != destination.options[name] for name in shared)
