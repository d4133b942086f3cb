"""Fields of configs that copying does not need, and whose types make programs in Go refuse the image.

These are the fields of image-spec config.md, and those that Docker adds; null is a value of each type.
"""
import re
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from typing import Any

_Test = Callable[[Any], bool]
_TIME = re.compile(r'(\d{4})-(\d\d)-(\d\d)T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d+)?'
                   r'(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)', re.ASCII)
"""RFC 3339, as Go parses it: no other form of ISO 8601."""
_LEAP_YEAR = 2000


def _is_time(value: Any) -> bool:
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    try:
        return bool(found and date(int(found[1]) or _LEAP_YEAR, int(found[2]), int(found[3])))
    except ValueError:  # such as 30 February
        return False


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and -2**63 <= value < 2**63


def _is_truth(value: Any) -> bool:
    return isinstance(value, bool)


def _is_list(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str | None) for each in value)


def _is_set(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(each, dict | None) for each in value.values())


def _is_mapping(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(each, str | None) for each in value.values())


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _fields(**names: _Test) -> dict[str, _Test]:
    """Return the test of each field, from several names in one word, separated by two underscores."""
    return {name: test for several, test in names.items() for name in several.split('__')}


_KINDS: dict[_Test, str] = {
    _is_time: 'a time such as 2026-01-31T12:00:00Z', _is_text: 'a string', _is_whole: 'a whole number',
    _is_truth: 'true or false', _is_list: 'a list of strings', _is_set: 'an object of empty objects',
    _is_mapping: 'an object of strings', _is_object: 'an object'}
_IMAGE = {**_fields(created=_is_time, author__comment__docker_version__id__parent__container=_is_text,
                    config__container_config=_is_object), 'os.features': _is_list}
_RUN = _fields(User__WorkingDir__StopSignal__Hostname__Domainname=_is_text, ArgsEscaped=_is_truth, Labels=_is_mapping,
               Env__Entrypoint__Cmd__OnBuild__Shell=_is_list, ExposedPorts__Volumes=_is_set, StopTimeout=_is_whole,
               Healthcheck=_is_object)
_HEALTH = _fields(Test=_is_list, Interval__Timeout__StartPeriod__StartInterval__Retries=_is_whole)
_STEP = _fields(created=_is_time, created_by__author__comment=_is_text, empty_layer=_is_truth)


def wrong_fields(config: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each field of another type than it must have."""
    yield from _wrong(config, _IMAGE, '')
    for name in ('config', 'container_config'):
        run = config.get(name)
        if isinstance(run, dict):
            yield from _wrong(run, _RUN, f'{name}.')
            if isinstance(health := run.get('Healthcheck'), dict):
                yield from _wrong(health, _HEALTH, f'{name}.Healthcheck.')
    steps = config.get('history')
    for number, step in enumerate(steps if isinstance(steps, list) else ()):
        if isinstance(step, dict):
            yield from _wrong(step, _STEP, f'history[{number}].')


def _wrong(values: Mapping[str, Any], tests: Mapping[str, _Test], above: str) -> Iterator[str]:
    for name, test in tests.items():
        value = values.get(name)
        if value is not None and not test(value):
            yield f'{above}{name} is not {_KINDS[test]}'
