"""Uploads to registries that refuse one way of sending a blob, redirect it, or answer otherwise than the spec says."""
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import sleep

import pytest

from occystrap_core import OutputError, ServiceError, Settings
from occystrap_core.oci import Descriptor, Digest
from occystrap_registry.distribution.blob_upload import BlobUpload
from occystrap_registry.distribution.upload_session import open_session
from occystrap_registry.distribution.uploads import Uploads, whole
from occystrap_registry.server.opened_storage import open_storage
from occystrap_registry.server.server_thread import RegistryServer
from tests.services.ports import free_port
from tests.unit.registry.images import HTTP
from tests.unit.registry.scripted import Request, Answer, Scripted, client_of

UPLOADS = '/v2/app/blobs/uploads/'
BLOB, OTHER = b'blob' * 50_000, b'other' * 50_000
Quirk = Callable[[Request], Answer | None]


def described(blob: bytes) -> Descriptor:
    return Descriptor('', Digest.of(blob), len(blob))


@dataclass
class Registry:
    """A registry that takes blobs in every way; a quirk answers in its place, or says None."""

    server: Scripted
    quirk: Quirk = lambda request: None
    blobs: dict[str, bytes] = field(default_factory=dict)
    sessions: dict[str, bytearray] = field(default_factory=dict)
    retries: int = 1
    timeout: float = 5.0

    def __post_init__(self) -> None:
        settings = Settings(timeout=self.timeout, retries=self.retries, longest_wait=0.01)
        self.uploads = Uploads(client_of(self.server.host, settings, ('me', 'secret')))
        self.server.answer = self._answer  # type: ignore[method-assign]

    def put(self, *blobs: bytes) -> list[str]:
        """Push blobs and return the requests with a body, or that end an upload."""
        for blob in blobs:
            assert self.uploads.put(described(blob), whole(blob)) and self.blobs[Digest.of(blob)] == blob
        return [request.method for request in self.server.requests if request.method in ('PATCH', 'PUT')]

    def _answer(self, request: Request) -> Answer:
        self.server.requests.append(request)
        return self.quirk(request) or self.serve(request)

    def serve(self, request: Request) -> Answer:
        """Answer as the spec says."""
        name = request.path.rpartition('/')[2]
        if request.method == 'POST':
            session = f's{len(self.sessions)}'
            self.sessions[session] = bytearray()
            return Answer(202, headers=[('Location', f'{UPLOADS}{session}'), ('Docker-Upload-UUID', session)])
        if request.method == 'HEAD':
            return Answer(200, self.blobs[name]) if name in self.blobs else Answer(404)
        if request.method == 'PATCH':
            self.sessions[name] += request.body
            return Answer(202, headers=[('Location', request.path), ('Range', f'0-{len(self.sessions[name]) - 1}')])
        if request.method == 'PUT':
            digest, blob = request.query['digest'][0], bytes(self.sessions[name]) + request.body
            if digest != Digest.of(blob):
                return Answer(400, b'{"errors":[{"code":"DIGEST_INVALID","message":"digest invalid"}]}')
            self.blobs[digest] = blob
            return Answer(201, headers=[('Docker-Content-Digest', digest)])
        return Answer(204 if request.method == 'GET' else 404, headers=[('Range', '0-0')])


@pytest.fixture
def registry(server: Scripted) -> Iterator[Registry]:
    """A registry without a quirk."""
    yield Registry(server)


REFUSALS = [Answer(status) for status in (400, 403, 404, 405, 409, 411, 413, 415, 422, 500,
                                          501)] + [Answer(silent=True)]


@pytest.mark.parametrize('refusal', REFUSALS, ids=str)
def test_a_put_with_a_body_is_refused(refusal: Answer, registry: Registry) -> None:
    registry.quirk = lambda request: refusal if request.method == 'PUT' and request.body else None
    sent = registry.put(BLOB)
    assert sent[-2:] == ['PATCH', 'PUT'] or refusal.status == 413
    if refusal.status != 413:
        assert 'content-range' not in registry.server.requests[-2].headers, 'one PATCH with all, as docker does it'
        assert registry.put(OTHER)[len(sent):] == ['PATCH', 'PUT'], 'it is known for the second blob'


def test_a_put_that_is_never_answered(server: Scripted) -> None:
    def hang(request: Request) -> Answer | None:
        if request.method == 'PUT' and request.body:
            sleep(0.6)
            return Answer(silent=True)
        return None
    assert Registry(server, hang, timeout=0.3).put(b'small') == ['PUT', 'PUT', 'PATCH', 'PUT']


def test_a_put_whose_body_is_ignored(registry: Registry) -> None:
    def quirk(request: Request) -> Answer | None:
        if request.method == 'PUT' and request.body:
            return registry.serve(Request('PUT', request.target, request.headers, b''))
        return None
    registry.quirk = quirk
    assert registry.put(BLOB, OTHER) == ['PUT', 'PATCH', 'PUT', 'PATCH', 'PUT']


@pytest.mark.parametrize('status', [400, 404, 405, 411, 415, 416, 501])
def test_only_chunks_with_a_range_are_taken(status: int, registry: Registry) -> None:
    def quirk(request: Request) -> Answer | None:
        is_range = 'content-range' in request.headers
        if (request.method == 'PUT' and request.body) or (request.method == 'PATCH' and not is_range):
            return Answer(status if request.method == 'PATCH' else 400)
        return None
    registry.quirk = quirk
    if status in (404, 405, 501):
        with pytest.raises(ServiceError, match='HTTP 400'):
            registry.put(BLOB)
    else:
        assert registry.put(BLOB, OTHER)[-4:] == ['PATCH', 'PUT', 'PATCH', 'PUT']


@pytest.mark.parametrize('refusal', REFUSALS, ids=str)
def test_patch_is_refused_where_chunks_are_asked_for(refusal: Answer, registry: Registry) -> None:
    def quirk(request: Request) -> Answer | None:
        if request.method == 'PATCH':
            return refusal
        if request.method == 'POST':
            answer = registry.serve(request)
            return Answer(202, headers=[*answer.headers, ('OCI-Chunk-Min-Length', '1000')])
        return None
    registry.quirk = quirk
    sent = registry.put(BLOB)
    assert sent[0] == 'PATCH' and sent[-1] == 'PUT' and registry.server.requests[-1].body == BLOB
    if refusal.status != 413:
        assert registry.put(OTHER)[len(sent):] == ['PUT']


def test_patch_is_refused_after_a_body_was_too_large(registry: Registry) -> None:
    registry.quirk = lambda request: (Answer(413) if len(request.body) > len(BLOB) else
                                      Answer(405) if request.method == 'PATCH' else None)
    with pytest.raises(ServiceError, match='413'):
        registry.put(BLOB + OTHER)
    assert registry.put(BLOB)[-1] == 'PUT', 'a quarter of what was too large was a guess'


@pytest.mark.parametrize('status', [401, 429, 502, 503, 504])
def test_refusals_that_are_not_about_the_way(status: int, registry: Registry) -> None:
    registry.quirk = lambda request: Answer(status) if request.method == 'PUT' else None
    with pytest.raises(ServiceError):
        registry.put(BLOB)
    assert not any(request.method == 'PATCH' for request in registry.server.requests)


def test_the_first_refusal_is_the_error(registry: Registry) -> None:
    answers = iter([Answer(400, b'{"errors":[{"message":"first"}]}'),
                    Answer(400, b'{"errors":[{"message":"second"}]}')])
    registry.quirk = lambda request: next(answers, Answer(404)) if request.method in ('PUT', 'PATCH') else None
    with pytest.raises(ServiceError, match=r'app refuses blob sha256:\w+: first \(HTTP 400\)'):
        registry.put(BLOB)


@pytest.mark.parametrize('status', [301, 302, 307, 308])
@pytest.mark.parametrize('method', ['POST', 'PATCH', 'PUT'])
@pytest.mark.parametrize('place', ['?again=1', 'HOST?again=1'])
def test_redirects_are_followed_with_the_body(place: str, method: str, status: int, registry: Registry) -> None:
    def quirk(request: Request) -> Answer | None:
        if method == 'PATCH' and request.method == 'PUT' and request.body:
            return Answer(405)
        if request.method == method and 'again' not in request.query:
            query = f'&{request.target.partition("?")[2]}'
            url = place.replace('HOST', f'http://{registry.server.host}{request.path}')
            return Answer(status, headers=[('Location', (url if 'http' in url else f'{request.path}{url}') + query)])
        return None
    registry.quirk = quirk
    assert registry.put(BLOB)


@pytest.mark.parametrize('status', [300, 303, 304, 307])
def test_redirects_that_lead_nowhere_are_refusals(status: int, registry: Registry) -> None:
    registry.quirk = lambda request: Answer(status) if request.method == 'POST' else None
    with pytest.raises(ServiceError, match=f'refuses uploads .HTTP {status}'):
        registry.put(BLOB)


def test_redirects_to_another_host_take_no_login_along(registry: Registry) -> None:
    with Scripted({'PUT /there': Answer(201)}) as elsewhere:
        challenge = Answer(401, headers=[('WWW-Authenticate', 'Basic realm="r"')])
        registry.quirk = lambda request: (
            challenge if not request.authorization else
            Answer(307, headers=[('Location', f'http://{elsewhere.host}/there')]) if request.method == 'PUT' else None)
        registry.uploads.put(described(BLOB), whole(BLOB))
        assert [(request.body, request.authorization) for request in elsewhere.requests] == [(BLOB, None)]


@pytest.mark.parametrize('status', [200, 201, 202, 204])
@pytest.mark.parametrize('method', ['POST', 'PATCH', 'PUT'])
def test_other_answers_of_success(method: str, status: int, registry: Registry) -> None:
    def quirk(request: Request) -> Answer | None:
        if method == 'PATCH' and request.method == 'PUT' and request.body:
            return Answer(405)
        return Answer(status, headers=registry.serve(request).headers) if request.method == method else None
    registry.quirk = quirk
    registry.put(BLOB)


@pytest.mark.parametrize('status', [200, 202, 204])
def test_a_success_that_stores_nothing_is_none(status: int, registry: Registry) -> None:
    registry.quirk = lambda request: Answer(status, b'<html>') if request.method == 'PUT' else None
    with pytest.raises(ServiceError, match=f'refuses blob .*HTTP {status}'):
        registry.put(BLOB)


@pytest.mark.parametrize('digest', ['', 'nonsense', 'sha256:1', f'sha512:{"0" * 128}', described(BLOB).digest.upper(),
                                    'sha256:', f'md5:{"0" * 32}', f' {described(BLOB).digest} '])
def test_reported_digests_that_say_nothing(digest: str, registry: Registry) -> None:
    def quirk(request: Request) -> Answer | None:
        if request.method != 'PUT':
            return None
        return Answer(registry.serve(request).status, headers=[('Docker-Content-Digest', digest)])
    registry.quirk = quirk
    assert registry.put(BLOB) == ['PUT']


@pytest.mark.parametrize('digest', [Digest.of(b'x'), Digest.of(b'x').upper()])
@pytest.mark.parametrize('status', [200, 201, 202, 204])
def test_another_digest_is_an_error(status: int, digest: str, registry: Registry) -> None:
    registry.quirk = lambda request: (
        Answer(status, headers=[('Docker-Content-Digest', digest)]) if request.method == 'PUT' else None)
    with pytest.raises(OutputError, match=f'stored blob .* as {Digest.of(b"x")}'):
        registry.put(BLOB)


@pytest.mark.parametrize('headers', [[], [('Location', '')]])
def test_a_uuid_in_place_of_a_location(headers: list[tuple[str, str]], registry: Registry) -> None:
    def quirk(request: Request) -> Answer | None:
        return Answer(202, headers=[*headers, registry.serve(request).headers[1]]) if request.method == 'POST' else None
    registry.quirk = quirk
    assert registry.put(BLOB) == ['PUT']


@pytest.mark.parametrize('uuid', ['', '../../../other', 'a/b', 'a?b', '.', '..', 'a b'])
def test_neither_is_a_refusal(uuid: str, registry: Registry) -> None:
    opened = Answer(202, headers=[('Docker-Upload-UUID', uuid)])
    registry.quirk = lambda request: opened if request.method == 'POST' else None
    with pytest.raises(ServiceError, match='opens an upload without a Location'):
        registry.put(BLOB)


@pytest.mark.parametrize('end', ['?x=1#part', '#part', '#', '?', '?x=1', '?x=1&', ''])
def test_locations_with_other_ends(end: str, registry: Registry) -> None:
    def quirk(request: Request) -> Answer | None:
        if request.method == 'POST':
            return Answer(202, headers=[('Location', registry.serve(request).headers[0][1] + end)])
        return None
    registry.quirk = quirk
    assert registry.put(BLOB) == ['PUT'] and ('x' in registry.server.requests[-1].query) == ('x=1' in end)


def test_a_connection_that_is_closed_without_retries(server: Scripted) -> None:
    def quirk(request: Request) -> Answer | None:
        return Answer(silent=True) if request.method == 'PUT' and request.body else None
    registry = Registry(server, quirk, retries=0)
    assert registry.put(BLOB) == ['PUT', 'PATCH', 'PUT']


@pytest.mark.parametrize('last', [Answer(413), Answer(400), Answer(503), Answer(silent=True)], ids=str)
def test_broken_connections_then_refusals_are_one_error(last: Answer, registry: Registry) -> None:
    answers = iter([Answer(silent=True)] * 2)
    registry.quirk = lambda request: (
        next(answers, last) if request.method == 'PUT' else Answer(405) if request.method == 'PATCH' else None)
    with pytest.raises(ServiceError, match=registry.server.host):
        registry.put(BLOB)


@pytest.mark.parametrize('place', ['http://169.254.169.254/up', 'http://metadata.google.internal/up', 'file:///up'])
@pytest.mark.parametrize('method', ['POST', 'PATCH', 'PUT'])
def test_no_body_goes_where_clouds_keep_secrets(method: str, place: str, registry: Registry) -> None:
    def quirk(request: Request) -> Answer | None:
        if method == 'PATCH' and request.method == 'PUT' and request.body:
            return Answer(405)
        return Answer(307, headers=[('Location', place)]) if request.method == method else None
    registry.quirk = quirk
    with pytest.raises(ServiceError):
        registry.put(BLOB)


@pytest.mark.parametrize('status', [301, 302, 303, 307, 308])
def test_a_secret_for_a_token_is_not_sent_on(status: int, server: Scripted) -> None:
    with Scripted({'POST /token': Answer(200, b'{"token": "stolen"}')}) as elsewhere:
        server.routes |= {
            'GET /x': Answer(401, headers=[('WWW-Authenticate', f'Bearer realm="http://{server.host}/token"')]),
            'GET /token': Answer(405),
            'POST /token': Answer(status, headers=[('Location', f'http://{elsewhere.host}/token')])}
        with pytest.raises(ServiceError):
            client_of(server.host, Settings(timeout=5.0, retries=0), ('me', 'canary')).fetch('GET', '/x', '')
        assert server.received('POST', '/token') and not elsewhere.requests


@pytest.mark.parametrize('in_chunks', [False, True])
def test_an_upload_that_a_restarted_server_does_not_know_is_begun_anew(tmp_path: Path, in_chunks: bool) -> None:
    """Of our own server, which says so as the specification asks."""
    port = free_port()
    client = client_of(f'127.0.0.1:{port}', Settings(timeout=5.0, retries=1))
    with open_storage(tmp_path / 's') as storage, RegistryServer(storage, port):
        session = open_session(client)
        with client.once('PATCH', str(session.url), '', {'Content-Length': '5'}, whole(b'12345')) as answer:
            assert answer.whole().status == 202
    with open_storage(tmp_path / 's') as storage, RegistryServer(storage, port) as server:
        assert not list(storage.temporary.iterdir())
        for method in ('GET', 'PATCH', 'PUT', 'DELETE'):
            gone = HTTP.request(method, str(session.url), params={'digest': Digest.of(BLOB)})
            assert gone.status_code == 404 and gone.json()['errors'][0]['code'] == 'BLOB_UPLOAD_UNKNOWN'
        BlobUpload(client, described(BLOB), whole(BLOB), lambda: False).send(session._replace(in_chunks=in_chunks))
        assert HTTP.get(f'http://{server.host}/v2/app/blobs/{Digest.of(BLOB)}').content == BLOB
