"""Reading JSON of other programs: size limit, strict syntax, field names as Go reads them, errors that name document
and field."""
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Generic, NoReturn, TypeVar

from occystrap_core.errors import InvalidImage
from occystrap_core.oci.field_names import AMBIGUOUS, EXACT, STRICT, FieldNames, NameReader

MANIFEST_CAP = 4 << 20
"""The largest size of a manifest or index, in bytes."""
LARGEST = (1 << 63) - 1
"""The largest integer that programs in Go can hold."""
DEEPEST = 128
"""The deepest nesting; real documents have a depth of about ten, and deeper ones exhaust the stack of programs that
walk or write them."""

T = TypeVar('T')


def parse_object(raw: bytes, what: str, cap: int = MANIFEST_CAP, names: FieldNames = EXACT) -> dict[str, Any]:
    """Return the JSON object in `raw`; raises InvalidImage, naming `what`, if it is another value or as `parse_json`.
    """
    value = parse_json(raw, what, cap, names)
    if not isinstance(value, dict):
        raise InvalidImage(f'{what} is not a JSON object')
    return value


def parse_json(raw: bytes, what: str, cap: int = MANIFEST_CAP, names: FieldNames = EXACT) -> Any:
    """Return the JSON value in `raw`. Fields are spelled as in `names`, whatever their case in `raw`.

    Bytes that are not UTF-8 become U+FFFD, as in Go, but are refused where fields are STRICT.
    Raises InvalidImage, naming `what`, if `raw` is not JSON, has over `cap` bytes, or has a name twice.
    """
    if len(raw) > cap:
        raise InvalidImage(f'{what} has {len(raw)} bytes, more than the {cap} allowed')
    reader = NameReader(names)
    try:
        text = raw.decode(errors='strict' if names is STRICT else 'replace')
        value = reader.whole(json.loads(text, parse_constant=refuse_constant, parse_float=finite,
                                        object_pairs_hook=reader.object))
        if raw.count(b'[') + raw.count(b'{') > DEEPEST and _is_too_deep(value):
            raise ValueError(f'values are nested more than {DEEPEST} deep')
    except (ValueError, RecursionError) as error:
        raise InvalidImage(f'{what} is not valid JSON: {_reason(error)}') from None
    if reader.ambiguous:
        raise InvalidImage(f'{what} is ambiguous: {reader.ambiguous}, and programs differ in which one they use; keep '
                           'only one', AMBIGUOUS)
    return value


def _reason(error: ValueError | RecursionError) -> str:
    """Return what is wrong, where Python's own text tells of its stack, or how to change its limit of 4,300 digits."""
    if isinstance(error, RecursionError):
        return 'values are nested too deep'
    text = str(error)
    return 'a number has too many digits' if 'integer string conversion' in text else text


def refuse_constant(constant: str) -> NoReturn:
    """Raise ValueError for NaN and Infinity, which only Python reads."""
    raise ValueError(f'{constant} is not a JSON number')


def finite(text: str) -> float:
    """Return a number; raises ValueError if it is too large for one."""
    number = float(text)
    if math.isinf(number):
        raise ValueError(f'{text[:50]} is too large a number')
    return number


def _is_too_deep(value: object) -> bool:
    """Return whether objects and arrays are nested more than `DEEPEST` deep, without recursion."""
    level: Sequence[object] = [value]
    for _ in range(DEEPEST):
        level = [inner for outer in level if isinstance(outer, dict | list)
                 for inner in (outer.values() if isinstance(outer, dict) else outer)]
    return any(isinstance(each, dict | list) for each in level)


def required_field(document: Mapping[str, Any], name: str, kind: type[T], what: str) -> T:
    """Return field `name` of `document`; raises InvalidImage if it is missing or not a `kind`."""
    value = document.get(name)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise InvalidImage(f'{what}: field {name!r} is missing or not a {kind.__name__}')
    return value


def list_or_null(document: Mapping[str, Any], name: str, what: str) -> list[Any]:
    """Return a list field; Go writes an empty list as null or leaves it out. Raises InvalidImage for any other value.
    """
    return [] if document.get(name) is None else required_field(document, name, list, what)


def dump_json(document: Mapping[str, Any]) -> bytes:
    """Return `document` as JSON, the same bytes for the same value on every machine."""
    try:
        return json.dumps(document, separators=(',', ':'), ensure_ascii=False).encode()
    except UnicodeEncodeError:  # half a surrogate pair: JSON can escape it, UTF-8 cannot encode it
        return json.dumps(document, separators=(',', ':')).encode()


class ParsedContents(Generic[T]):
    """What the last few contents were parsed to. The file itself is read each time: only equal bytes are the same."""

    def __init__(self, most: int = 4) -> None:
        """Keep at most `most` contents."""
        self._most = most
        self._values: dict[bytes, T] = {}

    def get(self, raw: bytes) -> T | None:
        """Return the value of a content, None if it is unknown. The value must not be changed."""
        return self._values.get(raw)

    def keep(self, raw: bytes, value: T) -> None:
        """Keep the value of a content; the oldest is forgotten."""
        self._values[raw] = value
        while len(self._values) > self._most:
            self._values.pop(next(iter(self._values)), None)
