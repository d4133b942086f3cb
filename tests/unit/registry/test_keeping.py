"""Keeping and forgetting logins in a file."""
import base64
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from occystrap_core import Settings, UsageError
from occystrap_registry.credentials.credential_search import find_login
from occystrap_registry.credentials.credential_store import forget_login, keep_login
from occystrap_registry.credentials.logins import Login

ME = Login('me', 'se:cret')
HUB = 'https://index.docker.io/v1/'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Docker's config.json, not there yet."""
    return tmp_path / 'docker/config.json'


def auths(path: Path) -> dict[str, Any]:
    kept: dict[str, Any] = json.loads(path.read_text())['auths']
    return kept


def test_kept_credentials_are_found(path: Path) -> None:
    assert keep_login(path, 'quay.io:5000', ME, 5) == str(path)
    assert auths(path) == {'quay.io:5000': {'auth': base64.b64encode(b'me:se:cret').decode()}}
    assert find_login('quay.io:5000', 'app', Settings()) == ME and find_login('quay.io', 'app', Settings()) is None
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_all_else_stays(path: Path) -> None:
    before = {'auths': {'other.example': {'auth': 'eDp5', 'email': 'é'}}, 'HttpHeaders': {'x': ['y']}, 'psFormat': '…'}
    path.parent.mkdir()
    path.write_text(json.dumps(before))
    keep_login(path, 'quay.io', ME, 5)
    assert forget_login(path, 'quay.io', 5)
    assert json.loads(path.read_text()) == before


def test_docker_hub_has_one_key(path: Path) -> None:
    path.parent.mkdir()
    path.write_text(json.dumps({'auths': {'docker.io': {'auth': 'eDp5'}, 'docker.io/team': {'auth': 'eDp6'}}}))
    keep_login(path, 'docker.io', ME, 5)
    assert list(auths(path)) == ['docker.io/team', HUB]
    assert find_login('registry-1.docker.io', 'library/debian', Settings()) == ME
    assert forget_login(path, 'index.docker.io', 5) and list(auths(path)) == ['docker.io/team']


def test_forgetting_what_is_not_there(path: Path) -> None:
    assert not forget_login(path, 'quay.io', 5) and not path.parent.exists()
    keep_login(path, 'quay.io', ME, 5)
    for other in ('quay.io:443', 'io', 'quay.io.evil'):
        assert not forget_login(path, other, 5)
    assert list(auths(path)) == ['quay.io']


def test_parallel_logins_lose_nothing(path: Path) -> None:
    hosts = [f'host{number}.example' for number in range(40)]
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda host: keep_login(path, host, ME, 5), hosts))
    assert sorted(auths(path)) == sorted(hosts)


def test_a_link_stays_a_link(path: Path, tmp_path: Path) -> None:
    path.parent.mkdir()
    (tmp_path / 'real').mkdir()
    path.symlink_to(tmp_path / 'real/config.json')
    keep_login(path, 'quay.io', ME, 5)
    assert path.is_symlink() and auths(tmp_path / 'real/config.json')
    assert os.listdir(path.parent) == ['config.json'] and os.listdir(tmp_path / 'real') == ['config.json']


@pytest.mark.parametrize('text', ['{"auths": ["canary"]}', '{"auths": {"a": "canary', 'canary'])
def test_a_broken_file_is_left_alone(text: str, path: Path) -> None:
    path.parent.mkdir()
    path.write_text(text)
    with pytest.raises(UsageError, match=str(path)) as caught:
        keep_login(path, 'quay.io', ME, 5)
    assert path.read_text() == text and 'canary' not in str(caught.value)


def test_files_of_a_killed_login_are_removed(path: Path) -> None:
    path.parent.mkdir()
    (path.parent / '.config.json-ab12_xyz.partial').write_text('{"auths": {"quay.io": {"auth": "bWU6cGFzc3dvcmQ="}}}')
    (path.parent / '.config.json-mine').write_text('{}')
    keep_login(path, 'quay.io', ME, 5)
    assert sorted(os.listdir(path.parent)) == ['.config.json-mine', 'config.json']


@pytest.mark.parametrize('content', ['[1, 2]', '"text"', '7'])
def test_json_that_holds_no_logins_is_left_alone(path: Path, content: str) -> None:
    path.parent.mkdir()
    path.write_text(content)
    with pytest.raises(UsageError, match='is not a file for logins: choose another file'):
        keep_login(path, 'quay.io', ME, 5)
    assert path.read_text() == content
