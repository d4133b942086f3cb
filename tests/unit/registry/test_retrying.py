"""What is tried again, how often, and after how long."""
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest

from occystrap_core import Cancelled, ServiceUnavailable, Settings
from occystrap_registry.transport.failures import explain
from occystrap_registry.transport.retries import backoff, retry_after
from occystrap_registry.transport.transport_errors import ConnectError
from occystrap_registry.transport.url import parse_url
from tests.services.ports import free_port
from tests.unit.registry.scripted import Answer, Scripted, client_of


@pytest.mark.parametrize(('text', 'least', 'most'), [
    ('7', 7, 7), (' 7 ', 7, 7), ('0', 0, 0), ('86400', 86400, 86400), ('-5', 0, 1), ('soon', 0, 1), ('', 0, 1),
    (None, 0, 1), ('1e400', 0, 1),
])
def test_retry_after(text: str | None, least: float, most: float) -> None:
    assert least <= retry_after(text, 0) <= most


@pytest.mark.parametrize(('seconds', 'least', 'most'), [(30, 20, 30), (86400, 86300, 86400), (-86400, 0, 1)])
def test_retry_after_a_date(seconds: float, least: float, most: float) -> None:
    date = datetime.now(timezone.utc) + timedelta(seconds=seconds)
    assert least <= retry_after(format_datetime(date), 0) <= most


@pytest.mark.parametrize(('seconds', 'factor', 'least', 'most'), [(30, 1, 28, 30), (30, 1000, 28, 30), (-9, 1, 0, 1)])
def test_retry_after_seconds_since_1970(seconds: float, factor: int, least: float, most: float) -> None:
    assert least <= retry_after(str(int((time.time() + seconds) * factor)), 0) <= most


def test_waits_grow() -> None:
    assert backoff(3) > 2 * backoff(0) and backoff(10000) > 0
    assert len({backoff(0) for _ in range(10)}) > 1


@pytest.mark.parametrize('seconds', ['86400', '3600', None])
def test_no_wait_is_longer_than_asked_for(seconds: str | None, server: Scripted) -> None:
    settings = Settings(retries=30, longest_wait=0.01)
    server.routes['GET /x'] = Answer(503, headers=[('Retry-After', seconds)] if seconds else [])
    before = time.monotonic()
    assert client_of(server.host, settings).fetch('GET', '/x', 's').status == 503
    assert settings.requests.retries == 30 and time.monotonic() - before < 5


def test_a_limit_of_hours_is_not_waited_for(server: Scripted) -> None:
    settings = Settings(retries=5)
    server.routes['GET /x'] = Answer(429, headers=[('Retry-After', '7200')])
    client = client_of(server.host, settings)
    reply = client.fetch('GET', '/x', 's')
    assert len(server.received('GET', '/x')) == 1
    assert str(client.failure(reply, 'x')) == 'x (HTTP 429); it allows requests again in 120 minutes'


def test_requests_keep_the_pace_that_is_asked_for(server: Scripted) -> None:
    settings = Settings(rate_limit=50)
    server.routes['GET /x'] = Answer(200)
    client = client_of(server.host, settings)
    before = time.monotonic()
    for _ in range(11):
        client_of(server.host, settings).fetch('GET', '/x', 's')
    assert time.monotonic() - before >= 0.2
    settings.cancellation.cancel()
    with pytest.raises(Cancelled):
        for _ in range(3):
            client.fetch('GET', '/x', 's')


@pytest.mark.parametrize('status', [429, 500, 502, 503, 504, 599])
def test_troubles_of_the_server_are_tried_again(status: int, server: Scripted, settings: Settings) -> None:
    server.routes['GET /x'] = [Answer(status), Answer(status), Answer(200, b'there')]
    assert client_of(server.host, settings).fetch('GET', '/x', 's').body == b'there'
    counted = settings.requests
    assert (counted.retries, counted.rate_limits) == ((0, 2) if status == 429 else (2, 0))
    assert counted.requests == len(server.requests)


@pytest.mark.parametrize('status', [400, 402, 404, 405, 409, 413, 416, 418])
def test_other_refusals_are_final(status: int, server: Scripted, settings: Settings) -> None:
    server.routes['GET /x'] = Answer(status)
    assert client_of(server.host, settings).fetch('GET', '/x', 's').status == status
    assert len(server.received('GET', '/x')) == 1 and settings.requests.retries == 0


def test_retries_are_bounded(server: Scripted, settings: Settings) -> None:
    server.routes['GET /x'] = Answer(503)
    assert client_of(server.host, settings).fetch('GET', '/x', 's').status == 503
    assert len(server.received('GET', '/x')) == 1 + settings.retries == 1 + settings.requests.retries


def test_broken_connections_are_tried_again(server: Scripted, settings: Settings) -> None:
    server.routes['GET /x'] = [Answer(silent=True), Answer(200, b'0123456789', cut=3), Answer(200, b'0123456789')]
    assert client_of(server.host, settings).fetch('GET', '/x', 's').body == b'0123456789'
    assert settings.requests.retries == 2


def test_silence_has_a_deadline(server: Scripted) -> None:
    def hang(request: object) -> Answer:
        time.sleep(1.0)
        return Answer()
    server.routes['GET /x'] = hang
    with pytest.raises(ServiceUnavailable, match=f'{server.host} did not answer in time'):
        client_of(server.host, Settings(timeout=0.1, retries=1)).fetch('GET', '/x', 's')


def test_a_port_on_which_nothing_listens(settings: Settings) -> None:
    host = f'127.0.0.1:{free_port()}'
    with pytest.raises(ServiceUnavailable, match=f'connection refused by {host}: is a registry running there'):
        client_of(host, settings).fetch('GET', '/x', 's')
    assert settings.requests.retries == 1


def test_a_host_without_a_port_and_a_name_without_a_host() -> None:
    refused, unknown = ConnectError('refused'), ConnectError('unknown')
    refused.__cause__, refused.url = ConnectionRefusedError(), parse_url('https://registry.example/v2/')
    assert explain(refused, 'registry.example') == (
        'connection refused by registry.example at port 443: is a registry running there? '
        'Give another port as registry.example:PORT')
    unknown.__cause__ = socket.gaierror(-2, 'Name or service not known')
    assert explain(unknown, 'registry-1.docker.io').endswith('such as team/app:v1, means docker.io/team/app:v1')
    assert explain(unknown, 'registry.example').endswith('is the name right?')


def test_a_wait_ends_when_the_run_does(server: Scripted, settings: Settings) -> None:
    def stop(request: object) -> Answer:
        settings.cancellation.cancel()
        return Answer(429, headers=[('Retry-After', '60')])
    server.routes['GET /x'] = stop
    with pytest.raises(Cancelled):
        client_of(server.host, settings).fetch('GET', '/x', 's')


def test_a_host_that_asks_for_fewer_requests_gets_none_from_anybody_for_a_while(server: Scripted) -> None:
    settings, waited = Settings(longest_wait=0.4), list[float]()
    server.routes['GET /x'] = [Answer(429, headers=[('Retry-After', '60')]), Answer(200)]
    server.routes['GET /y'] = Answer(200)
    with ThreadPoolExecutor(1) as other:
        first = other.submit(client_of(server.host, settings).fetch, 'GET', '/x', 's')
        while not server.received('GET', '/x'):
            time.sleep(0.01)
        since = time.monotonic()
        time.sleep(0.05)
        assert client_of(server.host, settings).fetch('GET', '/y', 's').status == 200
        waited.append(time.monotonic() - since)
        assert first.result().status == 200
    assert waited[0] > 0.25 and settings.requests.hosts() == {server.host: True}
