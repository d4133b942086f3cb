"""Plans: a file with images, their destinations, and how to copy them. The format is in docs/plans-and-lists.md."""
import os
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple
from urllib.parse import quote

from occystrap_core.api.image_list import ImageList, ListedImage
from occystrap_core.api.uri import parse_uri
from occystrap_core.errors import UsageError, nearest
from occystrap_core.sources.plan_keys import SHARED, SOURCE, TOP, Key
from occystrap_core.sources.source_file import Problems, file_name, read_text, source_uri
from occystrap_core.sources.toml_lines import Path, toml_lines

_YAML = ('.yaml', '.yml')
_YAML_CAP = 1 << 20
"""The largest plan in YAML, which is parsed a hundred times more slowly than TOML, in bytes."""
_VARIABLE = re.compile(r'\$\$\{|\$\{(?P<name>[^}]*)\}?')
_NAME = re.compile(r'[A-Za-z_][A-Za-z0-9_]*')
_MOST_PARTS = 64
_PART = r'(?:"[^"\n]*+"|\'[^\'\n]*+\'|[A-Za-z0-9_-]++)[ \t]*+'
_LONG_KEY = re.compile(rf'(?<![A-Za-z0-9_.-])(?:{_PART}\.[ \t]*+){{{_MOST_PARTS}}}')
"""A dotted key that is so long that tomllib would take time and memory quadratic in its length."""
_AT_LINE = re.compile(r'\(at line (\d+), column (\d+)\)$')
_MOST = 100
"""The largest number of files that a plan may include, directly and indirectly."""


class Table(NamedTuple):
    """The values of [defaults] or of an image; `options` are those of the source's URI."""

    values: Mapping[str, Any] = MappingProxyType({})
    options: Mapping[str, str] = MappingProxyType({})

    def over(self, other: 'Table') -> 'Table':
        """Return these values, with missing ones from another table."""
        values = {**other.values, **self.values}
        goes = ('destination', 'destinations')
        if any(name in self.values for name in goes):
            values = {name: value for name, value in values.items() if name not in goes or name in self.values}
        return Table(values, {**other.options, **self.options})


class Plan(ImageList):
    """The images of a plan: `plan://mirror.toml`, `plan://mirror.yaml`, or TOML from stdin with `plan://-`."""

    def entries(self) -> Iterable[ListedImage]:
        """Return the images, in order; raises UsageError with all mistakes in the file and in those that it includes.
        """
        return list(self.stream(sys.maxsize))

    def stream(self, checked: int = 0) -> Iterable[ListedImage]:
        """Yield the images; files included after the first `checked` images are read only when their images are
        reached."""
        self.files = read = list[str]()
        yield from _PlanFile(self.location.path, read, (), Table()).images(checked)


class _PlanFile:
    """One file: the plan itself, or one that it includes."""

    def __init__(self, path: str, read: list[str], within: Sequence[str], given: Table) -> None:
        """`read` collects all files that are read; `within` are the files that include this one, `given` their
        defaults."""
        self._path, self._read, self._within, self._given = path, read, within, given
        self._problems = Problems(file_name(path))
        self._read.append(path)
        document, self._lines = _read_document(path)
        self._document = self._expanded(document, ())

    def images(self, checked: int) -> Iterator[ListedImage]:
        """Yield the images, in order, those of included files last.

        Raises UsageError with all mistakes, also in included files, before the first image. Files included after the
        first `checked` images are read, and may raise, later.
        """
        document = self._document
        self._refuse_unknown(document, TOP, ())
        defaults, images, include = document.get('defaults') or {}, document.get('images'), document.get('include')
        shared = self._table(defaults, SHARED, ('defaults',), 'defaults').over(self._given)
        found: list[ListedImage | None] = []
        if isinstance(images, list) and images:
            found = [self._image(number, each, shared) for number, each in enumerate(images)]
        elif images is not None or not include:
            self._add(('images',), 'there are no images: expected a list of tables called images, [[images]] in '
                      'TOML')
        self._document = {}
        included = enumerate(self._included(include))
        while len(found) < checked and (each := next(included, None)):
            found += self._images_of(*each, shared)
        self._problems.report()
        yield from (each for each in found if each)
        for number, path in included:
            found = []
            yield from self._images_of(number, path, shared)
            self._problems.report()

    def _add(self, path: Path, text: str, part: str = '') -> None:
        """Add a mistake in a part of the plan, with the line of the value at `path`, or of the nearest value above it.
        """
        line = next((self._lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in self._lines), 0)
        self._problems.add(text, line, part)

    def _refuse_unknown(self, written: Mapping[str, Any], known: Sequence[str], path: Path, part: str = '') -> None:
        """Report every unknown key, with the nearest known one."""
        for key in written:
            if key not in known:
                self._add((*path, key), f'unknown key {str(key)[:50]!r}{nearest(str(key)[:50], known)}', part)

    def _table(self, written: object, keys: Mapping[str, Key], path: Path, part: str) -> Table:
        """Return the values of a table; mistakes are reported."""
        if not isinstance(written, dict):
            self._add(path, 'expected a table', part)
            return Table()
        self._refuse_unknown(written, list(keys), path, part)
        values: dict[str, Any] = {}
        for name in [each for each in written if each in keys]:
            try:
                values[name] = keys[name].read(written[name])
            except UsageError as error:
                self._add((*path, name), f'{name}: {error}', part)
        if 'destination' in written and 'destinations' in written:
            self._add((*path, 'destinations'), 'destination and destinations are both given: leave out one', part)
        options = {name: values.pop(name) for name in list(values) if keys[name].option}
        return Table(values, {**values.pop('options', {}), **options})

    def _image(self, number: int, written: object, defaults: Table) -> ListedImage | None:
        """Return an image, with defaults for missing values; None if it has no valid source."""
        path, part = ('images', number), f'image {number + 1}'
        table = self._table(written, {'source': SOURCE, **SHARED}, path, part)
        if not isinstance(written, dict) or 'source' not in table.values:
            if isinstance(written, dict) and 'source' not in written:
                self._add(path, 'source: expected a URI or a reference', part)
            return None
        source = self._source(table, defaults, path, part)
        if source is None:
            return None
        values = table.over(defaults).values
        one = values.get('destination')
        return ListedImage(source, values.get('destinations') or ((one,) if one else ()), values.get('platform'),
                           values.get('filters'), self._problems.where(self._lines.get(path, 0), part))

    def _source(self, table: Table, defaults: Table, path: Path, part: str) -> str | None:
        """Return the URI of a source with its options, which take precedence over defaults; None if it is malformed."""
        try:
            uri = source_uri(table.values['source'])
            given = parse_uri(uri).options
            if twice := sorted(given.keys() & table.options.keys()):
                raise UsageError(f'{twice[0]} is in the URI and a key: leave out one')
        except UsageError as error:
            self._add((*path, 'source'), f'source: {error}', part)
            return None
        options = {name: each for name, each in table.over(defaults).options.items() if name not in given}
        added = '&'.join(f'{quote(name)}={quote(option)}' for name, option in options.items())
        return f'{uri}{"&" if "?" in uri else "?"}{added}' if added else uri

    def _included(self, written: object) -> list[str]:
        """Return the paths of included plans; relative paths are relative to this file."""
        if written is None:
            return []
        if not isinstance(written, list) or not written or not all(isinstance(each, str) and each for each in written):
            self._add(('include',), "include: expected a list of files, such as ['more.toml']")
            return []
        above = '' if self._path == '-' else os.path.dirname(self._path)
        return [os.path.join(above, each) for each in written]

    def _images_of(self, number: int, path: str, defaults: Table) -> list[ListedImage]:
        """Return the images of an included plan; mistakes in it are reported."""
        try:
            return list(self._include(path, defaults))
        except UsageError as error:
            self._add(('include', number), f'include: {error}')
            return []

    def _include(self, path: str, defaults: Table) -> Iterator[ListedImage]:
        chain = [*self._within, self._path]
        if any(os.path.realpath(path) == os.path.realpath(each) for each in chain):
            raise UsageError(f'{path} includes itself: {" → ".join([*chain, path])}')
        if len(self._read) > _MOST:
            raise UsageError(f'more than {_MOST} files are included')
        return _PlanFile(path, self._read, chain, defaults).images(sys.maxsize)

    def _expanded(self, value: Any, path: Path) -> Any:
        """Return a value with `${NAME}` in its texts replaced by variables of the environment; `$${` is `${`."""
        if isinstance(value, dict):
            return {key: self._expanded(each, (*path, key)) for key, each in value.items()}
        if isinstance(value, list):
            return [self._expanded(each, (*path, number)) for number, each in enumerate(value)]
        return _VARIABLE.sub(lambda found: self._variable(found, path), value) if isinstance(value, str) else value

    def _variable(self, found: re.Match[str], path: Path) -> str:
        name = found['name']
        if name is None:
            return '${'
        if not _NAME.fullmatch(name) or not found[0].endswith('}'):
            self._add(path, f'{found[0][:50]!r} is not a variable: write ${{NAME}}, or $${{ for a literal ${{')
        elif name not in os.environ:
            self._add(path, f'the environment variable {name} is not set')
        return os.environ.get(name, 'unset')


def _read_document(path: str) -> tuple[dict[str, Any], Mapping[Path, int]]:
    """Return the document, and the lines of its values; raises UsageError, with the line, for malformed text."""
    try:
        document, lines = _parse_yaml(path) if path.lower().endswith(_YAML) else _parse_toml(path)
    except RecursionError:
        raise UsageError(f'{file_name(path)}: values are nested too deep') from None
    if not isinstance(document, dict):
        raise UsageError(f'{file_name(path)}: expected a plan with images')
    return document, lines


def _parse_toml(path: str) -> tuple[Any, Mapping[Path, int]]:
    text = read_text(path)
    if _LONG_KEY.search(text):
        raise UsageError(f'{file_name(path)}: a key has more than {_MOST_PARTS} parts')
    try:
        return tomllib.loads(text), toml_lines(text)
    except ValueError as error:  # TOMLDecodeError, and errors of int() and dates
        line = _AT_LINE.search(str(error))
        where = Problems(file_name(path)).where(int(line[1]) if line else 0)
        reason = _AT_LINE.sub(r'(column \2)', str(error))
        raise UsageError(f'{where}: not valid TOML: {reason}') from None


def _parse_yaml(path: str) -> tuple[Any, Mapping[Path, int]]:
    from occystrap_core.sources.yaml_document import parse_yaml  # late: few plans are YAML
    return parse_yaml(read_text(path, _YAML_CAP), file_name(path))
