"""Resolving what a user wrote (URIs, filters) to inputs, filters and outputs of plugins."""
from collections.abc import Sequence
from typing import Any, get_args

from occystrap_core.api.image_filter import ImageFilter
from occystrap_core.api.image_input import ImageInput
from occystrap_core.api.image_list import ImageList
from occystrap_core.api.image_output import ImageOutput
from occystrap_core.api.options import read_options
from occystrap_core.api.schemes import FilterKind, InputScheme, WriterScheme, load
from occystrap_core.api.uri import Location, parse_filter, parse_uri
from occystrap_core.errors import PluginError, UsageError
from occystrap_core.plugins.manager import Plugins
from occystrap_core.settings import Settings


def source_location(plugins: Plugins, uri: str) -> Location:
    """Return the location of a source; raises UsageError for a bad URI, an unknown scheme or option."""
    return _location(plugins.find(InputScheme, parse_uri(uri).scheme), uri)


def destination_location(plugins: Plugins, uri: str) -> Location:
    """Return the location of a destination; raises as `source_location` does."""
    return _location(plugins.find(WriterScheme, parse_uri(uri).scheme), uri)


def takes_whole_indexes(plugins: Plugins, destination: Location) -> bool:
    """Return whether images with indexes are copied to a destination as they are, unless the user asks for one."""
    return plugins.find(WriterScheme, destination.scheme).whole_indexes(destination)


def open_source(plugins: Plugins, location: Location, settings: Settings) -> ImageInput | ImageList:
    """Return the input, or the list of sources, at a location; raises PluginError if its code cannot be loaded.

    Raises UsageError if several platforms are requested of an input that can supply one only.
    """
    factory = plugins.find(InputScheme, location.scheme).factory
    opened: ImageInput | ImageList = _made(ImageInput | ImageList, factory, location, settings)
    several = settings.platforms and not location.options.get('platform')
    if several and isinstance(opened, ImageInput) and not opened.gives_indexes:
        raise UsageError(f'{location} can supply one platform only: pass a single --platform, not {settings.platforms}')
    return opened


def open_output(plugins: Plugins, location: Location, settings: Settings) -> ImageOutput:
    """Return the writer of a location, for one image; raises PluginError if its code cannot be loaded."""
    opened: ImageOutput = _made(ImageOutput, plugins.find(WriterScheme, location.scheme).factory, location, settings)
    return opened


def open_filters(plugins: Plugins, texts: Sequence[str], settings: Settings) -> list[ImageFilter]:
    """Return the filters written as `name:key=value,…`, in order; raises UsageError for an unknown filter or option."""
    filters: list[ImageFilter] = []
    for text in texts:
        name, given = parse_filter(text)
        kind = plugins.find(FilterKind, name)
        values = read_options(kind.options, given, f'filter {name}')
        filters.append(_made(ImageFilter, kind.factory, values, settings))
    return filters


def require_many(plugins: Plugins, location: Location) -> None:
    """Raise UsageError unless the destination can take several images."""
    many = plugins.find(WriterScheme, location.scheme).many
    if not many.accepted or many.unless(location):
        raise UsageError(f'{location} cannot take several images: {many.reason}; fields in its path such as '
                         '{repository} and {tag} give each a place of its own')
    if many.needs and not location.options.get(many.needs):
        raise UsageError(f'{location} takes several images only with ?{many.needs}=true')


def _made(expected: Any, factory: str, *arguments: object) -> Any:
    """Return the result of `factory(*arguments)`; raises PluginError if it is not of class `expected`, or abstract."""
    try:
        made = load(factory)(*arguments)
    except TypeError as error:  # such as a missing abstract method
        raise PluginError(f'{factory} cannot be used: {error}') from error
    if not isinstance(made, expected):
        names = ' or '.join(each.__name__ for each in get_args(expected) or (expected,))
        raise PluginError(f'{factory} made a {type(made).__name__}, a {names} is expected')
    return made


def _location(scheme: InputScheme | WriterScheme, uri: str) -> Location:
    return Location.parse(uri, scheme.options, scheme.name)
