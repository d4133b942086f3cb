"""Whose credentials are used for which host."""
import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest

from occystrap_core import UsageError
from occystrap_registry.credentials import stored_credentials


def write_config(document: Any) -> Path:
    path = Path(os.environ['DOCKER_CONFIG'], 'config.json')
    path.parent.mkdir()
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def auth(text: str) -> dict[str, str]:
    return {'auth': base64.b64encode(text.encode()).decode()}


def test_without_anything_there_are_none() -> None:
    assert stored_credentials('quay.io') is None


def test_environment_wins_over_docker_config(monkeypatch: pytest.MonkeyPatch) -> None:
    write_config({'auths': {'quay.io': auth('config:secret')}})
    assert stored_credentials('quay.io') == ('config', 'secret')
    monkeypatch.setenv('OCCYSTRAP_USERNAME', 'environment')
    assert stored_credentials('quay.io') == ('config', 'secret')
    monkeypatch.setenv('OCCYSTRAP_PASSWORD', 'secret2')
    assert stored_credentials('quay.io') == ('environment', 'secret2')


def test_hosts_match_exactly() -> None:
    write_config({'auths': {'quay.io': auth('a:1'), 'quay.io:5000': auth('b:2:3'), 'https://x.example/v1/': auth('c:4'),
                            'y.example/team': auth('d:5')}})
    assert stored_credentials('quay.io') == ('a', '1')
    assert stored_credentials('quay.io:5000') == ('b', '2:3')
    assert stored_credentials('x.example') == ('c', '4')
    for other in ('quay.io.evil', 'evil.quay.io', 'quay.io:443', 'io', 'x.example:1', 'y.example'):
        assert stored_credentials(other) is None


def test_docker_hub_has_an_old_name() -> None:
    write_config({'auths': {'https://index.docker.io/v1/': auth('hub:secret')}})
    assert stored_credentials('registry-1.docker.io') == ('hub', 'secret')


@pytest.mark.parametrize('document', [{}, [], {'auths': None}, {'auths': []}, {'auths': {'quay.io': None}},
                                      {'auths': {'quay.io': {}}}, {'auths': {'quay.io': {'auth': '%%%'}}},
                                      {'auths': {'quay.io': auth('no colon')}}, {'auths': {'quay.io': {'auth': 1}}}])
def test_entries_without_credentials(document: Any) -> None:
    write_config(document)
    assert stored_credentials('quay.io') is None


def test_broken_config_is_named_but_not_shown() -> None:
    path = write_config('{"auths": {"quay.io": {"auth": "canary')
    with pytest.raises(UsageError, match=str(path)) as caught:
        stored_credentials('quay.io')
    assert 'canary' not in str(caught.value)
