"""A host that does not answer is asked less and less; every failure says so, and one answer ends it."""
import socket
import threading

import pytest

from occystrap_core import ServiceUnavailable, Settings
from occystrap_registry.distribution.client import RegistryClient
from occystrap_registry.transport import retries, silence
from tests.services.ports import free_port
from tests.services.silent_listener import listener
from tests.unit.registry.scripted import Answer, Scripted, client_of


@pytest.fixture(autouse=True)
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, '_FIRST', 0.001)


def ask(client: RegistryClient) -> str:
    """Return the error of a request."""
    with pytest.raises(ServiceUnavailable) as caught:
        client.fetch('GET', '/x', 's')
    return str(caught.value)


def test_after_three_failures_each_request_has_one_attempt() -> None:
    settings = Settings(retries=2)
    with listener(holds=False) as silent:
        client = client_of(silent.host, settings)
        client.find_base()
        counts = []
        for _ in range(6):
            before = silent.connections
            assert f'{silent.host} cannot be reached' in ask(client)
            counts.append(silent.connections - before)
    assert counts == [3, 3, 3, 1, 1, 1]


def test_a_closed_port_that_opens_is_used_at_once(server: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(retries=2)
    port = free_port()
    client = client_of(f'127.0.0.1:{port}', settings)
    for _ in range(5):
        assert 'connection refused' in ask(client)
    assert settings.requests.retries == 3  # one each, until three had failed
    server.routes['GET /x'] = Answer(200)
    with socket.create_server(('127.0.0.1', port)) as late:
        threading.Thread(target=_answer_once, args=(late,), daemon=True).start()
        assert client.fetch('GET', '/x', 's').status == 200
    assert 'connection refused' in ask(client)
    assert settings.requests.retries == 4  # it has all attempts again


def test_a_host_that_times_out_is_not_asked_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = Settings(retries=0, timeout=0.1)
    with listener(holds=True) as silent:
        client = client_of(silent.host, settings)
        client.find_base()
        for _ in range(3):
            assert ask(client) == f'{silent.host} did not answer in time (--timeout)'
        before = silent.connections
        for _ in range(20):
            assert ask(client) == (f'{silent.host} did not answer in time (--timeout); not tried again: the '
                                   'last 3 requests had no answer')
        assert silent.connections == before
        monkeypatch.setattr(silence, '_PAUSE', 0.0)
        silence.Silence.of(silent.host, settings).unanswered('asked long ago', timed_out=True)
        assert 'did not answer in time' in ask(client) and silent.connections == before + 1


def test_one_answer_ends_the_count(server: Scripted) -> None:
    settings = Settings(retries=1, timeout=5)
    server.routes['GET /bad'] = Answer(silent=True)
    server.routes['GET /x'] = Answer(404)
    client = client_of(server.host, settings)
    for _ in range(4):
        for _ in range(2):
            with pytest.raises(ServiceUnavailable):
                client.fetch('GET', '/bad', 's')
        assert client.fetch('GET', '/x', 's').status == 404
    assert len(server.received('GET', '/bad')) == 16


@pytest.mark.parametrize(('status', 'counts'), [(502, [3, 3, 3, 1, 1]), (503, [3, 3, 3, 1, 1]), (504, [3, 3, 3, 1, 1]),
                                                (500, [3, 3, 3, 3, 3]), (429, [3, 3, 3, 3, 3]), (404, [1, 1, 1, 1, 1])])
def test_a_proxy_before_a_host_that_is_down(status: int, counts: list[int], server: Scripted) -> None:
    """Only what a proxy says of a dead host counts as silence; one answer of the host itself ends it."""
    settings = Settings(retries=2, longest_wait=0.001)
    server.routes['GET /x'] = Answer(status)
    client = client_of(server.host, settings)
    found = []
    for _ in counts:
        before = len(server.received('GET', '/x'))
        assert client.fetch('GET', '/x', 's').status == status
        found.append(len(server.received('GET', '/x')) - before)
    assert found == counts
    server.routes['GET /y'] = Answer(200)
    assert client.fetch('GET', '/y', 's').status == 200
    before = len(server.received('GET', '/x'))
    client.fetch('GET', '/x', 's')
    assert len(server.received('GET', '/x')) - before == counts[0]


def test_one_host_s_silence_is_not_another_s(server: Scripted) -> None:
    settings = Settings(retries=1)
    for _ in range(4):
        ask(client_of(f'127.0.0.1:{free_port()}', settings))
    server.routes['GET /x'] = [Answer(silent=True), Answer(200)]
    assert client_of(server.host, settings).fetch('GET', '/x', 's').status == 200


def _answer_once(late: socket.socket) -> None:
    connection = late.accept()[0]
    with connection:
        connection.recv(4096)
        connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n')
