"""Blobs that the registry takes from another of its repositories."""
from collections.abc import Callable

import pytest

from occystrap_core import Evidence, Settings
from occystrap_core.oci import Descriptor, Digest
from occystrap_core.testing.sample import sample_image
from occystrap_registry.distribution.known_blobs import KnownBlobs
from occystrap_registry.distribution.uploads import Uploads, whole
from tests.unit.registry.images import push, serve
from tests.unit.registry.scripted import Request, Answer, Scripted, client_of

BLOB = b'blob' * 50
DESCRIPTOR = Descriptor('', Digest.of(BLOB), len(BLOB))
UPLOADS = '/v2/app/blobs/uploads/'


def mounting(server: Scripted, settings: Settings, answer: Answer, *known: str) -> Uploads:
    """Let the server answer so to a request to mount, and the run know repositories with the blob."""
    server.routes[f'POST {UPLOADS}'] = lambda request: (
        answer if 'mount' in request.query else Answer(202, headers=[('Location', '/up/own')]))
    server.routes |= {f'PUT /up/{each}': Answer(201) for each in ('own', 'mount')}
    for repository in known:
        KnownBlobs.of(server.host, settings).add(repository, [DESCRIPTOR.digest])
    return Uploads(client_of(server.host, settings))


def test_mounted(server: Scripted, settings: Settings) -> None:
    uploads = mounting(server, settings, Answer(201), 'app', 'team/base')
    assert uploads.mount(DESCRIPTOR)
    assert [request.query for request in server.received('POST', UPLOADS)] == [
        {'mount': [DESCRIPTOR.digest], 'from': ['team/base']}]


@pytest.mark.parametrize('known', [(), ('app',)])
def test_no_other_repository_is_known_to_have_it(known: tuple[str, ...], server: Scripted, settings: Settings) -> None:
    assert not mounting(server, settings, Answer(201), *known).mount(DESCRIPTOR)
    assert not server.received('POST', UPLOADS)


def test_an_upload_offered_instead_is_used(server: Scripted, settings: Settings) -> None:
    uploads = mounting(server, settings, Answer(202, headers=[('Location', '/up/mount')]), 'base')
    assert not uploads.mount(DESCRIPTOR)
    assert uploads.put(DESCRIPTOR, whole(BLOB))
    assert len(server.received('POST', UPLOADS)) == 1 and server.received('PUT', '/up/mount')[0].body == BLOB


def test_an_offered_upload_that_has_expired_is_started_again(server: Scripted, settings: Settings) -> None:
    uploads = mounting(server, settings, Answer(202, headers=[('Location', '/up/mount')]), 'base')
    server.routes['PUT /up/mount'] = Answer(503)
    assert not uploads.mount(DESCRIPTOR)
    assert uploads.put(DESCRIPTOR, whole(BLOB)) and server.received('PUT', '/up/own')[0].body == BLOB


@pytest.mark.parametrize('answer', [
    Answer(404), Answer(400), Answer(405), Answer(202), Answer(500), Answer(403),
    Answer(401, headers=[('WWW-Authenticate', 'Basic realm="r"')])])
def test_whoever_refuses_is_sent_the_blob(answer: Answer, server: Scripted, settings: Settings) -> None:
    uploads = mounting(server, settings, answer, 'base')
    assert not uploads.mount(DESCRIPTOR)
    assert uploads.put(DESCRIPTOR, whole(BLOB)) and server.received('PUT', '/up/own')[0].body == BLOB


@pytest.mark.parametrize('fill', ['upload', 'head', 'mount'])
def test_blobs_that_the_run_has_seen_are_mounted(fill: str, server: Scripted, settings: Settings) -> None:
    uploads = mounting(server, settings, Answer(201), *(['base'] if fill == 'mount' else []))
    server.routes[f'HEAD /v2/app/blobs/{DESCRIPTOR.digest}'] = Answer(200, BLOB)
    do: dict[str, Callable[[], bool]] = {
        'upload': lambda: uploads.put(DESCRIPTOR, whole(BLOB)), 'head': lambda: uploads.has(DESCRIPTOR),
        'mount': lambda: uploads.mount(DESCRIPTOR)}
    assert do[fill]()
    known = KnownBlobs.of(server.host, settings)
    assert known.elsewhere('other', DESCRIPTOR.digest) == ('base' if fill == 'mount' else 'app')
    assert KnownBlobs.of('elsewhere.example', settings).elsewhere('other', DESCRIPTOR.digest) is None


def test_a_mounted_layer_proves_no_more_than_its_descriptor(server: Scripted, settings: Settings) -> None:
    image = sample_image()
    serve(server, image)
    assert image.manifest
    KnownBlobs.of(server.host, settings).add('base', [each.digest for each in image.manifest.layers])

    def post(request: Request) -> Answer:
        return Answer(201) if 'mount' in request.query else Answer(202, headers=[('Location', '/up')])
    server.routes |= {f'POST {UPLOADS}': post, 'PUT /up': Answer(201), 'PUT /v2/app/manifests/v1': Answer(201)}
    receipt = push(server.host, settings, image)
    assert {each.evidence for each in receipt.of_kind('layer')} == {Evidence.DESCRIPTOR}
    assert len(server.received('PUT', '/up')) == 1, 'the config alone'
