"""Plans: a file with images, their destinations, and how to copy them. The format is in docs/plans-and-lists.md."""
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar
from urllib.parse import quote

from occystrap_core.api.image_list import ImageList, ListedImage
from occystrap_core.api.uri import parse_filter, parse_uri
from occystrap_core.errors import UsageError, nearest
from occystrap_core.oci.platform import PlatformChoice
from occystrap_core.sources.source_file import Problems, file_name, read_text, source_uri

_SHARED = ('destination', 'destinations', 'platform', 'filters')
T = TypeVar('T')


class Defaults(NamedTuple):
    """Values for every image without its own; `options` are of the sources' URIs."""

    destinations: Sequence[str] = ()
    platform: str | None = None
    filters: Sequence[str] | None = None
    options: Mapping[str, str] = MappingProxyType({})


def read_defaults(written: Mapping[str, Any], problems: Problems) -> Defaults:
    """Return the table `defaults`; mistakes are added to `problems`."""
    unknown_keys(written, (*_SHARED, 'options'), 'defaults', problems)
    destinations, platform, filters = _read_shared(written, 'defaults', problems)
    options = _read(_options, written.get('options'), 'defaults: options', problems)
    return Defaults(destinations, platform, filters, options or {})


def read_image(written: Mapping[str, Any], defaults: Defaults, where: str, file: str, problems: Problems,
               ) -> ListedImage | None:
    """Return one image with the defaults filled in, None if it has no valid source; `problems` has the reasons."""
    unknown_keys(written, ('source', *_SHARED), where, problems)
    destinations, platform, filters = _read_shared(written, where, problems)
    source = _read(partial(_source, defaults=defaults), written.get('source', ''), f'{where}: source', problems)
    if source is None:
        return None
    return ListedImage(source, destinations or defaults.destinations, platform or defaults.platform,
                       defaults.filters if filters is None else filters, f'{file}, {where}')


def unknown_keys(written: Mapping[str, Any], known: Sequence[str], where: str, problems: Problems) -> None:
    """Report every unknown key, with the nearest known one."""
    for key in written:
        if key not in known:
            problems.add(f'{where}: unknown key {str(key)[:50]!r}{nearest(str(key)[:50], known)}')


def _read_shared(written: Mapping[str, Any], where: str, problems: Problems,
                 ) -> tuple[Sequence[str], str | None, Sequence[str] | None]:
    """Return destinations, platform and filters; nothing or None if the table does not have them."""
    one = _read(_destination, written.get('destination'), f'{where}: destination', problems)
    several = _read(_destinations, written.get('destinations'), f'{where}: destinations', problems)
    if one and several:
        problems.add(f'{where}: destination and destinations are both given: leave out one')
    return (several or ((one,) if one else ()),
            _read(_platform, written.get('platform'), f'{where}: platform', problems),
            _read(_filters, written.get('filters'), f'{where}: filters', problems))


def _read(read: Callable[[Any], T], value: object, where: str, problems: Problems) -> T | None:
    """Return the result of `read` for a value, None if there is none, or it is malformed, which is reported."""
    try:
        return None if value is None else read(value)
    except UsageError as error:
        problems.add(f'{where}: {error}')
        return None


def _source(value: object, defaults: Defaults) -> str:
    text = _text(value, 'a URI or a reference')
    uri = source_uri(text)
    given = parse_uri(uri).options
    added = '&'.join(f'{quote(name)}={quote(option)}' for name, option in defaults.options.items() if name not in given)
    return f'{uri}{"&" if "?" in uri else "?"}{added}' if added else uri


def _destination(value: object) -> str:
    text = _text(value, 'a URI')
    parse_uri(text)
    return text


def _destinations(value: object) -> Sequence[str]:
    if not isinstance(value, list) or not value:
        raise UsageError("a list of URIs is expected, such as ['registry://a.example/app:v1', 'layout://mirror']")
    return tuple(_destination(each) for each in value)


def _platform(value: object) -> str:
    text = _text(value, 'text such as linux/amd64')
    PlatformChoice.parse(text)
    return text


def _filters(value: object) -> Sequence[str]:
    if not isinstance(value, list):
        raise UsageError("a list is expected, such as ['normalize-timestamps']")
    texts = [_text(each, 'text such as normalize-timestamps:ts=0') for each in value]
    for text in texts:
        parse_filter(text)
    return texts


def _options(value: object) -> Mapping[str, str]:
    if not isinstance(value, dict):
        raise UsageError('a table of options of the sources is expected')
    return {_text(name, 'text as name'): _option_text(each) for name, each in value.items()}


def _option_text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str | int | float):
        raise UsageError('text, a number, true or false is expected as value')
    return str(value)


def _text(value: object, expected: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise UsageError(f'{expected} is expected')
    return value.strip()


_YAML = ('.yaml', '.yml')
_YAML_CAP = 1 << 20
"""Most bytes of YAML, which is parsed a hundred times more slowly than TOML."""


class _Shape(NamedTuple):
    """The top level of a plan."""

    defaults: Mapping[str, Any]
    images: list[Any]


class Plan(ImageList):
    """The images of a plan: `plan://mirror.toml`, `plan://mirror.yaml`, or TOML from stdin with `plan://-`."""

    def entries(self) -> Iterable[ListedImage]:
        """Return the images, in order; raises UsageError with all mistakes in the file."""
        name = file_name(self.location.path)
        document, problems = _read_document(self.location.path), Problems(name)
        shape = _shape(document, problems)
        defaults = read_defaults(shape.defaults, problems)
        found = [_image(name, number, each, defaults, problems) for number, each in enumerate(shape.images, 1)]
        problems.report()
        return [each for each in found if each]


def _image(name: str, number: int, written: object, defaults: Defaults, problems: Problems) -> ListedImage | None:
    where = f'image {number}'
    if not isinstance(written, dict):
        problems.add(f'{where}: a table with source, destination, platform, filters is expected')
        return None
    return read_image(written, defaults, where, name, problems)


def _shape(document: Mapping[str, Any], problems: Problems) -> _Shape:
    unknown_keys(document, ('defaults', 'images'), 'the plan', problems)
    defaults, images = document.get('defaults') or {}, document.get('images')
    if not isinstance(defaults, dict):
        problems.add('defaults: a table is expected')
        defaults = {}
    if not isinstance(images, list) or not images:
        problems.add('there are no images: a list of tables called images is expected, [[images]] in TOML')
        images = []
    return _Shape(defaults, images)


def _read_document(path: str) -> Mapping[str, Any]:
    """Return the document; raises UsageError, with the line, for malformed TOML or YAML."""
    yaml = path.lower().endswith(_YAML)
    try:
        document = _parse_yaml(path) if yaml else _parse_toml(path)
    except RecursionError:
        raise UsageError(f'{file_name(path)}: values are nested too deep') from None
    if not isinstance(document, dict):
        raise UsageError(f'{file_name(path)}: a plan is expected, with images')
    return document


def _parse_toml(path: str) -> Any:
    try:
        return tomllib.loads(read_text(path))
    except ValueError as error:  # TOMLDecodeError, and errors of int() and dates
        raise UsageError(f'{file_name(path)} is no TOML: {error}') from None


def _parse_yaml(path: str) -> Any:
    from occystrap_core.sources.yaml_document import parse_yaml  # few plans are YAML, and its parser is slow to import
    return parse_yaml(read_text(path, _YAML_CAP), file_name(path))
