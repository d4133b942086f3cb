"""HOSTILE 30 to 40 and 46 to 50: what a registry may answer. A user runs the command; nothing bad reaches DEST."""
import gzip
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from occystrap_core import Image
from occystrap_core.oci import Descriptor, Digest, ImageConfig, Manifest, media_types
from occystrap_core.testing.sample import sample_config, sample_image, sample_layers
from tests.services.command_line import CommandLine, CommandResult
from tests.unit.registry.images import serve
from tests.unit.registry.scripted import Request, Answer, Scripted

Pull = Callable[..., CommandResult]
IMAGE = sample_image()
assert IMAGE.manifest
MANIFEST = IMAGE.manifest
LAYER = MANIFEST.layers[1]
BLOB = f'GET /v2/app/blobs/{LAYER.digest}'
CONFIG = f'GET /v2/app/blobs/{MANIFEST.config.digest}'
TAG = 'GET /v2/app/manifests/v1'


@pytest.fixture
def server() -> Iterator[Scripted]:
    """A registry with an image at app:v1."""
    with Scripted() as started:
        serve(started, sample_image())
        yield started


@pytest.fixture
def pull(server: Scripted, occystrap: CommandLine) -> Pull:
    """Run the command that copies the image, with short deadlines; a failure must leave nothing."""
    def run(*options: str, name: str = 'app:v1') -> CommandResult:
        done = occystrap('process', f'registry://{server.host}/{name}', 'dir://out', '--timeout', '2', '--longest-wait',
                         '0.05', *options)
        left = [path for path in occystrap.directory.rglob('*') if path.name not in ('home', '.occystrap')]
        assert done.code == 0 or not left, f'{left}\n{done}'
        return done
    return run


def is_refused(result: CommandResult, *words: str) -> None:
    """Fail unless the error is one line with these words."""
    line, = result.assert_code(1).errors
    assert all(word in line for word in words), line


PAGE = Answer(200, b'\n<!doctype html><title>Sign in</title>', [('Content-Type', 'text/html; charset=utf-8')])


@pytest.mark.parametrize('name', [TAG, CONFIG, BLOB])
def test_a_web_page_is_named(name: str, server: Scripted, pull: Pull) -> None:
    """Of a sign-in or a proxy, with status 200: neither broken JSON nor a damaged blob."""
    server.routes[name] = PAGE
    is_refused(pull(), 'cannot be read', f'{server.host} sends a web page instead')


@pytest.mark.parametrize('name', [TAG, CONFIG, BLOB])
def test_the_type_alone_makes_no_web_page(name: str, server: Scripted, pull: Pull) -> None:
    right = served(server, name)
    fields = [(field, value) for field, value in right.headers if field.lower() != 'content-type']
    server.routes[name] = replace(right, headers=[*fields, ('Content-Type', 'text/html')])
    pull().assert_success()


@pytest.mark.parametrize('by_digest', [404, 401, 403])
def test_a_sha512_that_is_only_reported_is_no_name(by_digest: int, server: Scripted, occystrap: CommandLine) -> None:
    """The registry reports one for a tag, and has nothing under it, or answers no HEAD: the image keeps its sha256, at
    each look."""
    long = Digest.of(MANIFEST.raw, 'sha512')
    right, reported = served(server, TAG), ('Docker-Content-Digest', long)
    server.routes[f'HEAD /v2/app/manifests/{long}'] = Answer(by_digest)
    server.routes[TAG] = replace(right, headers=[*right.headers, reported])
    server.routes[TAG.replace('GET', 'HEAD')] = replace(right, headers=[*right.headers, reported], body=b'')
    copy = 'process', f'registry://{server.host}/app:v1', 'layout://out', '--receipt=r.jsonl'
    occystrap(*copy).assert_success()
    listed, = json.loads((occystrap.directory / 'out/index.json').read_bytes())['manifests']
    assert listed['digest'] == MANIFEST.digest
    assert 'unchanged' in occystrap(*copy, '--resume=r.jsonl').assert_success().err


def test_a_registry_that_fails_does_not_decide_what_the_digest_is(server: Scripted, occystrap: CommandLine) -> None:
    """The next run may be told that there is an image under the sha512."""
    long, right = Digest.of(MANIFEST.raw, 'sha512'), served(server, TAG)
    server.routes[TAG] = replace(right, headers=[*right.headers, ('Docker-Content-Digest', long)])
    server.routes[f'HEAD /v2/app/manifests/{long}'] = Answer(503)
    copy = occystrap('process', f'registry://{server.host}/app:v1', 'layout://out', '--retries=0')
    assert f'app@{long} cannot be asked for' in copy.assert_code(1).err


def served(server: Scripted, name: str) -> Answer:
    answer = server.routes[name]
    assert isinstance(answer, Answer)
    return answer


def flipped(data: bytes) -> bytes:
    return data[:40] + bytes([data[40] ^ 1]) + data[41:]


def manifest_of(**changes: Any) -> bytes:
    return json.dumps(json.loads(MANIFEST.raw) | changes).encode()


def serve_manifest(server: Scripted, raw: bytes, content_type: str = MANIFEST.media_type) -> None:
    server.routes[TAG] = Answer(200, raw, [('Content-Type', content_type)])


@pytest.mark.parametrize(('place', 'named'), [(BLOB, LAYER.digest), (CONFIG, 'config')])
@pytest.mark.parametrize('change', [flipped, lambda data: data[:-1], lambda data: data + b'x', lambda data: b''])
def test_30_other_bytes(place: str, named: str, change: Callable[[bytes], bytes], server: Scripted, pull: Pull) -> None:
    server.routes[place] = Answer(200, change(served(server, place).body))
    is_refused(pull(), named)


def test_30_another_manifest_than_the_digest_asked_for(server: Scripted, pull: Pull) -> None:
    server.routes[f'GET /v2/app/manifests/{MANIFEST.digest}'] = Answer(200, MANIFEST.raw + b' ')
    is_refused(pull(name=f'app@{MANIFEST.digest}'), MANIFEST.digest)


@pytest.mark.parametrize('digest', ['sha256:../../../etc/passwd', f'sha256:{"A" * 64}', 'sha256:', 'md5:abc', '', None,
                                    7, f'sha256:{"a" * 64}\n', f'sha256:{"a" * 63}/'])
@pytest.mark.parametrize('place', ['config', 'layers'])
def test_30_malformed_digests_never_reach_a_path(digest: object, place: str, server: Scripted, pull: Pull) -> None:
    bad = {**MANIFEST.config.to_json(), 'digest': digest}
    serve_manifest(server, manifest_of(**{place: bad if place == 'config' else [bad] * 3}))
    is_refused(pull(), 'digest algorithm md5 is not supported' if digest == 'md5:abc' else 'is not a digest')
    assert {request.path for request in server.requests} <= {'/v2/', '/v2/app/manifests/v1'}


@pytest.mark.parametrize('told', [Digest.of(b'other'), Digest.of(b'other').upper()])
def test_31_another_digest_in_the_header(told: str, server: Scripted, pull: Pull) -> None:
    headers = [('Content-Type', MANIFEST.media_type), ('Docker-Content-Digest', told)]
    server.routes[TAG] = Answer(200, MANIFEST.raw, headers)
    is_refused(pull(), 'digest')


@pytest.mark.parametrize('size', [LAYER.size - 1, LAYER.size + 1, 0, 1 << 60])
def test_32_another_size_in_the_manifest(size: int, server: Scripted, pull: Pull) -> None:
    layers = [each.to_json() for each in MANIFEST.layers]
    layers[1]['size'] = size
    serve_manifest(server, manifest_of(layers=layers))
    is_refused(pull(), LAYER.digest)


def test_33_other_bytes_than_the_diff_id(server: Scripted, pull: Pull) -> None:
    tars = sample_layers()
    config = sample_config([tars[0], tars[1] + bytes(512), tars[2]])
    pointer = Descriptor(media_types.OCI_CONFIG, Digest.of(config), len(config))
    serve_manifest(server, manifest_of(config=pointer.to_json()))
    server.routes[f'GET /v2/app/blobs/{pointer.digest}'] = Answer(200, config)
    is_refused(pull(), 'tar of layer', LAYER.digest)


@pytest.mark.parametrize(('raw', 'content_type'), [
    (manifest_of(manifests=[]), MANIFEST.media_type), (MANIFEST.raw, media_types.OCI_INDEX),
    (MANIFEST.raw, media_types.DOCKER_INDEX), (manifest_of(mediaType=media_types.OCI_INDEX), MANIFEST.media_type)])
def test_34_a_manifest_that_could_be_two_things(raw: bytes, content_type: str, server: Scripted, pull: Pull) -> None:
    serve_manifest(server, raw, content_type)
    is_refused(pull(), 'app:v1')


@pytest.mark.parametrize('more', ['; charset=utf-8', ';charset="utf-8"', ' ; a=b'])
def test_35_parameters_of_the_content_type(more: str, server: Scripted, pull: Pull) -> None:
    serve_manifest(server, MANIFEST.raw, MANIFEST.media_type + more)
    pull('--verify=full').assert_success()


def test_36_a_huge_manifest_is_refused_at_the_cap(server: Scripted, pull: Pull) -> None:
    serve_manifest(server, manifest_of(annotations={'a': 'b' * (5 << 20)}))
    is_refused(pull(), 'more than', 'bytes')


def test_36_a_huge_error_is_cut(server: Scripted, pull: Pull) -> None:
    server.routes[TAG] = Answer(403, json.dumps({'errors': [{'message': 'no' * (2 << 20)}]}).encode())
    result = pull()
    is_refused(result, '403')
    assert len(result.err) < 1000


@pytest.mark.parametrize('fault', [None, Answer(silent=True), Answer(500), Answer(502), Answer(503), Answer(429)])
def test_38_40_what_passes_is_tried_again(fault: Answer | None, server: Scripted, pull: Pull) -> None:
    for place in (TAG, CONFIG, BLOB):
        good = served(server, place)
        server.routes[place] = [fault or replace(good, cut=3), good]
    summary = pull('--verify=full').assert_success().err.splitlines()[-1]
    assert ('3 rate limits' if fault and fault.status == 429 else '3 retries') in summary


@pytest.mark.parametrize('fault', [Answer(200, b'x' * 9, cut=3), Answer(silent=True), Answer(503), Answer(429)])
@pytest.mark.parametrize('place', [TAG, CONFIG, BLOB])
def test_38_40_what_does_not_pass_is_an_error_in_the_end(fault: Answer, place: str, server: Scripted,
                                                         pull: Pull) -> None:
    server.routes[place] = fault
    is_refused(pull('--retries', '2'))
    assert len([each for each in server.requests if f'{each.method} {each.path}' == place]) == 3


def test_38_a_body_cut_off_is_resumed_where_it_broke(server: Scripted, pull: Pull) -> None:
    whole = served(server, BLOB).body

    def resuming(request: Request) -> Answer:
        start = int(request.headers.get('range', 'bytes=0-')[6:-1])
        if not start:
            return Answer(200, whole, cut=20)
        return Answer(206, whole[start:], [('Content-Range', f'bytes {start}-{len(whole) - 1}/{len(whole)}')])
    server.routes[BLOB] = resuming
    assert '1 retry' in pull('--verify=full').assert_success().err
    assert [request.headers.get('range') for request in server.received('GET', BLOB[4:])] == [None, 'bytes=20-']


@pytest.mark.parametrize('place', [TAG, CONFIG, BLOB])
def test_39_a_server_that_hangs(place: str, server: Scripted, pull: Pull) -> None:
    def hanging(request: Request) -> Answer:
        time.sleep(4)
        return Answer(200)
    server.routes[place] = hanging
    before = time.monotonic()
    is_refused(pull('--timeout', '0.3', '--retries', '1'), 'did not answer in time')
    assert time.monotonic() - before < 10


@pytest.mark.parametrize('asked_for', ['0', '1', '86400', '-5', 'soon', 'Wed, 21 Oct 2015 07:28:00 GMT',
                                       'Fri, 31 Dec 2999 23:59:59 GMT', '9' * 400])
def test_40_waits_are_capped(asked_for: str, server: Scripted, pull: Pull) -> None:
    server.routes[CONFIG] = [Answer(503, headers=[('Retry-After', asked_for)]), served(server, CONFIG)]
    before = time.monotonic()
    pull().assert_success()
    assert time.monotonic() - before < 10


@pytest.mark.parametrize('status', [400, 405, 409, 410, 416, 451])
def test_40_other_refusals_are_final(status: int, server: Scripted, pull: Pull) -> None:
    server.routes[CONFIG] = Answer(status)
    is_refused(pull(), str(status))
    assert len(server.received('GET', CONFIG[4:])) == 1


def test_46_foreign_layers_are_not_fetched_from_elsewhere(server: Scripted, pull: Pull) -> None:
    layers = [each.to_json() for each in MANIFEST.layers]
    layers[1]['urls'] = [f'http://{server.host}/elsewhere']
    serve_manifest(server, manifest_of(layers=layers))
    server.routes[BLOB] = Answer(404)
    server.routes['GET /elsewhere'] = Answer(401, headers=[('WWW-Authenticate', 'Basic realm="x"')])
    is_refused(pull(), 'foreign layer', LAYER.digest)
    assert not server.received('GET', '/elsewhere')


def test_48_a_tag_that_moves_meanwhile(server: Scripted, pull: Pull) -> None:
    server.routes[TAG] = [served(server, TAG), Answer(200, manifest_of(annotations={'moved': 'yes'}))]
    result = pull('--verify=full', '-O', 'json').assert_success().json()
    assert result['images'][0]['image_id'] == MANIFEST.config.digest
    assert len(server.received('GET', TAG[4:])) == 1


def image_with(*tars: bytes) -> Image:
    """Return an image of these layers, with a manifest."""
    config = ImageConfig.parse(sample_config(list(tars)))
    blobs = [gzip.compress(tar, mtime=0) for tar in tars]
    layers = [Descriptor(f'{media_types.OCI_LAYER}+gzip', Digest.of(blob), len(blob)) for blob in blobs]
    manifest = Manifest.build(Descriptor(media_types.OCI_CONFIG, config.digest, len(config.raw)), layers)
    image = Image(IMAGE.reference, config, [], None) if not tars else sample_image()
    image.manifest, image._config = manifest, config
    return image


@pytest.mark.parametrize('tars', [[], [sample_layers()[0]] * 2, [b''], [sample_layers()[0], b'']],
                         ids=['none', 'twice', 'empty', 'one empty'])
def test_49_few_layers_and_empty_ones(tars: list[bytes], server: Scripted, pull: Pull) -> None:
    image = image_with(*tars)
    assert image.manifest
    serve_manifest(server, image.manifest.raw)
    server.routes[f'GET /v2/app/blobs/{image.config.digest}'] = Answer(200, image.config.raw)
    for tar in tars:
        blob = gzip.compress(tar, mtime=0)
        server.routes[f'GET /v2/app/blobs/{Digest.of(blob)}'] = Answer(200, blob)
    assert f' {len(tars)} layer' in pull('--verify=full').assert_success().err


def test_50_an_unrequested_content_encoding(server: Scripted, pull: Pull) -> None:
    server.routes[BLOB] = Answer(200, served(server, BLOB).body, [('Content-Encoding', 'gzip')])
    pull('--verify=full').assert_success()
