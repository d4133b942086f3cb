"""Reading the JSON of image configs, whose unused fields may have values that Go skips and Python cannot represent."""
import json
import re
from typing import Any

from occystrap_core.errors import InvalidImage
from occystrap_core.oci.documents import DEEPEST, MANIFEST_CAP, finite, parse_object, refuse_constant
from occystrap_core.oci.field_names import AMBIGUOUS, CONFIG_FIELDS, FieldNames, NameReader

CONFIG_CAP = 8 << 20
"""The largest size of a config, in bytes: docker and umoci run images with larger ones than a manifest may be."""
_MOST_VALUES = 100_000
"""How many objects and arrays a config may have that is larger than a manifest may be, since each takes memory."""
_GO_DEEPEST = 10_000
"""The deepest nesting that Go's encoding/json reads."""
_MOST_DIGITS = 4000
_TOKEN = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|["\[\]{}]', re.DOTALL)
"""A text, a bracket, or a quote that begins a text without an end."""
_CLOSED_BY = {'[': ']', '{': '}'}


def parse_config_whole(raw: bytes, what: str = 'the config', names: FieldNames = CONFIG_FIELDS) -> dict[str, Any]:
    """Return all of a config, in order to write it again; raises InvalidImage also for values that `parse_config`
    drops."""
    if len(raw) > MANIFEST_CAP and raw.count(b'{') + raw.count(b'[') > _MOST_VALUES:
        raise InvalidImage(f'{what} has {len(raw)} bytes and more than {_MOST_VALUES} objects and arrays')
    return parse_object(raw, what, CONFIG_CAP, names)


def parse_config(raw: bytes, what: str = 'the config', names: FieldNames = CONFIG_FIELDS) -> dict[str, Any]:
    """Return the content of a config, with null in place of too large numbers and too deep nesting, which no program
    reads.

    Raises InvalidImage, which names `what`.
    """
    try:
        return parse_config_whole(raw, what, names)
    except InvalidImage as error:
        if error.rule == AMBIGUOUS or len(raw) > MANIFEST_CAP:
            raise
        return _parse_shallow(raw, names, error)


def _parse_shallow(raw: bytes, names: FieldNames, failure: InvalidImage) -> dict[str, Any]:
    """Return the content without too large and too deep values; raises `failure` unless it is a JSON object."""
    reader = NameReader(names)
    try:
        value = reader.whole(json.loads(_without_depth(raw.decode(errors='replace')), parse_constant=refuse_constant,
                                        parse_float=_float, parse_int=_int, object_pairs_hook=reader.object))
    except (ValueError, RecursionError):
        raise failure from None
    if reader.ambiguous or not isinstance(value, dict):
        raise failure
    return value


def _without_depth(text: str) -> str:
    """Return JSON with null for what is nested more than `DEEPEST` deep; raises ValueError where Go gives up."""
    kept, expected, begin = list[str](), list[str](), 0
    for token in _TOKEN.finditer(text):
        if closed_by := _CLOSED_BY.get(token[0]):
            expected.append(closed_by)
            if len(expected) == DEEPEST + 1:
                kept += [text[begin:token.start()], 'null']
        elif len(token[0]) == 1:
            if len(expected) == DEEPEST + 1:
                begin = token.end()
            if not expected or expected.pop() != token[0]:
                raise ValueError
        if len(expected) > _GO_DEEPEST:
            raise ValueError
    return ''.join([*kept, text[begin:]])


def _float(text: str) -> float | None:
    try:
        return finite(text)
    except ValueError:
        return None


def _int(text: str) -> int | None:
    return int(text) if len(text) < _MOST_DIGITS else None
