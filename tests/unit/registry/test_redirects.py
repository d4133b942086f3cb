"""Where a registry may send us, and what is not taken along."""
from collections.abc import Iterator

import pytest

from occystrap_core import ServiceError, ServiceUnavailable, Settings
from occystrap_core.oci import Descriptor, Digest
from occystrap_registry.distribution.blobs import BlobSource
from occystrap_registry.transport.connections import follow
from occystrap_registry.transport.url import parse_url
from tests.unit.registry.scripted import Answering, Request, Answer, Scripted, client_of

BLOB = b'content' * 1000
DESCRIPTOR = Descriptor('', Digest.of(BLOB), len(BLOB))
PATH = f'/v2/app/blobs/{DESCRIPTOR.digest}'


@pytest.fixture
def storage() -> Iterator[Scripted]:
    """Where the registry keeps its blobs: the same machine, another port."""
    with Scripted() as started:
        started.routes['GET /signed'] = Answer(200, BLOB)
        yield started


def read(server: Scripted, settings: Settings) -> bytes:
    return b''.join(BlobSource(client_of(server.host, settings, ('me', 'secret')), DESCRIPTOR).chunks())


def sends_to(url: str) -> Answering:
    """Return a route that requires a login and then redirects."""
    def route(request: Request) -> Answer:
        if not request.authorization:
            return Answer(401, headers=[('WWW-Authenticate', 'Basic realm="r"')])
        return Answer(307, headers=[('Location', url)])
    return route


def test_no_authorization_at_another_port(server: Scripted, storage: Scripted, settings: Settings) -> None:
    server.routes[f'GET {PATH}'] = sends_to(f'http://{storage.host}/signed?sig=a%2Bb+c%3D&x=%2f~')
    assert read(server, settings) == BLOB
    request, = storage.requests
    assert request.authorization is None and request.target == '/signed?sig=a%2Bb+c%3D&x=%2f~'


def test_authorization_stays_at_home(server: Scripted, settings: Settings) -> None:
    server.routes[f'GET {PATH}'] = sends_to('/here?x=1')
    server.routes['GET /here'] = Answer(200, BLOB)
    assert read(server, settings) == BLOB
    assert server.received('GET', '/here')[0].authorization is not None


def test_a_challenge_from_elsewhere_is_not_answered(server: Scripted, storage: Scripted, settings: Settings) -> None:
    server.routes[f'GET {PATH}'] = sends_to(f'http://{storage.host}/signed')
    storage.routes['GET /signed'] = Answer(401, headers=[('WWW-Authenticate', 'Basic realm="r"')])
    with pytest.raises(ServiceError, match='401'):
        read(server, settings)
    assert [request.authorization for request in storage.requests] == [None]


def test_a_resumed_blob_asks_the_registry_again(server: Scripted, storage: Scripted, settings: Settings) -> None:
    server.routes[f'GET {PATH}'] = sends_to(f'http://{storage.host}/signed')
    half = f'bytes 3500-{len(BLOB) - 1}/{len(BLOB)}'
    storage.routes['GET /signed'] = [Answer(200, BLOB, cut=3500), Answer(206, BLOB[3500:], [('Content-Range', half)])]
    assert read(server, settings) == BLOB
    assert len(server.received('GET', PATH)) == 3 and storage.requests[1].headers['range'] == 'bytes=3500-'


def test_a_redirect_to_an_impossible_host(server: Scripted, settings: Settings) -> None:
    server.routes[f'GET {PATH}'] = sends_to(f'http://{"a" * 70}.example/x')
    with pytest.raises(ServiceUnavailable, match='is not a valid host name'):
        read(server, settings)


def test_circles_end(server: Scripted, settings: Settings) -> None:
    server.routes[f'GET {PATH}'] = sends_to(PATH)
    with pytest.raises(ServiceError, match='redirects more than'):
        read(server, settings)


@pytest.mark.parametrize('location', [
    'http://other.example/x', 'http://registry.example:8080/x', 'http://127.0.0.1/x', 'ftp://registry.example/x',
    'file:///etc/passwd', 'https://169.254.169.254/x', 'https://a:port/', 'https://a/\x00', 'data:text/plain,x'])
def test_refused_places(location: str) -> None:
    with pytest.raises(ServiceError, match='registry.example redirects'):
        follow(parse_url('https://registry.example/v2/'), location)


@pytest.mark.parametrize(('location', 'target'), [
    ('/a?b=c%2Fd', 'https://registry.example/a?b=c%2Fd'), ('x', 'https://registry.example/v2/x'),
    ('//other.example/x', 'https://other.example/x'), ('http://registry.example/x?y', 'https://registry.example/x?y'),
    ('https://other.example:1/?_state=a%3D%3D', None),
])
def test_accepted_places(location: str, target: str | None) -> None:
    assert str(follow(parse_url('https://registry.example/v2/'), location)) == (target or location)
