"""Blobs over bad lines: resumed, or refused, and never half of one taken for a whole."""
import gzip
import zlib
from dataclasses import replace

import pytest

from occystrap_core import ImageNotFound, InvalidImage, ServiceError, ServiceUnavailable, Settings
from occystrap_core.files import ByteStream, DigestMismatch
from occystrap_core.oci import Descriptor, Digest
from occystrap_registry.distribution.blobs import BlobSource, tar_size_hint
from occystrap_registry.distribution.documents import get_document
from tests.unit.registry.scripted import Request, Answer, Scripted, client_of

BLOB = bytes(range(256)) * 1000
SIZE = len(BLOB)
DESCRIPTOR = Descriptor('application/vnd.oci.image.layer.v1.tar', Digest.of(BLOB), SIZE)
PATH = f'/v2/app/blobs/{DESCRIPTOR.digest}'


@pytest.fixture(autouse=True, params=[True, False], ids=['directly', 'as through a proxy'])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What speaks HTTP: the standard library, or httpx."""
    monkeypatch.setattr('occystrap_registry.transport.connection_pool._is_plain', lambda proxy, http2: request.param)


def read(server: Scripted, settings: Settings, descriptor: Descriptor = DESCRIPTOR) -> bytes:
    source = BlobSource(client_of(server.host, settings), descriptor)
    with ByteStream(source, digest=descriptor.digest, size=descriptor.size, what='blob') as stream:
        return b''.join(bytes(chunk) for chunk in stream.chunks())


def rest(first: int, cut: int | None = None) -> Answer:
    """Return the answer to a Range request."""
    return Answer(206, BLOB[first:], [('Content-Range', f'bytes {first}-{SIZE - 1}/{SIZE}')], cut)


def ranges(server: Scripted) -> list[str | None]:
    return [request.headers.get('range') for request in server.received('GET', PATH)]


def test_resumed_where_it_broke_off(server: Scripted, settings: Settings) -> None:
    server.routes[f'GET {PATH}'] = [Answer(200, BLOB, cut=4000), rest(4000, cut=5), rest(4005)]
    assert read(server, settings) == BLOB
    assert ranges(server) == [None, 'bytes=4000-', 'bytes=4005-']
    assert settings.requests.retries == 2 and server.requests[1].headers['accept-encoding'] == 'identity'


@pytest.mark.parametrize('answers', [
    [rest(4000)], [rest(4000, cut=5), rest(4005)], [Answer(200, BLOB)], [Answer(416), Answer(200, BLOB)],
    [Answer(206, BLOB, [('Content-Range', f'bytes 0-{SIZE - 1}/{SIZE}')]), Answer(200, BLOB)]])
def test_the_rest_of_a_blob(answers: list[Answer], server: Scripted, settings: Settings) -> None:
    server.routes[f'GET {PATH}'] = list(answers)
    source = BlobSource(client_of(server.host, settings), DESCRIPTOR, 4000)
    assert b''.join(bytes(chunk) for chunk in source.chunks()) == BLOB[4000:]
    assert ranges(server)[0] == 'bytes=4000-'


def test_a_head_of_something_large_has_no_body(server: Scripted, settings: Settings) -> None:
    server.routes[f'HEAD {PATH}'] = [Answer(200, b'', [('Content-Length', str(64 << 20))])]
    with client_of(server.host, settings).once('HEAD', PATH, '') as answer:
        assert answer.whole().body == b'' and answer.headers['content-length'] == str(64 << 20)


def test_a_server_without_ranges_starts_over(server: Scripted, settings: Settings) -> None:
    server.routes[f'GET {PATH}'] = [Answer(200, BLOB, cut=4000), Answer(200, BLOB, cut=100), Answer(200, BLOB)]
    assert read(server, settings) == BLOB


def test_trouble_while_resuming(server: Scripted, settings: Settings) -> None:
    server.routes[f'GET {PATH}'] = [Answer(200, BLOB, cut=4000), Answer(503), Answer(silent=True), rest(4000)]
    assert read(server, settings) == BLOB


def test_a_body_without_length_that_ends_early(server: Scripted, settings: Settings) -> None:
    ending = [('Transfer-Encoding', 'chunked')]
    server.routes[f'GET {PATH}'] = [Answer(200, b'fa0\r\n' + BLOB[:4000] + b'\r\n', ending, cut=9999), rest(4000)]
    assert read(server, settings) == BLOB


@pytest.mark.parametrize('resumed', [
    rest(3999), rest(4001), Answer(206, BLOB[4000:]), Answer(206, BLOB[4000:], [('Content-Range', 'Bytes 4000-')]),
    Answer(400), Answer(405), Answer(416), Answer(501)])
def test_an_answer_that_resumes_nothing_starts_over_once(resumed: Answer, server: Scripted, settings: Settings) -> None:
    server.routes[f'GET {PATH}'] = [Answer(200, BLOB, cut=4000), resumed, Answer(200, BLOB, cut=5000),
                                    Answer(200, BLOB)]
    assert read(server, settings) == BLOB
    assert ranges(server) == [None, 'bytes=4000-', None, None] and settings.requests.retries == 2


def test_a_server_of_slices_starts_over(server: Scripted, settings: Settings) -> None:
    part = Answer(206, BLOB[4000:4100], [('Content-Range', f'bytes 4000-4099/{SIZE}')])
    server.routes[f'GET {PATH}'] = [Answer(200, BLOB, cut=4000), part, Answer(200, BLOB)]
    assert read(server, settings) == BLOB and ranges(server) == [None, 'bytes=4000-', None]


def test_never_a_whole_blob_is_an_error(server: Scripted, settings: Settings) -> None:
    server.routes[f'GET {PATH}'] = [Answer(200, BLOB, cut=4000), *[Answer(206, b'x')] * 20]
    with pytest.raises(ServiceError, match='HTTP 206'):
        read(server, settings)
    assert len(ranges(server)) == 3


def test_an_error_after_the_last_byte_is_none(server: Scripted, settings: Settings) -> None:
    server.routes[f'GET {PATH}'] = [Answer(200, BLOB, [('Content-Length', str(SIZE + 10))]), Answer(416)]
    assert read(server, replace(settings, timeout=0.5)) == BLOB and ranges(server) == [None]


def test_an_unrequested_206_may_be_the_whole_blob(server: Scripted, settings: Settings) -> None:
    server.routes[f'GET {PATH}'] = rest(0)
    assert read(server, settings) == BLOB


def test_breaking_off_again_and_again(server: Scripted, settings: Settings) -> None:
    server.routes[f'GET {PATH}'] = [Answer(200, BLOB, cut=10), *(rest(at, cut=10) for at in range(10, 200, 10))]
    with pytest.raises(ServiceUnavailable, match=server.host):
        read(server, settings)
    assert len(ranges(server)) == 1 + settings.retries


def test_much_progress_is_worth_more_attempts(server: Scripted) -> None:
    blob = bytes(5 << 20)
    descriptor = Descriptor('', Digest.of(blob), len(blob))

    def one_more(request: Request) -> Answer:
        first = int(request.headers.get('range', 'bytes=0-')[6:-1])
        text = f'bytes {first}-{len(blob) - 1}/{len(blob)}'
        return Answer(206 if first else 200, blob[first:], [('Content-Range', text)], cut=(1 << 20) + 9)
    server.routes[f'GET /v2/app/blobs/{descriptor.digest}'] = one_more
    settings = Settings(retries=1)
    assert read(server, settings, descriptor) == blob and settings.requests.retries == 4


@pytest.mark.parametrize('body', [BLOB[:-1], BLOB + b'x', BLOB[:-1] + b'x', b'', BLOB * 2])
def test_other_bytes_than_promised(body: bytes, server: Scripted, settings: Settings) -> None:
    server.routes[f'GET {PATH}'] = Answer(200, body)
    with pytest.raises(DigestMismatch):
        read(server, settings)
    assert len(server.received('GET', PATH)) == 1


def test_an_endless_blob_is_stopped(server: Scripted, settings: Settings) -> None:
    endless = b'100000\r\n' + bytes(1 << 20) + b'\r\n'
    server.routes[f'GET {PATH}'] = Answer(200, endless * 20, [('Transfer-Encoding', 'chunked')])
    with pytest.raises(DigestMismatch, match='more than the expected'):
        read(server, settings)


def test_unasked_content_encoding_is_left_alone(server: Scripted, settings: Settings) -> None:
    server.routes[f'GET {PATH}'] = Answer(200, BLOB, [('Content-Encoding', 'gzip')])
    assert read(server, settings) == BLOB


def test_missing_blobs(server: Scripted, settings: Settings) -> None:
    with pytest.raises(ImageNotFound, match=DESCRIPTOR.digest):
        read(server, settings)
    foreign = Descriptor(DESCRIPTOR.media_type, DESCRIPTOR.digest, SIZE, urls=(f'http://{server.host}/elsewhere',))
    with pytest.raises(InvalidImage, match='foreign'):
        read(server, settings, foreign)
    assert not server.received('GET', '/elsewhere')


def test_errors_quote_the_registry(server: Scripted, settings: Settings) -> None:
    server.routes[f'GET {PATH}'] = Answer(400, b'{"errors": [{"code": "X", "message": "bad moon"}, {"code": "Y"}]}')
    with pytest.raises(ServiceError, match=r'bad moon; Y \(HTTP 400\)'):
        read(server, settings)


def gzipped(content: bytes) -> Descriptor:
    blob = gzip.compress(content)
    return Descriptor('application/vnd.oci.image.layer.v1.tar+gzip', Digest.of(blob), len(blob))


def test_size_hint_reads_the_end(server: Scripted, settings: Settings) -> None:
    descriptor = gzipped(BLOB)
    path = f'/v2/app/blobs/{descriptor.digest}'
    server.routes[f'GET {path}'] = Answer(206, gzip.compress(BLOB)[-34:])
    assert tar_size_hint(client_of(server.host, settings), descriptor) == SIZE
    assert server.received('GET', path)[0].headers['range'] == f'bytes={descriptor.size - 34}-{descriptor.size - 1}'


@pytest.mark.parametrize('say', [Answer(200, BLOB), Answer(206, b'12345'), Answer(206, b'123'), Answer(404),
                                 Answer(416), Answer(500)])
def test_size_hint_is_left_out_where_it_cannot_be_had(say: Answer, server: Scripted, settings: Settings) -> None:
    descriptor = gzipped(BLOB)
    server.routes[f'GET /v2/app/blobs/{descriptor.digest}'] = say
    assert tar_size_hint(client_of(server.host, settings), descriptor) is None
    assert tar_size_hint(client_of(server.host, settings), DESCRIPTOR) is None


CODED = {'gzip': gzip.compress(BLOB), 'x-gzip': gzip.compress(BLOB), 'deflate': zlib.compress(BLOB)}


@pytest.mark.parametrize('coding', CODED)
def test_a_server_that_compresses_unasked(coding: str, server: Scripted, settings: Settings) -> None:
    whole = Answer(200, CODED[coding], [('Content-Encoding', coding)])
    server.routes[f'GET {PATH}'] = [replace(whole, cut=300), whole]
    assert read(server, settings) == BLOB
    assert ranges(server) == [None, None]
    document = get_document(client_of(server.host, settings), DESCRIPTOR, 'the config')
    assert document == BLOB


def test_a_server_that_only_says_that_it_compresses(server: Scripted, settings: Settings) -> None:
    blob = gzip.compress(BLOB)
    descriptor = Descriptor('', Digest.of(blob), len(blob))
    for route, content in (('blob', blob), ('document', b'{}')):
        descriptor = Descriptor('', Digest.of(content), len(content))
        path = f'/v2/app/blobs/{descriptor.digest}'
        server.routes[f'GET {path}'] = Answer(200, content, [('Content-Encoding', 'gzip')])
        assert read(server, settings, descriptor) == content
    assert get_document(client_of(server.host, settings), descriptor, 'the config') == b'{}'


@pytest.mark.parametrize('damaged', [CODED['gzip'][:-100], CODED['gzip'][:20] + b'?' * 200, gzip.compress(BLOB + b'x')])
def test_a_compressed_answer_is_checked(damaged: bytes, server: Scripted, settings: Settings) -> None:
    server.routes[f'GET {PATH}'] = Answer(200, damaged, [('Content-Encoding', 'gzip')])
    with pytest.raises((ServiceError, InvalidImage)):
        read(server, settings)
    with pytest.raises((ServiceError, InvalidImage)):
        get_document(client_of(server.host, settings), DESCRIPTOR, 'the config')


def test_a_small_answer_that_becomes_large(server: Scripted, settings: Settings) -> None:
    server.routes[f'GET {PATH}'] = Answer(200, gzip.compress(bytes(64 << 20)), [('Content-Encoding', 'gzip')])
    with pytest.raises(InvalidImage, match='more than the'):
        get_document(client_of(server.host, settings), DESCRIPTOR, 'the config')
