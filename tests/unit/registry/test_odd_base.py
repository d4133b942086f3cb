"""Registries that do not answer `/v2/` as the spec says: pushing works wherever uploads do, and what is no registry
proves nothing."""
from collections.abc import Iterator
from dataclasses import replace

import pytest

from occystrap_core import AccessDenied, Receipt, ServiceError, Settings, VerifyLevel
from occystrap_core.testing.sample import sample_image
from occystrap_core.verification.results import Outcome
from tests.unit.registry.images import push, serve, verify
from tests.unit.registry.scripted import Request, Answer, Scripted

PAGE = Answer(200, b'<html>hello</html>', [('Content-Type', 'text/html; charset=utf-8')])
ODD = [Answer(status) for status in (204, 400, 404, 405, 406, 410, 418, 500, 501, 503)] + [
    PAGE, Answer(200, b'It works!'), Answer(403), Answer(401), Answer(302, headers=[('Location', '/ui')]),
    Answer(301, headers=[('Location', '/v2')]), Answer(302, headers=[('Location', '/v2/')]), Answer(302),
    Answer(302, headers=[('Location', 'http://nothing.invalid/')]),
    Answer(302, headers=[('Location', 'file:///etc/passwd')]),
    Answer(302, headers=[('Location', 'http://127.0.0.1:1/')])]


def quick() -> Settings:
    return Settings(timeout=5.0, retries=1, longest_wait=0.01)


@pytest.fixture
def odd(server: Scripted) -> Iterator[Scripted]:
    """A server with the sample image; what is pushed to it is kept and forgotten, but the manifest."""
    def manifest(request: Request) -> Answer:
        server.routes['GET /v2/app/manifests/v1'] = Answer(200, request.body)
        return Answer(201)
    serve(server, sample_image())
    del server.routes['GET /v2/app/manifests/v1']
    server.routes |= {'GET /ui': PAGE, 'POST /v2/app/blobs/uploads/': Answer(202, headers=[('Location', '/up')]),
                      'PUT /up': Answer(201), 'PUT /v2/app/manifests/v1': manifest, 'DELETE /up': Answer(204)}
    for route in list(server.routes):
        if '/blobs/sha256:' in route:
            server.routes[route.replace('GET', 'HEAD')] = server.routes[route]
    yield server


@pytest.mark.parametrize('answer', ODD, ids=str)
def test_it_takes_a_push_and_what_it_has_decides(answer: Answer, odd: Scripted) -> None:
    odd.routes['GET /v2/'] = answer
    receipt = push(odd.host, quick())
    assert len(odd.received('PUT', '/v2/app/manifests/v1')) == 1
    for level in (VerifyLevel.FAST, VerifyLevel.FULL):
        assert verify(receipt, quick(), level).outcome is Outcome.VERIFIED
    for route in list(odd.routes):
        if '/blobs/sha256:' in route:
            del odd.routes[route]
    assert verify(receipt, quick()).outcome is Outcome.FAILED
    odd.routes['GET /v2/app/manifests/v1'] = Answer(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}')
    assert verify(receipt, quick()).outcome is Outcome.FAILED


@pytest.mark.parametrize('answer', [*ODD, Answer(404, b'{"errors":[{"code":"NOT_FOUND","message":"no page"}]}'),
                                    Answer(404, b'{"errors":[{"status":404,"message":"no page"}]}')], ids=str)
def test_something_else_that_listens(answer: Answer, server: Scripted, receipt_elsewhere: Receipt) -> None:
    server.answer = lambda request: answer  # type: ignore[method-assign]
    for level in (VerifyLevel.FAST, VerifyLevel.FULL):
        verdict = verify(replace(receipt_elsewhere, path=f'{server.host}/app:v1'), quick(), level)
        finding, *more = verdict.findings
        assert verdict.outcome is Outcome.UNVERIFIED
        assert answer.status == 403 or not more and finding.item.startswith('registry://')
    with pytest.raises(ServiceError) as error:
        push(server.host, quick())
    assert server.host in str(error.value)


def test_one_line_says_that_it_is_no_registry(server: Scripted, receipt_elsewhere: Receipt) -> None:
    server.routes['GET /v2/'] = Answer(404)
    finding, = verify(replace(receipt_elsewhere, path=f'{server.host}/app:v1'), quick()).findings
    assert finding.message == f'{server.host} does not answer as a registry (HTTP 404)'
    assert len(server.requests) == 3, 'the scheme, /v2/, and one manifest'
    with pytest.raises(ServiceError, match=f'^{server.host} does not answer as a registry .HTTP 404.$'):
        push(server.host, quick())


def test_an_odd_base_is_found_once_in_a_run(odd: Scripted) -> None:
    odd.routes['GET /v2/'] = Answer(404)
    settings = quick()
    receipt = push(odd.host, settings)
    before = len(odd.requests)
    odd.routes['PUT /v2/app/manifests/v2'] = Answer(201)
    push(odd.host, settings, name='app:v2')
    assert not any(request.path == '/v2/' or request.method == 'DELETE' for request in odd.requests[before:])
    assert verify(receipt, settings).outcome is Outcome.VERIFIED and len(odd.received('GET', '/v2/')) == 2


def test_a_login_that_is_refused_stays_that(odd: Scripted) -> None:
    odd.routes['GET /v2/'] = Answer(401, headers=[('WWW-Authenticate', 'Basic realm="r"')])
    with pytest.raises(AccessDenied, match='requires credentials'):
        push(odd.host, quick())
    assert not odd.received('POST', '/v2/app/blobs/uploads/')


def test_an_ordinary_registry_is_asked_nothing_more(odd: Scripted) -> None:
    push(odd.host, quick())
    requests = [(each.method, each.path) for each in odd.requests]
    assert requests.count(('GET', '/v2/')) == 1 and not odd.received('POST', '/v2/app/blobs/uploads/')
