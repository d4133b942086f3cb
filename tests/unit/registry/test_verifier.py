"""What the verifier finds, and what it admits that it cannot know."""
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from occystrap_core import Cancelled, Expectation, Receipt, Settings, VerifyLevel
from occystrap_core.oci import media_types
from occystrap_core.settings import Shared
from occystrap_core.testing.sample import sample_image
from occystrap_core.verification.results import Outcome
from occystrap_registry.distribution.known_blobs import KnownBlobs
from occystrap_registry.server.server_thread import RegistryServer
from tests.unit.registry.images import HTTP, push, put_manifest, serve, verify
from tests.unit.registry.scripted import Request, Answer, Scripted

FAST, FULL = VerifyLevel.FAST, VerifyLevel.FULL
LEVELS = [FAST, FULL]
Written = tuple[Receipt, Path]


@pytest.fixture
def written(tmp_path: Path, stored_image: Path, receipt_elsewhere: Receipt) -> Iterator[Written]:
    """The sample image in a registry: its receipt and the directory of blobs."""
    with RegistryServer(shutil.copytree(stored_image, tmp_path / 'registry')) as server:
        blobs = tmp_path / 'registry/repositories/app/_layout/blobs/sha256'
        yield replace(receipt_elsewhere, path=f'{server.host}/app:v1'), blobs


def only(receipt: Receipt, kind: str) -> Expectation:
    return receipt.of_kind(kind)[-1]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def grow(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b'\n')


@pytest.mark.parametrize('level', LEVELS)
@pytest.mark.parametrize('damage', [flip, cut, grow, Path.unlink])
@pytest.mark.parametrize('kind', ['manifest', 'config', 'layer'])
def test_damage_is_found_and_named(kind: str, damage: Callable[[Path], None], level: VerifyLevel, written: Written,
                                   settings: Settings) -> None:
    receipt, blobs = written
    damaged = only(receipt, kind)
    damage(blobs / damaged.digest.hex)
    results = verify(receipt, settings, level)
    if kind == 'layer' and damage is flip and level is FAST:
        assert results.outcome is Outcome.VERIFIED
        return
    finding, = results.findings
    assert results.outcome is Outcome.FAILED and finding.item == str(damaged)


@pytest.mark.parametrize(('damage', 'level', 'is_known'), [
    (None, FULL, True), (None, FAST, False), (flip, FULL, False), (flip, FAST, False)])
def test_only_what_was_read_and_is_whole_is_mounted_from_there(
        damage: Callable[[Path], None] | None, level: VerifyLevel, is_known: bool, written: Written) -> None:
    receipt, blobs = written
    layer, host, settings = only(receipt, 'layer'), receipt.path.partition('/')[0], Settings()
    if damage:
        damage(blobs / layer.digest.hex)
    verify(receipt, settings, level)
    assert (KnownBlobs.of(host, settings).elsewhere('another', layer.digest) == 'app') is is_known


@pytest.mark.parametrize('level', LEVELS)
def test_a_tag_that_moved(level: VerifyLevel, written: Written, settings: Settings) -> None:
    receipt = written[0]
    host = receipt.path.partition('/')[0]
    push(host, settings, sample_image(variant='other'))
    finding, = verify(receipt, settings, level).findings
    assert finding.item == 'manifest v1' and str(receipt.manifest_digest) in finding.message
    HTTP.delete(f'http://{host}/v2/app/manifests/v1').raise_for_status()
    finding, = verify(receipt, settings, level).findings
    assert finding.item == 'manifest v1' and f'is not in {host}/app' in finding.message


def test_a_tag_that_became_an_index(written: Written, settings: Settings) -> None:
    receipt = written[0]
    document = {'schemaVersion': 2, 'mediaType': media_types.OCI_INDEX, 'manifests': []}
    put_manifest(receipt.path.partition('/')[0], document, 'v1', media_types.OCI_INDEX)
    assert verify(receipt, settings, FAST).outcome is Outcome.FAILED


def test_several_faults_are_all_reported(written: Written, settings: Settings) -> None:
    receipt, blobs = written
    for expectation in receipt.of_kind('layer', 'config'):
        (blobs / expectation.digest.hex).unlink()
    assert [each.item for each in verify(receipt, settings, FAST).findings] == [
        str(each) for each in receipt.of_kind('config', 'layer')]


@pytest.mark.parametrize('level', LEVELS)
def test_a_registry_that_has_stopped_proves_nothing(level: VerifyLevel, tmp_path: Path, settings: Settings) -> None:
    with RegistryServer(tmp_path / 'registry') as server:
        receipt = push(server.host, settings)
    results = verify(receipt, settings, level)
    finding, = results.findings
    assert results.outcome is Outcome.UNVERIFIED
    assert finding.item == f'registry://{server.host}/app:v1' and 'refused' in finding.message


@pytest.fixture
def scripted(server: Scripted, receipt_elsewhere: Receipt) -> tuple[Scripted, Receipt]:
    """A server that has the sample image, and a receipt for it."""
    image = sample_image()
    serve(server, image)
    assert image.manifest
    for each in image.manifest.layers:
        path = f'/v2/app/blobs/{each.digest}'
        server.routes[f'HEAD {path}'] = server.routes[f'GET {path}']
    return server, replace(receipt_elsewhere, path=f'{server.host}/app:v1')


@pytest.mark.parametrize('level', LEVELS)
@pytest.mark.parametrize('status', [400, 401, 403, 405, 429, 500, 502, 503])
def test_a_registry_that_does_not_tell(status: int, level: VerifyLevel, scripted: tuple[Scripted, Receipt],
                                       settings: Settings) -> None:
    server, receipt = scripted
    for route in server.routes:
        server.routes[route] = Answer(200) if route == 'GET /v2/' else Answer(status)
    results = verify(receipt, Settings(retries=0), level)
    assert results.outcome is Outcome.UNVERIFIED
    assert {each.item for each in results.findings} == {str(each) for each in receipt.expectations}


def test_a_500_for_one_item_alone_is_a_difference(scripted: tuple[Scripted, Receipt]) -> None:
    server, receipt = scripted
    server.routes['GET /v2/app/manifests/v1'] = Answer(500)
    results = verify(receipt, Settings(retries=0), FAST)
    assert results.outcome is Outcome.FAILED and results.findings[0].item == 'manifest v1'
    server.routes['GET /v2/app/manifests/v1'] = Answer(503)
    assert verify(receipt, Settings(retries=0), FAST).outcome is Outcome.UNVERIFIED


def test_one_item_that_cannot_be_seen_is_not_a_success(scripted: tuple[Scripted, Receipt]) -> None:
    server, receipt = scripted
    layer = only(receipt, 'layer')
    whole = server.routes[f'GET /v2/app/blobs/{layer.digest}']
    assert isinstance(whole, Answer)
    server.routes[f'HEAD /v2/app/blobs/{layer.digest}'] = Answer(403)
    server.routes[f'GET /v2/app/blobs/{layer.digest}'] = (
        lambda request: Answer(403) if 'range' in request.headers else whole)
    results = verify(receipt, Settings(retries=0), FAST)
    assert results.outcome is Outcome.UNVERIFIED and [each.item for each in results.findings] == [str(layer)]
    assert verify(receipt, Settings(retries=0), FULL).outcome is Outcome.VERIFIED


CHUNKED = Answer(200, headers=[('Transfer-Encoding', 'chunked')])


def test_a_blob_without_a_size(scripted: tuple[Scripted, Receipt], settings: Settings) -> None:
    server, receipt = scripted
    for method in ('HEAD', 'GET'):
        server.routes[f'{method} /v2/app/blobs/{only(receipt, "layer").digest}'] = CHUNKED
    assert verify(receipt, replace(settings, timeout=0.5, retries=1), FAST).outcome is Outcome.UNVERIFIED


@pytest.mark.parametrize('ranges', [True, False])
@pytest.mark.parametrize('head', [Answer(302, headers=[('Location', '/signed')]), Answer(400), Answer(401),
                                  Answer(403), Answer(405),
                                  CHUNKED, Answer(200, headers=[('Content-Length', '0')]), Answer(501), Answer(307),
                                  Answer(200, headers=[('Content-Length', '7')]),
                                  Answer(302, headers=[('Location', 'http://127.0.0.1:1/')])])
def test_where_head_is_of_no_use_get_is(head: Answer, ranges: bool, scripted: tuple[Scripted, Receipt],
                                        settings: Settings,
                                        ) -> None:
    server, receipt = scripted
    server.routes['HEAD /signed'] = Answer(403)
    blobs = {f'/v2/app/blobs/{each.digest}': each.size for each in receipt.of_kind('layer')}
    for path, size in blobs.items():
        whole = server.routes[f'GET {path}']
        assert isinstance(whole, Answer)

        def first(request: Request, whole: Answer = whole, size: int = size) -> Answer:
            part = Answer(206, whole.body[:1], headers=[('Content-Range', f'bytes 0-0/{size}')])
            return part if ranges and 'range' in request.headers else whole
        server.routes[f'HEAD {path}'], server.routes[f'GET {path}'] = head, first
    assert verify(receipt, settings, FAST).outcome is Outcome.VERIFIED
    smaller = next(iter(blobs))
    server.routes[f'GET {smaller}'] = Answer(206, b'x', headers=[('Content-Range', f'bytes 0-0/{blobs[smaller] - 1}')])
    assert verify(receipt, replace(settings, shared=Shared()), FAST).outcome is Outcome.FAILED
    server.routes[f'GET {smaller}'] = Answer(404)
    assert verify(receipt, replace(settings, shared=Shared()), FAST).outcome is Outcome.FAILED


def test_a_manifest_served_as_something_else(scripted: tuple[Scripted, Receipt], settings: Settings) -> None:
    server, receipt = scripted
    manifest = sample_image().manifest
    assert manifest
    answer = Answer(200, manifest.raw, [('Content-Type', media_types.DOCKER_MANIFEST)])
    server.routes['GET /v2/app/manifests/v1'] = answer
    assert verify(receipt, settings, FAST).outcome is Outcome.FAILED


def test_fast_reads_no_layer_and_full_reads_all(scripted: tuple[Scripted, Receipt], settings: Settings) -> None:
    server, receipt = scripted
    layers = {f'/v2/app/blobs/{each.digest}' for each in receipt.of_kind('layer')}
    verify(receipt, settings, FAST)
    assert not layers & {request.path for request in server.requests if request.method == 'GET'}
    verify(receipt, settings, FULL)
    assert layers < {request.path for request in server.requests if request.method == 'GET'}
    assert {request.method for request in server.requests} == {'GET', 'HEAD'}


def test_a_blob_that_breaks_off_is_resumed(scripted: tuple[Scripted, Receipt], settings: Settings) -> None:
    server, receipt = scripted
    path = f'GET /v2/app/blobs/{only(receipt, "layer").digest}'
    whole = server.routes[path]
    assert isinstance(whole, Answer)
    server.routes[path] = [Answer(200, whole.body, cut=20), whole]
    assert verify(receipt, settings, FULL).outcome is Outcome.VERIFIED


def test_credentials_of_the_run_serve_its_verification(scripted: tuple[Scripted, Receipt], settings: Settings) -> None:
    server, receipt = scripted
    for route, answer in list(server.routes.items()):
        assert isinstance(answer, Answer)
        server.routes[route] = lambda request, answer=answer: (  # type: ignore[misc]
            answer if request.authorization else Answer(401, headers=[('WWW-Authenticate', 'Basic realm="r"')]))
    results = verify(receipt, settings)
    assert results.outcome is Outcome.UNVERIFIED and 'requires credentials' in results.findings[0].message
    settings.credentials[server.host] = ('me', 'secret')
    assert verify(receipt, settings).outcome is Outcome.VERIFIED


def test_an_interrupted_verification_says_so(written: Written, settings: Settings) -> None:
    settings.cancellation.cancel()
    with pytest.raises(Cancelled):
        verify(written[0], settings)


@pytest.mark.parametrize('level', LEVELS)
def test_a_server_that_is_no_longer_a_registry_proves_nothing(level: VerifyLevel,
                                                              scripted: tuple[Scripted, Receipt]) -> None:
    """A run asks `/v2/` once, and again if something is missing: a web site may have taken its place."""
    server, receipt = scripted
    settings = Settings(retries=0)
    assert verify(receipt, settings, level).outcome is Outcome.VERIFIED
    begun = len(server.requests)
    assert verify(receipt, settings, level).outcome is Outcome.VERIFIED
    assert all(each.path != '/v2/' for each in server.requests[begun:])
    server.routes.update(dict.fromkeys(server.routes, Answer(404)))
    assert verify(receipt, settings, level).outcome is Outcome.UNVERIFIED
