"""Reading the JSON documents of an image: capped, strict, with errors that name the document and the field."""
import json
from collections.abc import Mapping
from typing import Any, NoReturn, TypeVar

from occystrap_core.errors import InvalidImage

MANIFEST_CAP = 4 << 20
"""Most bytes that a manifest, index or config may have."""

T = TypeVar('T')


def parse_object(raw: bytes, what: str, cap: int = MANIFEST_CAP) -> dict[str, Any]:
    """Return the JSON object in `raw`; raises InvalidImage, naming `what`, when it is none or over `cap` bytes."""
    value = parse_json(raw, what, cap)
    if not isinstance(value, dict):
        raise InvalidImage(f'{what} is not a JSON object')
    return value


def parse_json(raw: bytes, what: str, cap: int = MANIFEST_CAP) -> Any:
    """Return the JSON value in `raw`; raises InvalidImage, naming `what`, when it is none or over `cap` bytes."""
    if len(raw) > cap:
        raise InvalidImage(f'{what} has {len(raw)} bytes, more than the {cap} allowed')
    try:
        return json.loads(raw.decode(), parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise InvalidImage(f'{what} is not JSON: {error}') from None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f'{constant} is no JSON number')


def field(document: Mapping[str, Any], name: str, kind: type[T], what: str) -> T:
    """Return field `name` of `document`, which must be a `kind`; raises InvalidImage otherwise."""
    value = document.get(name)
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise InvalidImage(f'{what}: field {name!r} is missing or not a {kind.__name__}')
    return value


def dump(document: Mapping[str, Any]) -> bytes:
    """Return `document` as JSON, the same bytes for the same value on every machine."""
    try:
        return json.dumps(document, separators=(',', ':'), ensure_ascii=False).encode()
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can escape and UTF-8 cannot hold
        return json.dumps(document, separators=(',', ':')).encode()
