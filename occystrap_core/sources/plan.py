"""Plans: a file with images, where each goes, and how. What it may say is in docs/plans-and-lists.md."""
import tomllib
from collections.abc import Iterable, Mapping
from typing import Any

from occystrap_core.errors import UsageError
from occystrap_core.image_list import ImageList, ListedImage
from occystrap_core.sources.plan_entries import Defaults, read_defaults, read_image, unknown_keys
from occystrap_core.sources.reading import Problems, file_name, read_text
from occystrap_core.values import value

_YAML = ('.yaml', '.yml')
_YAML_CAP = 1 << 20
"""Most bytes of YAML, which is read a hundred times slower than TOML."""


@value
class _Shape:
    """What stands at the top of a plan."""

    defaults: Mapping[str, Any]
    images: list[Any]


class Plan(ImageList):
    """The images of a plan: `plan://mirror.toml`, `plan://mirror.yaml`, or TOML from stdin with `plan://-`."""

    def entries(self) -> Iterable[ListedImage]:
        """Return the images, in order; raises UsageError with all that is wrong in the file."""
        name = file_name(self.location.path)
        document, problems = _read(self.location.path), Problems(name)
        shape = _shape(document, problems)
        defaults = read_defaults(shape.defaults, problems)
        found = [_image(name, number, each, defaults, problems) for number, each in enumerate(shape.images, 1)]
        problems.report()
        return [each for each in found if each]


def _image(name: str, number: int, written: object, defaults: Defaults, problems: Problems) -> ListedImage | None:
    where = f'image {number}'
    if not isinstance(written, dict):
        problems.add(f'{where}: a table with source, destination, platform, filters is wanted')
        return None
    return read_image(written, defaults, where, name, problems)


def _shape(document: Mapping[str, Any], problems: Problems) -> _Shape:
    unknown_keys(document, ('defaults', 'images'), 'the plan', problems)
    defaults, images = document.get('defaults') or {}, document.get('images')
    if not isinstance(defaults, dict):
        problems.add('defaults: a table is wanted')
        defaults = {}
    if not isinstance(images, list) or not images:
        problems.add('there are no images: a list of tables called images is wanted, [[images]] in TOML')
        images = []
    return _Shape(defaults, images)


def _read(path: str) -> Mapping[str, Any]:
    """Return the document; raises UsageError, telling the line, for what is no TOML or YAML."""
    yaml = path.lower().endswith(_YAML)
    try:
        document = _parse_yaml(path) if yaml else _parse_toml(path)
    except RecursionError:
        raise UsageError(f'{file_name(path)}: things are nested too deep') from None
    if not isinstance(document, dict):
        raise UsageError(f'{file_name(path)}: a plan is wanted, with images')
    return document


def _parse_toml(path: str) -> Any:
    try:
        return tomllib.loads(read_text(path))
    except ValueError as error:  # TOMLDecodeError, and what int() and dates say of numbers
        raise UsageError(f'{file_name(path)} is no TOML: {error}') from None


def _parse_yaml(path: str) -> Any:
    from occystrap_core.sources.yaml_document import parse_yaml  # few plans are YAML, and its parser takes long to load
    return parse_yaml(read_text(path, _YAML_CAP), file_name(path))
