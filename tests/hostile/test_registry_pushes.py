"""HOSTILE 31, 38 to 40 and 47 on the way to a registry. A user runs the command; no tag moves unless all is there."""
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from occystrap_core.oci import Digest
from occystrap_core.testing.sample import sample_image
from tests.services.command_line import CommandLine, CommandResult
from tests.services.ports import own_address
from tests.services.requirements import ServiceUnavailable
from tests.unit.registry.images import serve
from tests.unit.registry.scripted import Answering, Request, Answer, Scripted

Push = Callable[..., CommandResult]
IMAGE = sample_image()
assert IMAGE.manifest
MANIFEST = IMAGE.manifest
UPLOADS, TAG = 'POST /v2/app/blobs/uploads/', 'PUT /v2/app/manifests/v1'
LOGIN = {'OCCYSTRAP_USERNAME': 'me', 'OCCYSTRAP_PASSWORD': 'canary-password'}
CHALLENGE = Answer(401, headers=[('WWW-Authenticate', 'Basic realm="r"')])


def store(server: Scripted, name: str, body: bytes, *headers: tuple[str, str]) -> Answer:
    for method in ('GET', 'HEAD'):
        server.routes[f'{method} /v2/app/{name}'] = Answer(200, body, headers)
    return Answer(201)


def taking_blobs(server: Scripted, receiver: Scripted | None = None) -> Answering:
    """Return the end of an upload to the receiver: the body, or the last chunk; the server has the blob then."""
    def put(request: Request) -> Answer:
        chunks = [each.body for each in (receiver or server).requests if each.method == 'PATCH']
        digest, body = request.query['digest'][0], request.body or chunks[-1]
        return store(server, f'blobs/{digest}', body) if Digest.of(body) == digest else Answer(400)
    return put


@pytest.fixture
def target() -> Iterator[Scripted]:
    """An empty registry that takes images at app:v1."""
    with Scripted() as started:
        def manifest(request: Request) -> Answer:
            kind = 'Content-Type', request.headers['content-type']
            store(started, f'manifests/{MANIFEST.digest}', request.body, kind)
            return store(started, 'manifests/v1', request.body, kind)
        started.routes |= {UPLOADS: Answer(202, headers=[('Location', '/up')]), 'PUT /up': taking_blobs(started),
                           TAG: manifest}
        yield started


@pytest.fixture
def push(target: Scripted, occystrap: CommandLine) -> Iterator[Push]:
    """Run the command that copies the image there, with short deadlines; only success may touch the tag."""
    with Scripted() as source:
        serve(source, IMAGE)

        def run(*options: str, env: dict[str, str] | None = None) -> CommandResult:
            done = occystrap('process', f'registry://{source.host}/app:v1', f'registry://{target.host}/app:v1',
                             '--verify=full', '--timeout', '2', '--longest-wait', '0.05', *options, env=env)
            assert done.code == 0 or 'GET /v2/app/manifests/v1' not in target.routes, str(done)
            return done
        yield run


def is_refused(result: CommandResult, *words: str) -> None:
    """Fail unless the error is one line with these words."""
    line, = result.assert_code(1).errors
    assert all(word in line for word in words), line


def attempts(server: Scripted, place: str) -> int:
    method, _, path = place.partition(' ')
    return len(server.received(method, path))


def has_all_but_one_blob(server: Scripted) -> None:
    """So that what is counted is one blob's."""
    for layer in IMAGE.layers[1:]:
        with layer.stored() as stream:
            assert layer.descriptor
            blob = b''.join(bytes(chunk) for chunk in stream.chunks())
            store(server, f'blobs/{layer.descriptor.digest}', blob)
    store(server, f'blobs/{MANIFEST.config.digest}', IMAGE.config.raw)


def behind_a_login(server: Scripted) -> None:
    """Let all that the server has, up to now, be had with a login alone."""
    def guarded(route: Any) -> Answering:
        def answer(request: Request) -> Answer:
            if not request.authorization:
                return CHALLENGE
            return route if isinstance(route, Answer) else route(request)
        return answer
    server.routes.update({name: guarded(route) for name, route in server.routes.items()})


def test_31_a_blob_stored_as_another(target: Scripted, push: Push) -> None:
    told = Digest.of(b'other')
    target.routes['PUT /up'] = Answer(201, headers=[('Docker-Content-Digest', told)])
    is_refused(push(), 'stored blob', f'as {told}')


def test_31_a_manifest_stored_as_another(target: Scripted, push: Push) -> None:
    target.routes[TAG] = Answer(201, headers=[('Docker-Content-Digest', Digest.of(b'other'))])
    is_refused(push(), 'stored the manifest as')


@pytest.mark.parametrize('fault', [Answer(silent=True), Answer(500), Answer(503), Answer(429)])
@pytest.mark.parametrize('place', [UPLOADS, 'PUT /up', TAG])
def test_38_40_what_passes_is_tried_again(fault: Answer, place: str, target: Scripted, push: Push) -> None:
    good, faults = target.routes[place], [fault]

    def route(request: Request) -> Answer:
        if faults:
            return faults.pop()
        return good(request) if callable(good) else good  # type: ignore[return-value]
    target.routes[place] = route
    summary = push().assert_success().err.splitlines()[-1]
    assert ('1 rate limit,' if fault.status == 429 else '1 retry,') in summary


@pytest.mark.parametrize('fault', [Answer(silent=True), Answer(503), Answer(429)])
@pytest.mark.parametrize('place', [UPLOADS, 'PUT /up', TAG])
def test_38_40_what_does_not_pass_is_an_error_in_the_end(fault: Answer, place: str, target: Scripted,
                                                         push: Push) -> None:
    has_all_but_one_blob(target)
    target.routes[place] = fault
    is_refused(push('--retries', '1'), target.host)
    assert attempts(target, place) == 2


@pytest.mark.parametrize('status', [400, 404, 405, 409])
@pytest.mark.parametrize('place', [UPLOADS, 'PUT /up', TAG])
def test_40_other_refusals_are_final(status: int, place: str, target: Scripted, push: Push) -> None:
    has_all_but_one_blob(target)
    target.routes[place] = Answer(status)
    is_refused(push(), str(status))
    forms = 2 if (place, status) == (TAG, 400) else 1  # a 400 that says nothing may be about the manifest's form
    assert attempts(target, place) == forms


@pytest.mark.parametrize('place', [UPLOADS, 'PUT /up', TAG])
def test_39_a_server_that_hangs(place: str, target: Scripted, push: Push) -> None:
    def hang(request: Request) -> Answer:
        time.sleep(4)
        return Answer(500)
    target.routes[place] = hang
    before = time.monotonic()
    is_refused(push('--timeout', '0.3', '--retries', '1'), target.host, 'did not answer in time')
    assert time.monotonic() - before < 10


@pytest.mark.parametrize('chunked', [False, True])
@pytest.mark.parametrize(('location', 'query'), [
    ('/up', {}), ('http://HOST/up', {}), ('//HOST/up', {}), ('../../../../up', {}),
    ('/up?_state=a%2Bb+c%3D&empty=&x=~', {'_state': ['a+b c='], 'x': ['~']})])
def test_47_locations(location: str, query: dict[str, list[str]], chunked: bool, target: Scripted, push: Push) -> None:
    headers = [('Location', location.replace('HOST', target.host))]
    target.routes[UPLOADS] = Answer(202, headers=headers + ([('OCI-Chunk-Min-Length', '10')] if chunked else []))
    target.routes['PATCH /up'] = lambda request: Answer(202, headers=headers)
    push('--jobs', '1').assert_success()
    sent = [request for request in target.requests if request.path == '/up']
    assert {request.method for request in sent} == ({'PATCH', 'PUT'} if chunked else {'PUT'})
    assert all(query.items() <= request.query.items() for request in sent)
    assert all('&empty=&x=~' in request.target for request in sent if query)


@pytest.mark.parametrize('location', ['http://169.254.169.254/up', 'http://metadata.google.internal/up', 'file:///up',
                                      'gopher://127.0.0.1/up', 'http://[', ''])
def test_47_locations_that_lead_nowhere_good(location: str, target: Scripted, push: Push) -> None:
    target.routes[UPLOADS] = Answer(202, headers=[('Location', location)] if location else [])
    is_refused(push(), '127.0.0.1')


@pytest.mark.parametrize('chunked', [False, True])
@pytest.mark.parametrize('other', ['port', 'host'])
def test_47_no_credentials_for_an_upload_elsewhere(other: str, chunked: bool, target: Scripted, push: Push) -> None:
    try:
        address = own_address() if other == 'host' else '127.0.0.1'
    except ServiceUnavailable as reason:
        pytest.skip(str(reason))
    with Scripted(address=address) as elsewhere:
        headers = [('Location', f'http://{elsewhere.host}/up?sig=canary-signature')]
        more = [('OCI-Chunk-Min-Length', '10')] if chunked else []
        target.routes[UPLOADS] = Answer(202, headers=headers + more)
        behind_a_login(target)
        elsewhere.routes |= {'PATCH /up': Answer(202, headers=headers), 'PUT /up': taking_blobs(target, elsewhere)}
        result = push('--jobs', '1', '--debug', env=LOGIN).assert_success()
        sent = [request for request in elsewhere.requests if request.method in ('PATCH', 'PUT')]
        assert len(sent) == (8 if chunked else 4) and all(request.query['sig'] for request in sent)
        assert not any(request.authorization for request in elsewhere.requests)
        assert any(request.authorization for request in target.requests) and 'canary' not in result.err + result.out


@pytest.mark.parametrize('chunked', [False, True])
def test_47_a_challenge_from_elsewhere_is_not_answered(chunked: bool, target: Scripted, push: Push) -> None:
    with Scripted() as elsewhere:
        more = [('OCI-Chunk-Min-Length', '10')] if chunked else []
        target.routes[UPLOADS] = Answer(202, headers=[('Location', f'http://{elsewhere.host}/up'), *more])
        behind_a_login(target)
        elsewhere.routes |= {'PATCH /up': CHALLENGE, 'PUT /up': CHALLENGE}
        is_refused(push(env=LOGIN), '401')
        assert elsewhere.requests and not any(request.authorization for request in elsewhere.requests)
