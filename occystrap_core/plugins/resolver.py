"""Resolving what a user wrote (URIs, filters) to inputs, filters and outputs of plugins."""
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from occystrap_core.api.image_input import ImageInput
from occystrap_core.api.image_list import ImageList
from occystrap_core.api.options import read_options
from occystrap_core.api.schemes import FilterKind, InputScheme, WriterScheme, load
from occystrap_core.api.uri import Location, parse_filter, parse_uri, redact
from occystrap_core.errors import PluginError, UnknownOption, UnknownScheme, UsageError
from occystrap_core.plugins.manager import Plugins
from occystrap_core.settings import Settings

if TYPE_CHECKING:
    from occystrap_core.api.image_filter import ImageFilter
    from occystrap_core.api.image_output import ImageOutput

S = TypeVar('S', InputScheme, WriterScheme)


def source_location(plugins: Plugins, written: str) -> Location:
    """Return the location of a source: a URI, the name of an image in a registry, or a path.

    Raises UsageError for a bad URI, an unknown scheme or option, and for a path at which no image is recognized.
    """
    uri = written if '://' in written else _source_uri(plugins, written)
    scheme = _found(plugins, InputScheme, uri)
    with _other_side(plugins, uri, scheme, WriterScheme, 'destination'):
        return _location(scheme, uri)


def destination_location(plugins: Plugins, written: str) -> Location:
    """Return the location of a destination; raises as `source_location` does."""
    uri = written if '://' in written else _destination_uri(plugins, written)
    scheme = _found(plugins, WriterScheme, uri)
    with _other_side(plugins, uri, scheme, InputScheme, 'source'):
        return _location(scheme, uri)


@contextmanager
def _other_side(plugins: Plugins, uri: str, scheme: InputScheme | WriterScheme,
                other: type[InputScheme] | type[WriterScheme], side: str) -> Iterator[None]:
    """Extend the message for an unknown option raised in the with block, if schemes of the `other` kind have it."""
    try:
        yield
    except UnknownOption:
        known = {option.name for option in scheme.all_options}
        for _, each in plugins.declared(other):
            names = {option.name for option in each.all_options} - known if each.name == scheme.name else ()
            for name in parse_uri(uri).options:
                if name in names:
                    raise UnknownOption(f'{scheme.name}://: option {name} is for a {side}: leave it out') from None
        raise


def _found(plugins: Plugins, kind: type[S], uri: str) -> S:
    """Return the scheme of a URI; raises UsageError, for transports of other programs with the URI to write."""
    name = _scheme(uri)
    try:
        scheme = plugins.find(kind, name)
    except UnknownScheme:
        from occystrap_core.api.short_names import scheme_of_transport  # late, as only errors need it
        if better := scheme_of_transport(name, uri.partition('://')[2]):
            raise UnknownScheme(f'{name}:// is not a scheme: write {better}') from None
        raise
    _require_no_tilde(scheme, uri)
    return scheme


def _require_no_tilde(scheme: InputScheme | WriterScheme, uri: str) -> None:
    if scheme.completion == 'files' and '://~' in uri:
        from occystrap_core.api.short_names import require_no_tilde  # late, as only errors need it
        require_no_tilde(parse_uri(uri).path, f'{scheme.name}://')


def _scheme(uri: str) -> str:
    written = parse_uri(uri)
    if written.scheme in ('http', 'https'):
        raise UsageError(f'{written.scheme}:// is not an image location: write registry://{redact(written.path)}')
    if written.scheme == 'file':
        raise UsageError(f'file:// does not say which format: write tar://{redact(written.path)} for an archive, or '
                         f'dir:// or layout:// for a directory')
    return written.scheme


def _source_uri(plugins: Plugins, text: str) -> str:
    from occystrap_core.api.short_names import (  # late: most are full URIs
        has_host, is_path, path_uri, registry_uri, require_no_tilde,
    )
    path = text.partition('?')[0]
    require_no_tilde(path)
    if not is_path(text):
        if os.path.exists(path):
            raise UsageError(f'{path} is a file here, and also the name of an image: write ./{text} or '
                             f'{registry_uri(text)}')
        if not has_host(text) and any(each.suffix and path.endswith(each.suffix)
                                      for _, each in plugins.declared(WriterScheme)):
            raise UsageError(f'there is no file {path}; for an image of that name write {registry_uri(text)}')
        return registry_uri(text)
    if scheme := _recognized(plugins, path):
        return path_uri(scheme, text)
    if os.path.lexists(path):
        raise UsageError(f'{path} is not in a recognized image format: give its scheme, such as tar://{path}')
    raise UsageError(f'there is no file {path}')


def _destination_uri(plugins: Plugins, text: str) -> str:
    from occystrap_core.api.short_names import (
        has_host, is_path, path_uri, registry_uri, require_no_tilde, require_no_transport, require_text,
    )
    path = text.partition('?')[0]
    named = [each.name for _, each in plugins.declared(WriterScheme) if each.suffix and path.endswith(each.suffix)]
    require_no_transport(text)
    require_text(text)
    require_no_tilde(path)
    if is_path(text):
        if scheme := _recognized(plugins, path) or next(iter(named), ''):
            return path_uri(scheme, text)
        raise UsageError(f'{path}: the format to write is missing: give it, such as dir://{path} or layout://{path}')
    if has_host(text):
        return registry_uri(text)
    if named or os.path.lexists(path):
        raise UsageError(f'{text} may be a file or the name of an image: write ./{text} or registry://HOST/{text}')
    raise UsageError(f'{text} is not a destination: give registry://HOST/{text}, docker://{text}, or a path in a '
                     'format, such as layout://PATH')


def _recognized(plugins: Plugins, path: str) -> str:
    """Return the scheme of what is at a path, empty if none recognizes it."""
    schemes = [each for _, each in plugins.declared(InputScheme) if each.recognizes(path)]
    return max(schemes, key=lambda each: each.name).name if schemes else ''


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


def open_output(plugins: Plugins, location: Location, settings: Settings) -> 'ImageOutput':
    """Return the writer of a location, for one image; raises PluginError if its code cannot be loaded."""
    from occystrap_core.api.image_output import ImageOutput  # late, as only copies need it
    opened: ImageOutput = _made(ImageOutput, plugins.find(WriterScheme, location.scheme).factory, location, settings)
    return opened


def open_filters(plugins: Plugins, texts: Sequence[str], settings: Settings) -> 'list[ImageFilter]':
    """Return the filters written as `name:key=value,…`, in order; raises UsageError for an unknown filter or option,
    PluginError."""
    if not texts:
        return []
    from occystrap_core.api.image_filter import ImageFilter
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


def require_deltas(plugins: Plugins, location: Location) -> None:
    """Raise UsageError unless what is written to a location may leave out blobs."""
    if not plugins.find(WriterScheme, location.scheme).deltas(location):
        raise UsageError(f'--since writes a delta, and {location} only takes complete images: write the delta '
                         'to tar://FILE?format=oci or layout://PATH, and load that')


def require_removable(plugins: Plugins, location: Location) -> None:
    """Raise UsageError unless images can be removed at a destination; one that holds a single image is not such."""
    scheme = plugins.find(WriterScheme, location.scheme)
    if scheme.removes and scheme.many.needs and not location.options.get(scheme.many.needs):
        raise UsageError(f'{location} holds one image, which is not pruned: leave out prune=true, or give '
                         f'?{scheme.many.needs}=true')
    if not scheme.removes:
        able = sorted(f'{each.name}://' for _, each in plugins.declared(WriterScheme) if each.removes)
        raise UsageError(f'{location}: images there cannot be pruned, only those at {" and ".join(able)}: leave out '
                         'prune=true')


def _made(expected: Any, factory: str, *arguments: object) -> Any:
    """Return the result of `factory(*arguments)`; raises PluginError if it is not of class `expected`, or abstract."""
    try:
        made = load(factory)(*arguments)
    except TypeError as error:  # such as a missing abstract method
        raise PluginError(f'{factory} cannot be used: {error}') from error
    if not isinstance(made, expected):
        names = ' or '.join(each.__name__ for each in get_args(expected) or (expected,))
        raise PluginError(f'{factory} returned a {type(made).__name__}, expected a {names}')
    return made


def _location(scheme: InputScheme | WriterScheme, uri: str) -> Location:
    return Location.parse(uri, scheme.all_options, scheme.name)
