"""What operators see of a proxy: whether it and downstream are well, numbers, and a page."""
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from occystrap_core import Settings
from occystrap_registry.commands.server_options import ServerOptions
from occystrap_registry.proxy import readiness, remote
from occystrap_registry.server.operations import with_operations
from occystrap_registry.server.problems import Problem
from occystrap_registry.server.server_thread import ServerSettings
from tests.services.proxied import Proxied, proxied, trusting
from tests.unit.registry.images import HTTP, push
from tests.unit.registry.server.test_metrics import samples

FILTER = 'normalize-timestamps'


@contextmanager
def watched(root: Path, **options: Any) -> Iterator[Proxied]:
    """A proxy as the command runs it."""
    settings, _ = with_operations(ServerSettings(), 'occystrap proxy', 'for a registry', None)
    with proxied(root, [FILTER], served=settings, **options) as proxy:
        yield proxy


def ready(proxy: Proxied) -> httpx.Response:
    return HTTP.get(f'http://{proxy.host}/readyz', timeout=10)


def test_it_is_ready_while_downstream_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                              capsys: pytest.CaptureFixture[str]) -> None:
    with watched(tmp_path) as proxy:
        assert ready(proxy).json() == {'status': 'ok'}
        proxy.down.server.stop()
        assert ready(proxy).status_code == 200, 'an answer is good for seconds'
        monkeypatch.setattr(readiness, '_GOOD', 0.0)
        for _ in range(2):
            answer = ready(proxy)
            assert answer.status_code == 503 and answer.json() == {
                'status': 'downstream does not answer: the log says why'}
        assert capsys.readouterr().err.count('not ready: ') == 1
        assert HTTP.get(f'http://{proxy.host}/healthz').status_code == 200


def test_many_who_ask_whether_it_is_ready_are_one_for_downstream(tmp_path: Path) -> None:
    with watched(tmp_path) as proxy, ThreadPoolExecutor(8) as threads:
        proxy.down.requests.clear()
        assert {answer.status_code for answer in threads.map(lambda _: ready(proxy), range(16))} == {200}
        assert proxy.down.requests.total() <= 2


def test_a_silent_downstream_is_waited_for_a_short_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, '_PATIENCE', 0.3)
    with socket.create_server(('127.0.0.1', 0)) as silent:
        down: Any = SimpleNamespace(host=f'127.0.0.1:{silent.getsockname()[1]}')
        with watched(tmp_path, down=down) as proxy:
            begun = time.monotonic()
            assert ready(proxy).status_code == 503 and time.monotonic() - begun < 3


def test_events_are_counted_and_shown(tmp_path: Path) -> None:
    with watched(tmp_path, upstream=True) as proxy:
        assert proxy.up
        push(proxy.up.host, Settings())
        assert proxy.manifest('app').status_code == 200
        push(proxy.host, trusting(), name='own:v1')

        def refuse(kind: str, data: bytes) -> bytes:
            raise Problem(403, 'DENIED', 'not for you')
        proxy.down.storage.fault = refuse
        with pytest.raises(Exception, match='not for you'):
            push(proxy.host, Settings(retries=0), name='refused:v1')
        found = samples(f'http://{proxy.host}')
        assert found['occystrap_images_total', 'pull', 'verified'] == 1
        assert found['occystrap_images_total', 'push', 'verified'] == 1
        assert found['occystrap_images_total', 'push', 'failed'] >= 1
        page = HTTP.get(f'http://{proxy.host}/').text
        assert page.index('refused:v1') < page.index('own:v1') < page.index('app:v1')
        for text in ('not for you', FILTER, f'{proxy.down.host}/mirror/own:v1', 'for a registry'):
            assert text in page


@pytest.mark.parametrize(('listens', 'host', 'is_here'), [
    ('127.0.0.1', '127.0.0.1:5000', True), ('localhost', '127.0.0.1:5000', True), ('0.0.0.0', 'localhost:5000', True),
    ('::', '[::1]:5000', True), ('registry.example', 'registry.example:5000', True),
    ('127.0.0.1', '127.0.0.2:5000', False), ('127.0.0.1', '127.0.0.1:5001', False),
    ('127.0.0.1', 'registry.example:5000', False),
    ('0.0.0.0', 'registry.example:5000', False), ('127.0.0.1', 'registry.example', False)])
def test_where_a_proxy_would_ask_itself(listens: str, host: str, is_here: bool) -> None:
    options = ServerOptions(listens, 5000, (), None, False, None, None)
    assert options.listens_at(host) is is_here
