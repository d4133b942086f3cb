"""Registries that show late what was written: they are asked again for a limited time."""
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from occystrap_core import Cancelled, Expectation, Receipt, ServiceError, Settings, VerifyLevel
from occystrap_core.oci import Descriptor, Digest, Index, Manifest, parse_manifest_or_index
from occystrap_core.testing.sample import sample_image
from occystrap_core.verification.results import Outcome
from occystrap_registry.distribution import settle_time
from occystrap_registry.distribution.manifests import put_manifest
from tests.services.command_line import CommandLine
from tests.unit.registry.images import pull, serve, verify
from tests.unit.registry.scripted import Request, Answer, Scripted, client_of

IMAGE = sample_image()
assert IMAGE.manifest
MANIFEST = IMAGE.manifest
LAYER, CONFIG = f'/v2/app/blobs/{MANIFEST.layers[0].digest}', f'/v2/app/blobs/{MANIFEST.config.digest}'
TAG = '/v2/app/manifests/v1'
UNKNOWN = Answer(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}')
OLD = sample_image(variant='other').manifest
assert OLD
STALE = [('GET', TAG, UNKNOWN), ('GET', TAG, Answer(404)), ('GET', TAG, Answer(200, OLD.raw)),
         ('GET', CONFIG, Answer(404)),
         ('HEAD', LAYER, Answer(404))]
NAMES = ['unknown', '404', 'old', 'config', 'layer']
LEVELS = [VerifyLevel.FAST, VerifyLevel.FULL]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look again after hundredths of a second."""
    monkeypatch.setattr(settle_time, '_FIRST', 0.01)


@pytest.fixture
def settling() -> Settings:
    """Settings of a run that has just written."""
    return Settings(timeout=5.0, retries=1, settle=3.0)


@pytest.fixture
def receipt(server: Scripted, receipt_elsewhere: Receipt) -> Iterator[Receipt]:
    """A receipt for the sample image, which the server has."""
    serve(server, IMAGE)
    for route in list(server.routes):
        server.routes[route.replace('GET', 'HEAD')] = server.routes[route]
    yield replace(receipt_elsewhere, path=f'{server.host}/app:v1')


def delay(server: Scripted, method: str, path: str, stale: Answer, times: int = 2) -> None:
    server.routes[f'{method} {path}'] = [stale] * times + [server.routes[f'{method} {path}']]  # type: ignore[list-item]


@pytest.mark.parametrize('level', LEVELS)
@pytest.mark.parametrize(('method', 'path', 'stale'), STALE, ids=NAMES)
def test_it_settles(method: str, path: str, stale: Answer, level: VerifyLevel, server: Scripted, receipt: Receipt,
                    settling: Settings) -> None:
    delay(server, method, path, stale)
    verdict = verify(receipt, settling, level)
    assert verdict.outcome is Outcome.VERIFIED
    if method == 'GET' or level is VerifyLevel.FAST:
        assert 0.03 <= verdict.settle_seconds < 2
        assert len(server.received(method, path)) == 3, 'only what was missing is requested again'
        assert len(server.requests) == 6 + 2


@pytest.mark.parametrize(('seconds', 'outcome'), [(3.0, Outcome.VERIFIED), (0.0, Outcome.FAILED)])
def test_a_part_of_a_blob_becomes_all_of_it(seconds: float, outcome: Outcome, server: Scripted, receipt: Receipt,
                                            settling: Settings) -> None:
    """Where HEAD reports another size, GET is asked: only if both do is the blob a part."""
    for method in ('HEAD', 'GET'):
        delay(server, method, LAYER, Answer(200, b'part'))
    verdict = verify(receipt, replace(settling, settle=seconds), VerifyLevel.FAST)
    assert verdict.outcome is outcome and (verdict.settle_seconds > 0) == bool(seconds)


@pytest.mark.parametrize(('method', 'path', 'stale'), STALE, ids=NAMES)
def test_without_time_it_fails_immediately(method: str, path: str, stale: Answer, server: Scripted, receipt: Receipt,
                                           settling: Settings) -> None:
    delay(server, method, path, stale)
    verdict = verify(receipt, settling.settled(), VerifyLevel.FAST)
    assert verdict.outcome is Outcome.FAILED and verdict.settle_seconds == 0
    assert len(server.received(method, path)) == 1


@pytest.mark.parametrize(('method', 'path', 'stale'), STALE, ids=NAMES)
def test_lasting_damage_fails_in_the_end(method: str, path: str, stale: Answer, server: Scripted, receipt: Receipt,
                                         settling: Settings) -> None:
    server.routes[f'{method} {path}'] = stale
    begun = time.monotonic()
    verdict = verify(receipt, replace(settling, settle=0.5), VerifyLevel.FAST)
    assert verdict.outcome is Outcome.FAILED and 0.4 < time.monotonic() - begun < 3
    assert 4 <= len(server.received(method, path)) <= 12


def test_a_layer_that_is_not_there_yet_is_hashed_when_it_is(server: Scripted, receipt: Receipt, settling: Settings,
                                                            ) -> None:
    delay(server, 'GET', LAYER, Answer(404))
    verdict = verify(receipt, settling, VerifyLevel.FULL)
    assert verdict.outcome is Outcome.VERIFIED and verdict.settle_seconds and len(server.received('GET', LAYER)) == 3


@pytest.mark.parametrize('level', LEVELS)
def test_a_whole_image_is_requested_once(level: VerifyLevel, server: Scripted, receipt: Receipt, settling: Settings,
                                         ) -> None:
    verdict = verify(receipt, settling, level)
    assert verdict.outcome is Outcome.VERIFIED and verdict.settle_seconds == 0
    assert len(server.requests) == 6, '/v2/, manifest, config, three layers'


def test_a_damaged_layer_does_not_change_with_time(server: Scripted, receipt: Receipt, settling: Settings) -> None:
    size = MANIFEST.layers[0].size
    server.routes[f'GET {LAYER}'] = Answer(200, bytes(size))
    verdict = verify(receipt, settling, VerifyLevel.FULL)
    assert verdict.outcome is Outcome.FAILED and len(server.received('GET', LAYER)) == 1


def test_a_server_that_does_not_answer_is_not_asked_again(server: Scripted, receipt: Receipt, settling: Settings,
                                                          ) -> None:
    server.routes[f'GET {TAG}'] = Answer(403)
    assert verify(receipt, settling, VerifyLevel.FAST).outcome is Outcome.UNVERIFIED
    assert len(server.received('GET', TAG)) == 1


def test_a_referrer_that_is_listed_late(server: Scripted, receipt: Receipt, settling: Settings) -> None:
    subject = Digest.of(b'subject')
    listed = Index.build([Descriptor(MANIFEST.media_type, MANIFEST.digest, len(MANIFEST.raw))])
    path = f'/v2/app/referrers/{subject}'
    server.routes[f'GET {path}'] = [Answer(200, Index.build(()).raw), Answer(200, listed.raw)]
    expected = Expectation('referrer', subject, MANIFEST.digest, len(MANIFEST.raw))
    verdict = verify(replace(receipt, expectations=(*receipt.expectations, expected)), settling, VerifyLevel.FAST)
    assert verdict.outcome is Outcome.VERIFIED and verdict.settle_seconds and len(server.received('GET', path)) == 2


def test_a_signal_ends_the_wait(server: Scripted, receipt: Receipt) -> None:
    server.routes[f'GET {TAG}'] = UNKNOWN
    settings = Settings(timeout=5.0, settle=60.0)
    threading.Timer(0.3, settings.cancellation.cancel).start()
    begun = time.monotonic()
    with pytest.raises(Cancelled):
        verify(receipt, settings, VerifyLevel.FAST)
    assert time.monotonic() - begun < 2


def codes(*names: str) -> list[Answer]:
    return [Answer(status, f'{{"errors":[{{"code":"{name}"}}]}}'.encode()) for name in names for status in (400, 404)]


def send(server: Scripted, settings: Settings, document: Manifest | Index = MANIFEST) -> None:
    put_manifest(client_of(server.host, settings), 'v1', document, differs=True)


@pytest.mark.parametrize('unknown', codes('MANIFEST_BLOB_UNKNOWN', 'BLOB_UNKNOWN', 'MANIFEST_UNKNOWN', 'NAME_UNKNOWN'),
                         ids=str)
def test_a_manifest_whose_blobs_are_not_seen_yet_is_pushed_again(unknown: Answer, server: Scripted, settling: Settings,
                                                                 ) -> None:
    server.routes[f'PUT {TAG}'] = [unknown, unknown, Answer(201)]
    send(server, settling)
    assert [request.body for request in server.received('PUT', TAG)] == [MANIFEST.raw] * 3
    server.routes[f'PUT {TAG}'] = unknown
    with pytest.raises(ServiceError, match='the registry refuses the manifest: '):
        send(server, replace(settling, settle=0.3))
    before = len(server.received('PUT', TAG))
    with pytest.raises(ServiceError):
        send(server, settling.settled())
    assert len(server.received('PUT', TAG)) == before + 1


@pytest.mark.parametrize('refusal', [*codes('MANIFEST_INVALID', 'DENIED', 'UNSUPPORTED'), Answer(400), Answer(404),
                                     Answer(404, b'BLOB_UNKNOWN')], ids=str)
def test_other_refusals_of_a_manifest_are_final(refusal: Answer, server: Scripted, settling: Settings) -> None:
    server.routes[f'PUT {TAG}'] = refusal
    with pytest.raises(ServiceError):
        send(server, settling)
    assert len(server.received('PUT', TAG)) == 1


@pytest.mark.parametrize('path', [LAYER, CONFIG])
def test_a_source_that_was_pushed_just_now(path: str, server: Scripted, receipt: Receipt, settling: Settings) -> None:
    delay(server, 'GET', path, Answer(404))
    with pull(server.host, settling) as image:
        assert [layer.tar().drain() for layer in image.layers] == list(IMAGE.diff_ids)
    assert len(server.received('GET', path)) == 3


def test_a_missing_image_is_looked_up_once(server: Scripted, settling: Settings) -> None:
    for name in ('app:v1', f'app@{MANIFEST.digest}'):
        with pytest.raises(Exception, match='does not exist'):
            pull(server.host, settling, name)
    assert len(server.received('GET', TAG)) == len(server.received('GET', f'/v2/app/manifests/{MANIFEST.digest}')) == 1


@pytest.fixture
def slow(server: Scripted) -> Callable[[int], Scripted]:
    """A registry that takes the image, and shows each of its parts only after it was requested a number of times."""
    def late(times: int) -> Scripted:
        def keep(method: str, path: str, say: Answer) -> Answer:
            server.routes[f'{method} {path}'] = [Answer(404)] * times + [say]
            return Answer(201)

        def blob(request: Request) -> Answer:
            path = f'/v2/app/blobs/{request.query["digest"][0]}'
            keep('HEAD', path, Answer(200, request.body))
            return keep('GET', path, Answer(200, request.body))

        def manifest(request: Request) -> Answer:
            assert isinstance(parse_manifest_or_index(request.body), Manifest)
            return keep('GET', TAG, Answer(200, request.body))
        server.routes |= {'POST /v2/app/blobs/uploads/': Answer(202, headers=[('Location', '/up')]), 'PUT /up': blob,
                          f'PUT {TAG}': manifest}
        return server
    return late


def test_the_command_says_how_long_it_took(slow: Callable[[int], Scripted], occystrap: CommandLine) -> None:
    with Scripted() as source:
        serve(source, IMAGE)
        target = slow(3)
        given = ('process', f'registry://{source.host}/app:v1', f'registry://{target.host}/app:v1')
        done = occystrap(*given, '-O', 'json').assert_success()
        assert 'verified, settled after ' in done.err.splitlines()[-1]
        image, = done.json()['images']
        assert 0.2 < image['settle_seconds'] < 5 and image['outcome'] == 'verified'
        whole = Answer(200, MANIFEST.raw)
        for level in ('fast', 'none'):
            target.routes |= {f'PUT {TAG}': [*codes('BLOB_UNKNOWN'), Answer(201)], f'GET {TAG}': [Answer(404), whole]}
            done = occystrap(*given, '-O', 'json', f'--verify={level}').assert_success()
            assert ', settled after ' in done.err.splitlines()[-1]
            assert done.json()['images'][0]['settle_seconds'] > 0.2
        target = slow(3)
        target.routes[f'GET {TAG}'] = Answer(404)
        done = occystrap(*given, '--settle', '0').assert_code(1)
        assert '1 FAILED' in done.err.splitlines()[-1] and 'settled' not in done.err


def test_an_odd_registry_that_shows_its_manifest_late(server: Scripted, receipt: Receipt, settling: Settings) -> None:
    server.routes['GET /v2/'] = Answer(404)
    delay(server, 'GET', TAG, Answer(404), times=3)
    verdict = verify(receipt, settling, VerifyLevel.FAST)
    assert verdict.outcome is Outcome.VERIFIED and verdict.settle_seconds > 0.03
    server.routes[f'GET {TAG}'] = Answer(404)
    assert verify(receipt, replace(settling, settle=0.2), VerifyLevel.FAST).outcome is Outcome.UNVERIFIED
