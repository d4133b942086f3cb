"""Connections: shared by the run, given up when it ends, and nothing of one login left in them for another."""
import threading
import time

import pytest

from occystrap_core import Cancelled, Settings
from occystrap_core.oci import Descriptor, Digest
from occystrap_registry.distribution.blobs import BlobSource
from occystrap_registry.transport.url import parse_url
from tests.unit.registry.scripted import Request, Answer, Scripted, client_of

BLOB = b'content' * 1000
DESCRIPTOR = Descriptor('', Digest.of(BLOB), len(BLOB))
PATH = f'/v2/app/blobs/{DESCRIPTOR.digest}'


def test_clients_of_one_run_share_a_connection(server: Scripted, settings: Settings) -> None:
    server.routes['GET /x'] = Answer()
    for _ in range(20):
        client = client_of(server.host, settings)
        client.connect_once('s')
        client.fetch('GET', '/x', 's')
        client.close()
    assert server.connections == 1 and len(server.received('GET', '/v2/')) == 1
    settings.shared.close()
    client_of(server.host, settings).fetch('GET', '/x', 's')
    assert server.connections == 2, 'the end of the run closes them'


def test_a_redirect_costs_no_connection(server: Scripted, settings: Settings) -> None:
    server.routes['GET /x'] = Answer(307, b'<a href="/y">Moved</a>', [('Location', '/y')])
    server.routes['GET /y'] = Answer()
    for _ in range(5):
        client_of(server.host, settings).fetch('GET', '/x', 's')
    assert server.connections == 1


def test_an_endless_redirect_is_not_read(server: Scripted, settings: Settings) -> None:
    server.routes['GET /x'] = Answer(307, bytes(1 << 20), [('Location', '/y'), ('Content-Length', str(1 << 50))])
    server.routes['GET /y'] = Answer(200, b'there')
    assert client_of(server.host, settings).fetch('GET', '/x', 's').body == b'there'


def test_cookies_are_not_kept(server: Scripted, settings: Settings) -> None:
    """A session that one login began must not let another in."""
    server.routes['GET /x'] = Answer(headers=[('Set-Cookie', 'session=me; Path=/')])
    for _ in range(2):
        client_of(server.host, settings).fetch('GET', '/x', 's')
    assert not any('cookie' in request.headers for request in server.requests)


@pytest.mark.parametrize('hangs', ['before the answer', 'in mid body'])
def test_closing_wakes_up_who_waits(hangs: str, server: Scripted) -> None:
    waiting, over = threading.Event(), threading.Event()

    def hang(request: Request) -> Answer:
        waiting.set()
        if hangs == 'before the answer':
            over.wait(30)
        return Answer(200, BLOB[:100], [('Content-Length', str(len(BLOB)))])
    server.routes[f'GET {PATH}'] = hang
    client, other = (client_of(server.host, Settings(timeout=30, retries=3)) for _ in range(2))
    ended: list[type[BaseException]] = []

    def read() -> None:
        try:
            for _ in BlobSource(client, DESCRIPTOR).chunks():
                pass
        except BaseException as error:
            ended.append(type(error))
    reader = threading.Thread(target=read)
    reader.start()
    waiting.wait(5)
    before = time.monotonic()
    client.close()
    reader.join()
    over.set()
    assert time.monotonic() - before < 5 and ended == [Cancelled] and len(server.received('GET', PATH)) == 1
    with pytest.raises(Cancelled):
        client.fetch('GET', '/x', 's')
    assert other.fetch('GET', '/v2/', 's').status == 200, 'others go on'


def test_small_requests_in_parallel_are_limited(server: Scripted) -> None:
    lock, now, most = threading.Lock(), [0], [0]

    def count(request: Request) -> Answer:
        with lock:
            now[0] += 1
            most[0] = max(now[0], most[0])
        time.sleep(0.05)
        with lock:
            now[0] -= 1
        return Answer()
    server.routes['GET /x'] = count
    settings = Settings(timeout=30)
    threads = [threading.Thread(target=lambda: client_of(server.host, settings).fetch('GET', '/x', 's'))
               for _ in range(90)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] <= 64 and len(server.received('GET', '/x')) == 90


def test_a_client_looks_for_the_scheme_on_request_and_once(server: Scripted, settings: Settings) -> None:
    client = client_of(server.host, settings)
    for name in dir(client):
        getattr(client, name)  # to look at a client asks for nothing
    assert not server.requests
    assert client.find_base() == client_of(server.host, settings).find_base() == parse_url(f'http://{server.host}/')
    assert [each.path for each in server.requests] == ['/v2/']
