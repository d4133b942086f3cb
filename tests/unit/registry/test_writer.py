"""Pushing images: each blob once, the tag last, and nothing that the registry has already."""
import io
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from occystrap_core import (
    AccessDenied, Cancelled, Evidence, Image, ImageNotFound, Location, OutputError, ServiceError, ServiceUnavailable,
    Settings, VerifyLevel,
)
from occystrap_core.oci import Descriptor, Digest
from occystrap_core.pipeline.image_copy import ImageCopy
from occystrap_core.tar import StoredLayer
from occystrap_core.testing.sample import sample_image
from occystrap_core.verification.results import Outcome
from occystrap_registry.distribution.uploads import Uploads, whole
from occystrap_registry.plugin import register_writers
from occystrap_registry.server.server_thread import RegistryServer
from occystrap_registry.writer import RegistryOutput
from tests.hostile.in_process import run_here
from tests.services.ports import free_port
from tests.unit.registry.images import pull, push, verify
from tests.unit.registry.scripted import Request, Answer, Scripted, client_of

Counted = tuple[str, str, int]
BLOB = b'blob' * 50_000
DESCRIPTOR = Descriptor('', Digest.of(BLOB), len(BLOB))


@pytest.fixture
def requests() -> list[Counted]:
    """What the registry answered."""
    return []


@pytest.fixture
def host(tmp_path: Path, requests: list[Counted]) -> Iterator[str]:
    """An empty registry."""
    def observe(method: str, path: str, status: int) -> None:
        requests.append((method, path, status))
    with RegistryServer(tmp_path / 'registry', observer=observe) as server:
        yield server.host


@pytest.mark.parametrize('stored', [True, False])
@pytest.mark.parametrize('compression', ['gzip', 'gzip-fast', 'zstd'])
def test_a_pushed_image_can_be_pulled(compression: str, stored: bool, host: str, settings: Settings) -> None:
    image = sample_image(stored=stored)
    receipt = push(host, settings, image, compression=compression)
    with pull(host, settings) as pulled:
        assert pulled.config.raw == image.config.raw and pulled.manifest
        assert receipt.manifest_digest == pulled.manifest.digest
        assert [layer.tar().drain() for layer in pulled.layers] == list(image.diff_ids)
        if stored:
            assert image.manifest and pulled.manifest.raw == image.manifest.raw
        else:
            kind = 'zstd' if compression == 'zstd' else 'gzip'
            assert all(layer.media_type.endswith(kind) for layer in pulled.manifest.layers)


def test_receipt_lists_everything(host: str, settings: Settings) -> None:
    image = sample_image()
    receipt = push(host, settings, image, username='me', password='canary')
    assert image.manifest and (receipt.scheme, receipt.path) == ('registry', f'{host}/app:v1')
    assert [(each.kind, each.locator, each.digest, each.size) for each in receipt.expectations] == [
        ('manifest', 'v1', image.manifest.digest, len(image.manifest.raw)),
        ('config', image.config.digest, image.config.digest, len(image.config.raw)),
        *(('layer', each.digest, each.digest, each.size) for each in image.manifest.layers)]
    assert receipt.evidence is Evidence.STREAMED
    assert 'canary' not in receipt.to_json()


def test_the_tag_comes_last_and_each_blob_once(host: str, settings: Settings, requests: list[Counted]) -> None:
    push(host, settings)
    sent = [path for method, path, status in requests if method == 'PUT' and status == 201]
    assert len(sent) == 5 and sent[-1] == '/v2/app/manifests/v1'
    assert requests[-1][0] == 'PUT'


def test_a_second_run_moves_nothing(host: str, settings: Settings, requests: list[Counted]) -> None:
    push(host, settings)
    requests.clear()
    receipt = push(host, settings)
    assert {method for method, _, _ in requests} <= {'GET', 'HEAD'}
    assert receipt.evidence is Evidence.DESCRIPTOR and verify(receipt, settings).outcome is Outcome.VERIFIED


def test_a_new_tag_moves_the_manifest_alone(host: str, settings: Settings, requests: list[Counted]) -> None:
    push(host, settings)
    requests.clear()
    push(host, settings, name='app:v2')
    assert [path for method, path, _ in requests if method not in ('GET', 'HEAD')] == ['/v2/app/manifests/v2']


def test_another_tag_in_another_run_moves_the_manifest_alone(host: str, settings: Settings, requests: list[Counted],
                                                             ) -> None:
    push(host, settings)
    requests.clear()
    with pull(host, fresh := Settings()) as image:
        push(host, fresh, image, 'app:again')
    assert not [path for method, path, _ in requests if method == 'POST']


def test_a_small_layer_that_would_first_be_made_is_asked_for(host: str, settings: Settings, requests: list[Counted],
                                                             tmp_path: Path) -> None:
    """What it is made from may be large, and the layer cache knows the result."""
    push(host, settings)
    for tag in ('v1', 'v2'):
        requests.clear()
        run_here('process', '-f', 'normalize-timestamps', '--layer-cache', tmp_path / 'cache',
                 f'registry://{host}/app:v1', f'registry://{host}/filtered:{tag}', '--verify=fast').assert_success()
    assert [path for method, path, _ in requests if method == 'GET' and path.startswith('/v2/app/blobs/')] == [
        f'/v2/app/blobs/{sample_image().config.digest}']


def test_a_tag_that_points_elsewhere_is_moved(host: str, settings: Settings) -> None:
    push(host, settings, sample_image(variant='other'))
    receipt = push(host, settings)
    assert pull(host, settings).diff_ids == sample_image().diff_ids
    assert verify(receipt, settings).outcome is Outcome.VERIFIED


def test_a_damaged_blob_is_sent_again_and_read_back(tmp_path: Path, host: str, settings: Settings,
                                                    requests: list[Counted]) -> None:
    receipt = push(host, settings)
    digest = receipt.of_kind('layer')[0].digest
    stored = tmp_path / 'registry/blobs/sha256' / digest.hex
    good = stored.read_bytes()
    stored.write_bytes(b'x' + good[1:])
    again = push(host, settings)
    assert verify(again, settings, VerifyLevel.FAST).outcome is Outcome.VERIFIED, 'it has the right size'
    requests.clear()
    there = Location.parse(f'registry://{host}/app:v2?resend={digest}', next(iter(register_writers())).options)
    mended = ImageCopy(sample_image(), RegistryOutput(there, settings), settings, 'sample').run()
    assert len([path for method, path, _ in requests if method == 'PUT' and 'blobs' in path]) == 1
    assert stored.read_bytes() == good and verify(mended, settings, VerifyLevel.FAST).outcome is Outcome.VERIFIED
    stored.write_bytes(b'x' + good[1:])
    assert verify(mended, settings, VerifyLevel.FAST).outcome is Outcome.FAILED, 'read back at every level'


def test_a_blob_to_be_sent_again_that_the_image_does_not_have_is_named(host: str, settings: Settings) -> None:
    layer, unknown = push(host, settings).of_kind('layer')[0].digest, Digest.of(b'no blob of it')
    options = next(iter(register_writers())).options
    output = RegistryOutput(Location.parse(f'registry://{host}/app:v2?resend={layer},{unknown}', options), settings)
    ImageCopy(sample_image(), output, settings, 'sample').run()
    assert len(output.notes) == 1 and unknown in output.notes[0]


def test_by_digest(host: str, settings: Settings) -> None:
    manifest = sample_image().manifest
    assert manifest
    receipt = push(host, settings, name=f'app@{manifest.digest}')
    assert receipt.of_kind('manifest')[0].locator == manifest.digest
    assert verify(receipt, settings).outcome is Outcome.VERIFIED
    with pytest.raises(OutputError, match=manifest.digest):
        push(host, settings, sample_image(variant='other'), name=f'app:v2@{manifest.digest}')
    with pytest.raises(ImageNotFound):
        pull(host, settings, 'app:v2')


def test_a_cancelled_run_moves_no_tag(host: str, settings: Settings) -> None:
    settings.cancellation.cancel()
    with pytest.raises(Cancelled):
        push(host, settings)
    with pytest.raises(ImageNotFound):
        pull(host, Settings())


def test_a_port_on_which_nothing_listens(settings: Settings) -> None:
    host = f'127.0.0.1:{free_port()}'
    opened: list[int] = []
    image = sample_image()

    def opener() -> io.BytesIO:
        opened.append(1)
        return io.BytesIO()
    layers = [StoredLayer(0, each.descriptor, each.diff_id, opener)
              for each in image.layers if each.descriptor and each.diff_id]
    with pytest.raises(ServiceUnavailable, match=f'refused by {host}'):
        push(host, settings, Image(image.reference, image.config, layers, image.manifest))
    assert not opened


def test_something_else_listens(server: Scripted, settings: Settings) -> None:
    server.routes['GET /v2/'] = Answer(404)
    with pytest.raises(ServiceError, match=f'{server.host} does not answer as a registry'):
        push(server.host, settings)


def test_who_may_not_push_hears_it_before_anything_is_read(server: Scripted, settings: Settings) -> None:
    challenge = [('WWW-Authenticate', f'Bearer realm="http://{server.host}/token"')]
    server.routes['GET /token'] = Answer(200, b'{"token": "pull-only"}')
    server.routes['GET /v2/'] = lambda request: Answer(200) if request.authorization else Answer(401, headers=challenge)
    server.routes['POST /v2/app/blobs/uploads/'] = Answer(401, headers=challenge)
    with pytest.raises(AccessDenied, match=f'{server.host}/app refuses uploads.*docker login'):
        push(server.host, settings)
    assert {request.path for request in server.requests} == {'/v2/', '/token', '/v2/app/blobs/uploads/'}


def uploading(server: Scripted, location: str, put: str, *answers: Answer) -> Uploads:
    """Let the server take an upload at `location`, whose path is `put`, with these answers."""
    server.routes['POST /v2/app/blobs/uploads/'] = Answer(202, headers=[('Location', location)])
    server.routes[f'PUT {put}'] = list(answers) or Answer(201)
    return Uploads(client_of(server.host, Settings(timeout=5.0, retries=3), ('me', 'secret')))


@pytest.mark.parametrize(('location', 'target'), [
    ('/up/1', '/up/1?digest='), ('/up/1?_state=a%3Db+c%2F&x=~', '/up/1?_state=a%3Db+c%2F&x=~&digest='),
    ('http://HOST/up/1?a=b', '/up/1?a=b&digest='), ('../../../../up/1', '/up/1?digest='),
])
def test_upload_locations(location: str, target: str, server: Scripted) -> None:
    uploading(server, location.replace('HOST', server.host), '/up/1').put(DESCRIPTOR, whole(BLOB))
    request = server.requests[-1]
    assert request.target == f'{target}{DESCRIPTOR.digest}' and request.body == BLOB
    assert request.headers['content-length'] == str(len(BLOB)) and 'transfer-encoding' not in request.headers


def test_an_upload_elsewhere_gets_no_credentials(server: Scripted) -> None:
    with Scripted({'PUT /up': Answer(201)}) as elsewhere:
        uploads = uploading(server, f'http://{elsewhere.host}/up?sig=x', '/up')
        post = server.routes['POST /v2/app/blobs/uploads/']
        assert isinstance(post, Answer)
        server.routes['POST /v2/app/blobs/uploads/'] = lambda request: (
            post if request.authorization else Answer(401, headers=[('WWW-Authenticate', 'Basic realm="r"')]))
        uploads.put(DESCRIPTOR, whole(BLOB))
        assert [request.authorization for request in elsewhere.requests] == [None]


def test_a_broken_upload_starts_over(server: Scripted) -> None:
    uploads = uploading(server, '/up', '/up', Answer(silent=True), Answer(503), Answer(201))
    opened: list[int] = []

    def body() -> Iterator[memoryview]:
        opened.append(1)
        yield memoryview(BLOB)[:70_000]
        yield memoryview(BLOB)[70_000:]
    uploads.put(DESCRIPTOR, body)
    assert [request.body for request in server.received('PUT', '/up')] == [BLOB] * 3 and len(opened) == 3
    assert len(server.received('POST', '/v2/app/blobs/uploads/')) == 3


def test_uploads_do_not_go_on_for_ever(server: Scripted) -> None:
    with pytest.raises(ServiceUnavailable, match='503'):
        uploading(server, '/up', '/up', Answer(503)).put(DESCRIPTOR, whole(BLOB))
    assert len(server.received('PUT', '/up')) == 4


def test_a_token_that_runs_out_in_mid_copy(server: Scripted) -> None:
    challenge = [('WWW-Authenticate', f'Bearer realm="http://{server.host}/token"')]
    uploads = uploading(server, '/up', '/up', Answer(401, headers=challenge), Answer(201))
    server.routes['GET /token'] = Answer(200, b'{"token": "fresh"}')
    uploads.put(DESCRIPTOR, whole(BLOB))
    assert [request.authorization for request in server.received('PUT', '/up')] == [None, 'Bearer fresh']
    assert server.received('PUT', '/up')[-1].body == BLOB


@pytest.mark.parametrize(('answer', 'words'), [
    (Answer(400, b'{"errors": [{"code": "DIGEST_INVALID", "message": "no match"}]}'), 'no match.*400'),
    (Answer(403), '403'), (Answer(200), 'refuses blob'),
    (Answer(201, headers=[('Docker-Content-Digest', Digest.of(b'other'))]), 'as'),
])
def test_refused_uploads(answer: Answer, words: str, server: Scripted) -> None:
    with pytest.raises((ServiceError, OutputError), match=words):
        uploading(server, '/up', '/up', answer).put(DESCRIPTOR, whole(BLOB))
    assert len(server.received('PUT', '/up')) == 1


def test_the_same_blob_from_several_threads_is_sent_once(server: Scripted) -> None:
    uploads = uploading(server, '/up', '/up')
    sent: list[bool] = []
    threads = [threading.Thread(target=lambda: sent.append(uploads.put(DESCRIPTOR, whole(BLOB)))) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(sent) == [False] * 4 + [True] and len(server.received('PUT', '/up')) == 1


def test_an_empty_blob(host: str, settings: Settings) -> None:
    client = client_of(host, settings)
    empty = Descriptor('', Digest.of(b''), 0)
    assert not Uploads(client).has(empty)
    Uploads(client).put(empty, whole(b''))
    assert Uploads(client).has(empty)


@pytest.mark.parametrize('length', ['7', None])
def test_a_blob_of_another_size_is_not_taken_for_granted(length: str | None, server: Scripted, settings: Settings,
                                                         ) -> None:
    headers = [('Content-Length', length)] if length else [('Transfer-Encoding', 'chunked')]
    server.routes[f'HEAD /v2/app/blobs/{DESCRIPTOR.digest}'] = Answer(200, headers=headers)
    assert not Uploads(client_of(server.host, settings)).has(DESCRIPTOR)


def test_a_manifest_stored_as_another(server: Scripted, settings: Settings) -> None:
    image = sample_image()
    assert image.manifest

    def manifests(request: Request) -> Answer:
        return Answer(201, headers=[('Docker-Content-Digest', Digest.of(b'other'))])
    for each in (*image.manifest.layers, image.manifest.config):
        server.routes[f'HEAD /v2/app/blobs/{each.digest}'] = Answer(200, headers=[('Content-Length', str(each.size))])
    server.routes['PUT /v2/app/manifests/v1'] = manifests
    with pytest.raises(OutputError, match='stored the manifest as'):
        push(server.host, settings, image)
    server.routes['PUT /v2/app/manifests/v1'] = Answer(400, b'{"errors": [{"message": "I do not like it"}]}')
    with pytest.raises(ServiceError, match=f'{server.host}/app:v1.*I do not like it'):
        push(server.host, settings, image)
