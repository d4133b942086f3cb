"""What Go's types refuse in a config is found, and nothing else."""
from typing import Any

import pytest

from occystrap_core.checks.config_fields import wrong_fields

RIGHT: list[dict[str, Any]] = [
    {}, {'created': None, 'config': None, 'history': None}, {'created': '0001-01-01T00:00:00Z'},
    {'created': '0000-02-29T23:59:59.123456789-11:30', 'unheard': 5}, {'config': {'Env': None, 'Unheard': [1]}},
    {'config': {'Env': ['A=b', None], 'Cmd': [], 'ExposedPorts': {'80/tcp': {}, '81/tcp': None}, 'Labels': {'a': 'b'},
                'StopTimeout': 5, 'ArgsEscaped': True, 'Healthcheck': {'Test': ['NONE'], 'Interval': 5000000000}}},
    {'history': [{'created': '2026-01-31T12:00:00Z', 'created_by': 'x', 'empty_layer': False}, {}]}]
WRONG: list[tuple[dict[str, Any], str]] = [
    *(({'created': each}, 'created is not a time such as 2026-01-31T12:00:00Z') for each in (
        '', 5, 'yesterday', '2026-01-31T12:00:00', '2026-01-31 12:00:00Z', '2026-02-30T12:00:00Z',
        '2026-01-31T24:00:00Z', '2026-01-31t12:00:00Z', '2026-01-31T12:00:00,5Z', '20260131T120000Z')),
    ({'author': 5}, 'author is not a string'), ({'os.features': 'x'}, 'os.features is not a list of strings'),
    ({'config': 'x'}, 'config is not an object'), ({'config': {'Env': 'A=b'}}, 'config.Env is not a list of strings'),
    ({'config': {'Cmd': [1]}}, 'config.Cmd is not a list of strings'),
    ({'config': {'ExposedPorts': ['80/tcp']}}, 'config.ExposedPorts is not an object of empty objects'),
    ({'config': {'Labels': {'a': 1}}}, 'config.Labels is not an object of strings'),
    ({'config': {'StopTimeout': 5.5}}, 'config.StopTimeout is not a whole number'),
    ({'config': {'Healthcheck': {'Interval': '5s'}}}, 'config.Healthcheck.Interval is not a whole number'),
    ({'container_config': {'User': 0}}, 'container_config.User is not a string'),
    ({'history': [{}, {'created': 'x'}]}, 'history[1].created is not a time such as 2026-01-31T12:00:00Z'),
    ({'history': [{'empty_layer': 'no'}]}, 'history[0].empty_layer is not true or false')]


@pytest.mark.parametrize('config', RIGHT)
def test_what_go_reads_is_right(config: dict[str, Any]) -> None:
    assert list(wrong_fields(config)) == []


@pytest.mark.parametrize(('config', 'line'), WRONG)
def test_what_go_refuses_is_found(config: dict[str, Any], line: str) -> None:
    assert list(wrong_fields(config)) == [line]
