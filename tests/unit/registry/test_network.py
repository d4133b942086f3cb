"""Addresses: what a name stands for is looked at where the connection is made, and that is where it goes."""
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from occystrap_core import ServiceError, ServiceUnavailable, Settings
from occystrap_core.oci import Descriptor, Digest, Reference
from occystrap_registry.distribution.blobs import BlobSource
from occystrap_registry.distribution.client import RegistryClient
from occystrap_registry.distribution.uploads import Uploads, whole
from occystrap_registry.transport.address import Address
from tests.services.certificates import Authority
from tests.services.raw_server import RawServer, Send, again, raw_server
from tests.unit.registry.scripted import Answer, Scripted, client_of

BLOB = b'content' * 1000
DESCRIPTOR = Descriptor('', Digest.of(BLOB), len(BLOB))
PATH = f'/v2/app/blobs/{DESCRIPTOR.digest}'
FORBIDDEN = ['169.254.169.254', '169.254.1.2', 'fe80::1', 'fd00:ec2::254', '100.100.100.200', '::ffff:169.254.169.254',
             '64:ff9b::a9fe:a9fe', '2002:a9fe:a9fe::1', '168.63.129.16']


class Names:
    """Stands in for the resolver, and for the routes to where nothing is; `reached` has all that was connected to."""

    def __init__(self) -> None:
        self.known: dict[str, list[list[str]]] = {}
        self.reached: list[str] = []
        self.elsewhere = ''

    def resolve(self, name: str | bytes, *more: Any, **named: Any) -> list[Any]:
        answers = self.known.get(text(name).rstrip('.'), [])
        if not answers:
            return REAL(name, *more, **named)
        found = answers.pop(0) if len(answers) > 1 else answers[0]
        return [each for address in found for each in REAL(address, *more, **named)]

    def connect(self, place: tuple[str | bytes, int], *more: Any, **named: Any) -> socket.socket:
        address, port = text(place[0]), place[1]
        self.reached.append(address)
        host, _, number = self.elsewhere.partition(':')
        there = (address, port) if address.startswith('127.') else (host, int(number))
        return CONNECT(there, *more, **named)


def text(name: str | bytes) -> str:
    """Return a name as text, whether it is given as that or in bytes."""
    return name if isinstance(name, str) else name.decode()


REAL, CONNECT = socket.getaddrinfo, socket.create_connection


@pytest.fixture
def names(server: Scripted, monkeypatch: pytest.MonkeyPatch) -> Names:
    """A resolver of the test's own; what is not on loopback is the server, too."""
    made = Names()
    made.elsewhere = server.host
    monkeypatch.setattr(socket, 'getaddrinfo', made.resolve)
    monkeypatch.setattr(socket, 'create_connection', made.connect)
    return made


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Scripted]:
    """A proxy that answers everything itself."""
    with Scripted() as started:
        monkeypatch.setenv('HTTP_PROXY', f'http://me:secret@{started.host}')
        monkeypatch.delenv('NO_PROXY', raising=False)
        yield started


def redirect(server: Scripted, url: str) -> Callable[[Settings], object]:
    server.routes[f'GET {PATH}'] = Answer(307, headers=[('Location', url)])
    return lambda settings: list(BlobSource(client_of(server.host, settings), DESCRIPTOR).chunks())


def realm(server: Scripted, url: str) -> Callable[[Settings], object]:
    server.routes['GET /x'] = Answer(401, headers=[('WWW-Authenticate', f'Bearer realm="{url}"')])
    return lambda settings: client_of(server.host, settings).fetch('GET', '/x', 's')


def upload(server: Scripted, url: str) -> Callable[[Settings], object]:
    server.routes['POST /v2/app/blobs/uploads/'] = Answer(202, headers=[('Location', url)])
    return lambda settings: Uploads(client_of(server.host, settings)).put(DESCRIPTOR, whole(BLOB))


def patch(server: Scripted, url: str) -> Callable[[Settings], object]:
    server.routes['POST /v2/app/blobs/uploads/'] = Answer(202, headers=[('Location', '/up'),
                                                                        ('OCI-Chunk-Min-Length', '1')])
    server.routes['PATCH /up'] = Answer(202, headers=[('Location', url)])
    return lambda settings: Uploads(client_of(server.host, settings)).put(DESCRIPTOR, whole(BLOB))


WAYS = [redirect, realm, upload, patch]


@pytest.mark.parametrize(('address', 'name'), [*zip(FORBIDDEN, cycle(['meta.test', 'meta.test.', 'META.test']))])
@pytest.mark.parametrize('way', WAYS)
def test_a_name_that_a_server_gave_does_not_lead_there(way: Callable[..., Any], name: str, address: str,
                                                       server: Scripted, names: Names, settings: Settings) -> None:
    names.known = {'meta.test': [[address]]}
    with pytest.raises(ServiceError, match='meta.test.*has the address .* is refused'):
        way(server, f'http://{name}/latest')(settings)
    assert set(names.reached) == {'127.0.0.1'}


@pytest.mark.parametrize('host', ['2852039166', '0xa9fea9fe', '0251.0376.0251.0376', '169.254.43518', '[fe80::1]',
                                  '[::ffff:a9fe:a9fe]', '169.254.169.254.', '[64:ff9b::169.254.169.254]'])
@pytest.mark.parametrize('way', WAYS)
def test_nor_does_a_number_however_it_is_written(way: Callable[..., Any], host: str, server: Scripted, names: Names,
                                                 settings: Settings) -> None:
    with pytest.raises((ServiceError, ServiceUnavailable), match='refused|URL'):
        way(server, f'http://{host}/latest')(settings)
    assert set(names.reached) == {'127.0.0.1'}


def test_the_addresses_that_are_allowed_are_tried(server: Scripted, names: Names, settings: Settings) -> None:
    port = server.host.partition(':')[2]
    names.known = {'both.test': [['169.254.169.254', '127.0.0.2', '127.0.0.1']]}
    server.routes['GET /there'] = Answer(200, BLOB)
    assert redirect(server, f'http://both.test:{port}/there')(settings) == [BLOB]
    assert names.reached[-2:] == ['127.0.0.2', '127.0.0.1'], 'nothing listens at the first'


def test_a_name_that_changes_is_looked_at_each_time(server: Scripted, names: Names, settings: Settings) -> None:
    """The registry of the user's own choice, whose owner has its name resolve to something else later."""
    port = server.host.partition(':')[2]
    names.known = {'registry.test': [['127.0.0.1'], ['127.0.0.1'], ['169.254.169.254']]}
    client = RegistryClient(Address(Reference('app'), f'registry.test:{port}', insecure=True), settings)
    server.routes['GET /x'] = Answer(silent=True)
    with pytest.raises(ServiceError, match='give that address itself'):
        client.fetch('GET', '/x', 's')
    assert set(names.reached) == {'127.0.0.1'}


@pytest.mark.parametrize(('host', 'address'), [
    ('host.containers.internal', '169.254.1.2'), ('169.254.1.2', '169.254.1.2'),
    ('169.254.169.254', '169.254.169.254')])
def test_a_user_may_name_a_link_local_registry(host: str, address: str, server: Scripted, names: Names,
                                               settings: Settings) -> None:
    names.known = {'host.containers.internal': [['169.254.1.2']]}
    client = RegistryClient(Address(Reference('app'), host, insecure=True), settings)
    server.routes['GET /x'] = Answer(200, b'there')
    assert client.fetch('GET', '/x', 's').body == b'there' and set(names.reached) == {address}


@pytest.mark.parametrize(('known', 'refused'), [([['169.254.169.254']], True), ([['127.0.0.9']], False), ([], False)])
def test_targets_behind_a_proxy_are_checked(known: list[list[str]], refused: bool, proxy: Scripted,
                                            server: Scripted, names: Names, settings: Settings) -> None:
    names.known = {'name.invalid': known}
    proxy.routes['GET /there'] = Answer(200, BLOB)
    fetch = redirect(server, 'http://name.invalid/there')
    if refused:
        with pytest.raises(ServiceError, match='is refused'):
            fetch(settings)
        assert not proxy.requests
    else:
        assert fetch(settings) == [BLOB] and proxy.requests[0].headers['proxy-authorization'] == 'Basic bWU6c2VjcmV0'


def tunnel(connection: socket.socket, server: RawServer, to: str) -> None:
    """Answer a CONNECT (RFC 9110, 9.3.6), and pass on what comes from either side."""
    connection.sendall(b'HTTP/1.1 200 Connection established\r\n\r\n')
    host, _, port = to.partition(':')
    with socket.create_connection((host, int(port))) as other:
        def back() -> None:
            while data := other.recv(65536):
                connection.sendall(data)
        threading.Thread(target=back, daemon=True).start()
        while data := connection.recv(65536):
            other.sendall(data)


def tls_client(tmp_path: Path, server: Scripted, proxy: RawServer, monkeypatch: pytest.MonkeyPatch) -> RegistryClient:
    """Return a client of registry.invalid, which only the proxy can find, at the server, which gets a certificate."""
    authority = Authority(tmp_path)
    pair = authority.sign('server', 'registry.invalid')
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    server._server.socket = context.wrap_socket(server._server.socket, server_side=True)
    monkeypatch.setenv('HTTPS_PROXY', f'http://me:secret@{proxy.host}')
    settings = Settings(timeout=1, retries=0, ca_file=str(authority.certificate))
    return RegistryClient(Address(Reference('app'), 'registry.invalid'), settings)


def test_through_a_tunnel(server: Scripted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with raw_server() as proxy:
        proxy.answers['CONNECT registry.invalid:443'] = lambda *given: tunnel(*given, to=server.host)
        client = tls_client(tmp_path, server, proxy, monkeypatch)
        server.routes['GET /x'] = Answer(200, BLOB)
        server.routes['PUT /x'] = lambda request: Answer(201, str(len(request.body)).encode())
        for _ in range(3):
            assert client.fetch('GET', '/x', 's').body == BLOB
        sent = client.fetch('PUT', '/x', 's', {'Content-Length': str(8 << 20)}, whole(bytes(8 << 20)))
        assert sent.body == b'8388608' and proxy.connections == 1
        assert 'Proxy-Authorization: Basic bWU6c2VjcmV0' in proxy.requests[0]


@pytest.mark.parametrize('answer', [
    again(b'', b'HTTP/1.1 103 Early Hints\r\n\r\n', 0.05), again(b'HTTP/1.1 200 OK\r\nX: ', b'x', 0.05),
    again(b'HTTP/1.1 200 OK\r\n\r\n', b'x', 0.05), again(b'HTTP/1.1 200 OK\r\n\r\n' + b'x' * 100, b'x', 0.05)])
def test_a_tunnel_that_is_none(answer: Send, server: Scripted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with raw_server() as proxy:
        proxy.answers['CONNECT registry.invalid:443'] = answer
        client, before = tls_client(tmp_path, server, proxy, monkeypatch), time.monotonic()
        with pytest.raises(ServiceUnavailable, match='registry.invalid'):
            client.fetch('GET', '/x', 's')
        assert time.monotonic() - before < 5


def test_no_proxy_is_heeded(proxy: Scripted, server: Scripted, names: Names, settings: Settings,
                            monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('NO_PROXY', 'other.example,.test')
    names.known = {'cdn.test': [['127.0.0.1']]}
    server.routes['GET /there'] = Answer(200, BLOB)
    assert redirect(server, f'http://cdn.test:{server.host.partition(":")[2]}/there')(settings) == [BLOB]
    assert not proxy.requests


def test_a_resolver_that_hangs_is_not_waited_for(server: Scripted, names: Names, monkeypatch: pytest.MonkeyPatch,
                                                 ) -> None:
    over = threading.Event()
    monkeypatch.setattr(socket, 'getaddrinfo', lambda *arguments, **more: over.wait(20))
    before = time.monotonic()
    with pytest.raises(ServiceUnavailable, match='in time'):
        RegistryClient(Address(Reference('app'), 'registry.test'), Settings(timeout=0.3, retries=0)).fetch(
            'GET', '/x', 's')
    over.set()
    assert time.monotonic() - before < 5
