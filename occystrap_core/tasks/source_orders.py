"""The orders of a command line or a list: each source with each of its destinations, opened, and with its filters."""
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cache, lru_cache, partial
from itertools import chain, islice
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from occystrap_core.api.image_input import ImageInput
from occystrap_core.api.image_list import ImageList, ListedImage
from occystrap_core.api.schemes import WriterScheme
from occystrap_core.api.uri import Location
from occystrap_core.destinations.bringers import destination_name, source_name
from occystrap_core.errors import UsageError
from occystrap_core.plugins.manager import Plugins
from occystrap_core.plugins.resolver import (
    destination_location, open_filters, open_source, require_deltas, source_location, takes_whole_indexes,
)
from occystrap_core.settings import Settings
from occystrap_core.version import __version__

if TYPE_CHECKING:
    from occystrap_core.api.image_filter import ImageFilter

_SHOWN = 10
_REMEMBERED = 1000
"""Number of destinations whose parsed locations are kept, since most entries of a list have the same."""
Destinations = str | Sequence[str] | None
"""The URI of a destination, or several; None if the entries of a list have their own."""


class Order(NamedTuple):
    """The order to copy all images of one source to one destination."""

    images: ImageInput
    location: Location
    """The source as it is written, with the options of selection."""
    destination: Location
    filters: 'Sequence[ImageFilter]'
    recipe: str | None
    settings: Settings
    entry: int
    platform: str
    """The choice of --platform or a list's entry; empty without one."""
    written_filters: Sequence[str]
    """The filters as on the command line."""
    several: bool
    """Whether the source has several destinations."""

    @property
    def requested(self) -> Sequence[str]:
        """What determines the copied content besides the source, as written on the command line."""
        chosen = [f'--platform={self.platform}'] if self.platform else []
        return [*chosen, *(f'--filter={_one_word(text)}' for text in self.written_filters)]


class Orders:
    """Finds the orders of a run. `closing` closes the inputs that are opened."""

    def __init__(self, plugins: Plugins, settings: Settings, closing: ExitStack) -> None:
        self._plugins, self._settings, self._closing = plugins, settings, closing
        self._goes_to = lru_cache(_REMEMBERED)(partial(destination_location, plugins))
        self._choice = lru_cache(_REMEMBERED)(self._choose)
        self.entries = 0
        """The number of sources found, each counted once for all destinations."""
        self.lists: list[str] = []
        """The files of lists that were read."""
        self.list_location: Location | None = None
        """The location of the list, if the source is a list."""
        self._list_name = ''
        self.notes: list[str] = []
        """Lines for the user about dropped entries."""

    def of(self, entry: ListedImage, listed: bool = False) -> Iterator[Order]:
        """Yield the orders for all destinations of an entry; a list is replaced by its entries."""
        opened = self._opened(entry, self._choice(entry.platform, next(iter(entry.destinations), None)))
        if isinstance(opened, ImageInput):
            yield from self._orders_of(opened, entry)
        elif listed:
            raise UsageError(f'{opened.location}: a list cannot name another list')
        else:
            self._set_list(opened.location)
            entries = [_filled(each, entry) for each in self._distinct(opened.entries())]
            self.lists += opened.files
            self._require_right(entries)
            for each in entries:
                with _naming_entry(each):
                    yield from self.of(each, listed=True)

    def one_by_one(self, entry: ListedImage, failed: Callable[[ListedImage, UsageError], None], checked: int = 0,
                   ) -> Iterator[tuple[Sequence[Order], ExitStack]]:
        """Yield the orders of one source at a time, as `of` does, without reading a long list completely first.

        With each comes the ExitStack that closes its input. The first `checked` entries of a list are read and checked
        before the first order is yielded. `failed` is called for entries with mistakes, and may raise. Raises
        UsageError if there is no list.
        """
        self._closing = ExitStack()
        opened = self._opened(entry, self._choice(entry.platform, next(iter(entry.destinations), None)))
        if isinstance(opened, ImageInput):
            with self._closing as closing:
                found = list(self._orders_of(opened, entry))
                closing = closing.pop_all()
            yield found, closing
            return
        self._set_list(opened.location)
        entries = self._entries(opened, entry, checked, failed)
        if checked:
            first = list(self._distinct(islice(entries, checked)))
            self.lists += opened.files
            self._require_right(first)
            entries = chain(first, entries)
        for each in entries:
            self._closing = ExitStack()
            try:
                with _naming_entry(each):
                    found = list(self.of(each, listed=True))
            except UsageError as error:
                self._closing.close()
                failed(each, error)
            else:
                yield found, self._closing

    def _entries(self, opened: ImageList, order: ListedImage, checked: int,
                 failed: Callable[[ListedImage, UsageError], None]) -> Iterator[ListedImage]:
        """Yield the entries of a list, with missing values from the command line; a mistake that ends the list is
        reported."""
        try:
            for each in opened.stream(checked):
                yield _filled(each, order)
        except UsageError as error:
            failed(order, error)

    def _set_list(self, location: Location) -> None:
        self.list_location, self._list_name = location, source_name(self._plugins, location)

    def _distinct(self, entries: Iterable[ListedImage]) -> Iterator[ListedImage]:
        """Yield the entries of a list without repeated ones."""
        before: dict[tuple[object, ...], str] = {}
        for each in entries:
            if twice := _again(each, before):
                self.notes.append(twice)
            else:
                yield each

    def _require_right(self, entries: Sequence[ListedImage]) -> None:
        """Raise UsageError with the mistakes of all entries of a list, not only of the first."""
        found: dict[str, str] = {}
        with_filters = cache(lambda filters: open_filters(self._plugins, filters, self._settings))
        for each in entries:
            checks: list[Callable[[], object]] = [
                partial(source_location, self._plugins, each.source),
                *(partial(self._goes_to, goes) for goes in each.destinations),
                partial(with_filters, tuple(each.filters or ()))]
            for check in checks:
                try:
                    check()
                except UsageError as error:
                    found.setdefault(str(error), f'{each.where}: {error}' if each.where else str(error))
        if len(found) > 1:
            more = f'; and {len(found) - _SHOWN} more' if len(found) > _SHOWN else ''
            raise UsageError(f'{len(found)} errors: {"; ".join([*found.values()][:_SHOWN])}{more}')

    def _opened(self, entry: ListedImage, settings: Settings) -> ImageInput | ImageList:
        opened = open_source(self._plugins, source_location(self._plugins, entry.source), settings)
        if isinstance(opened, ImageInput):
            self._closing.callback(opened.close)
        return opened

    def _orders_of(self, opened: ImageInput, entry: ListedImage) -> Iterator[Order]:
        """Yield the order for each destination. Destinations that hold indexes share one input, the others another one.
        """
        if not entry.destinations:
            raise UsageError(f'no destination for {opened.location}: add DEST')
        self.entries += 1
        inputs = {opened.settings.whole_index: opened}
        taken = opened.settings.stdout_taken or any(map(self._is_stdout, entry.destinations))
        filters = open_filters(self._plugins, entry.filters or (), replace(opened.settings, stdout_taken=taken))
        for lane, destination in enumerate(entry.destinations):
            settings = self._choice(entry.platform, destination)
            settings = replace(settings, lane=lane) if lane else settings
            images = inputs.get(settings.whole_index) if opened.gives_indexes else opened
            if images is None:
                another = self._opened(entry, settings)
                assert isinstance(another, ImageInput)
                inputs[settings.whole_index] = images = another
            yield self._order(images, entry, destination, filters, settings)

    def _is_stdout(self, goes: str) -> bool:
        location = self._goes_to(goes)
        return self._plugins.find(WriterScheme, location.scheme).to_stdout(location)

    def _choose(self, platform: str | None, goes: str | None) -> Settings:
        """Return the settings with an entry's choice of platforms: by default all if its destination holds indexes."""
        if platform:
            return self._settings.choosing(platform)
        if goes is None:
            return self._settings
        try:
            destination = self._goes_to(goes)
        except UsageError:  # raised later, for images that go there; the entries of a list may have other destinations
            return self._settings
        return replace(self._settings, whole_index=takes_whole_indexes(self._plugins, destination))

    def _order(self, opened: ImageInput, entry: ListedImage, goes: str, filters: 'Sequence[ImageFilter]',
               settings: Settings) -> Order:
        destination = self._goes_to(goes)
        if self._settings.base is not None:
            require_deltas(self._plugins, destination)
        words = map(_one_word, entry.filters or ())
        recipe = ' '.join([__version__, *words]) if all(each.repeatable for each in filters) else None
        chosen = settings.platforms or settings.platform
        if option := opened.location.options.get('platform'):  # the option takes precedence over --platform
            settings = settings.choosing(option)
        bringer = (source_name(self._plugins, opened.location), destination_name(self._plugins, destination),
                   self._list_name)
        settings = replace(settings, bringer=self._settings.bringer or bringer)
        return Order(opened, source_location(self._plugins, entry.source), destination, filters, recipe, settings,
                     self.entries, str(chosen or ''), tuple(entry.filters or ()), len(entry.destinations) > 1)


def _one_word(text: str) -> str:
    """Return a filter without spaces: one whose pattern reads like a second filter must not be taken for two."""
    return re.sub(r'[%\s]', lambda found: quote(found[0]), text)


def _filled(entry: ListedImage, order: ListedImage) -> ListedImage:
    """Return an entry of a list, with missing values from the command line that names the list."""
    filters = order.filters if entry.filters is None else entry.filters
    return entry._replace(destinations=entry.destinations or order.destinations, filters=filters)


def _again(entry: ListedImage, before: dict[tuple[object, ...], str]) -> str:
    """Return a note if an earlier entry of the list is the same, which is then dropped; else an empty text."""
    key = entry.source, tuple(entry.destinations), entry.platform, str(entry.filters)
    if key in before:
        return f'{entry.where}: {entry.source} is already listed in {before[key]}, and is skipped'
    before[key] = entry.where
    return ''


@contextmanager
def _naming_entry(entry: ListedImage) -> Iterator[None]:
    """Prefix a UsageError with the position of the list's entry."""
    try:
        yield
    except UsageError as error:
        raise UsageError(f'{entry.where}: {error}' if entry.where else str(error)) from None
