"""The keys of a plan's tables: how each value is read, and what a JSON schema says of it, from one table."""
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from occystrap_core.api.selection_options import SELECTION
from occystrap_core.api.uri import parse_filter, parse_uri
from occystrap_core.errors import UsageError
from occystrap_core.oci.platform import PlatformChoice

Schema = Mapping[str, Any]
TEXT: Schema = {'type': 'string', 'minLength': 1}
_SCALAR: Schema = {'type': ['string', 'number', 'boolean']}
TEXTS: Schema = {'type': 'array', 'items': TEXT}


class Key(NamedTuple):
    """One key: `read` returns its value, or raises UsageError; `option` marks keys that are options of the source."""

    read: Callable[[Any], Any]
    schema: Schema
    help: str
    option: bool = False


def text_of(value: object, expected: str) -> str:
    """Return a text without white space around it; raises UsageError for anything else, and for an empty one."""
    if not isinstance(value, str) or not value.strip():
        raise UsageError(f'expected {expected}')
    return value.strip()


def texts_of(value: object, expected: str) -> Sequence[str]:
    """Return a list of texts; raises UsageError."""
    if not isinstance(value, list):
        raise UsageError(f'expected a list, such as {expected}')
    return [text_of(each, f'text in a list, such as {expected}') for each in value]


def _destination(value: object) -> str:
    text = text_of(value, 'a URI')
    parse_uri(text)
    return text


def _destinations(value: object) -> Sequence[str]:
    if not isinstance(value, list) or not value:
        raise UsageError("expected a list of URIs, such as ['registry://a.example/app:v1', 'layout://mirror']")
    return tuple(_destination(each) for each in value)


def _platform(value: object) -> str:
    text = text_of(value, 'text such as linux/amd64')
    PlatformChoice.parse(text)
    return text


def _filters(value: object) -> Sequence[str]:
    texts = texts_of(value, "['normalize-timestamps:ts=0']")
    for text in texts:
        parse_filter(text)
    return texts


def _options(value: object) -> Mapping[str, str]:
    if not isinstance(value, dict):
        raise UsageError('expected a table of options of the sources')
    return {text_of(name, 'text as name'): _option(each) for name, each in value.items()}


def _option(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str | int | float):
        raise UsageError('expected text, a number, true or false as value')
    return str(value)


def _switch(value: object) -> str:
    if not isinstance(value, bool):
        raise UsageError('expected true or false')
    return str(value).lower()


def _patterns(value: object) -> str:
    """Return patterns in the form of the option: separated by commas."""
    return ','.join(texts_of(value, "[':*-rc*']")) if isinstance(value, list) else text_of(value, 'a list of patterns')


def _selection() -> dict[str, Key]:
    """Return the keys for the options of selection, which are read like the options, and for referrers."""
    keys = {}
    for option in SELECTION:
        read = _checked(_patterns if option.type.repeatable else _option, option.type.parse)
        schema: Schema = {'anyOf': [TEXT, TEXTS]} if option.type.repeatable else _SCALAR
        choices = option.type.name.split('|')
        if len(choices) > 1:
            schema = {'enum': [*choices, *(each == 'true' for each in choices if each in ('true', 'false'))]}
        elif option.type.name == 'number':
            schema = {'type': 'integer', 'minimum': 1}
        keys[option.name] = Key(read, schema, option.help, option=True)
    return {**keys, 'referrers': Key(_switch, {'type': 'boolean'}, 'copy the referrers of the images, too: signatures, '
                                     'SBOMs, attestations', option=True)}


def _checked(read: Callable[[Any], str], parse: Callable[[str], Any]) -> Callable[[Any], str]:
    def checked(value: Any) -> str:
        text = read(value)
        try:
            parse(text)
        except ValueError as error:
            raise UsageError(str(error)) from None
        return text
    return checked


SHARED: Mapping[str, Key] = {
    'destination': Key(_destination, TEXT, 'where to: a URI, with fields such as {repository}:{tag}'),
    'destinations': Key(_destinations, {**TEXTS, 'minItems': 1}, 'several of them, instead of destination'),
    'platform': Key(_platform, TEXT, "'linux/amd64', 'linux/amd64,linux/arm64', 'host' or 'all'"),
    'filters': Key(_filters, TEXTS, 'as --filter on the command line; [] for none'),
    'options': Key(_options, {'type': 'object', 'additionalProperties': _SCALAR}, 'options of the source'),
    **_selection(),
}
"""Keys of [defaults] and of each image."""
SOURCE = Key(lambda value: text_of(value, 'a URI or a reference'), TEXT, 'a URI, or a reference as in a list')
TOP = ('defaults', 'images', 'include')


def plan_schema() -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of a plan, for editors."""
    shared = {name: {'description': key.help, **key.schema} for name, key in SHARED.items()}
    image = {'source': {'description': SOURCE.help, **SOURCE.schema}, **shared}
    closed = {'type': 'object', 'additionalProperties': False}
    images = {'type': 'array', 'minItems': 1, 'items': {**closed, 'required': ['source'], 'properties': image}}
    include = {'description': 'plans whose images belong to this one; relative to this file', **TEXTS, 'minItems': 1}
    return {'$schema': 'https://json-schema.org/draft/2020-12/schema', 'title': 'A plan of occystrap', **closed,
            'properties': {'defaults': {**closed, 'properties': shared}, 'images': images, 'include': include},
            'anyOf': [{'required': ['images']}, {'required': ['include']}]}
