"""Bytes on their way: cut into parts, never complete before they are checked, resumed after a cut."""
import base64
import hashlib
import time
from typing import Any

import pytest

from occystrap_core import Cancelled, Settings
from occystrap_core.files import ByteStream, DigestMismatch
from occystrap_core.oci import Digest
from occystrap_s3.bucket.bucket import Bucket
from occystrap_s3.bucket.connection import Connection
from occystrap_s3.bucket.layer_body import LayerBody
from occystrap_s3.bucket.upload_in_parts import LEAST, PART, _parts, part_size_for
from tests.unit.core.image.sources import Source
from tests.unit.registry.scripted import Request, Answer
from tests.unit.s3.answers import S3Script

DATA = bytes(range(256)) * 10


@pytest.mark.parametrize('size', [0, 1, 9, 10, 11, 20, 25])
def test_parts_are_the_whole(size: int, tmp_path: Any) -> None:
    data = DATA[:size]
    found = []
    for part in _parts(ByteStream(Source(data), digest=Digest.of(data)), 10, str(tmp_path)):
        with part.open() as stream:
            found.append(b''.join(map(bytes, stream.chunks())))
        assert part.digest == Digest.of(found[-1]) and part.size == len(found[-1])
    assert b''.join(found) == data and all(len(each) == 10 for each in found[:-1])
    assert len(found) == max(1, -(-size // 10))


def test_the_size_of_parts() -> None:
    assert part_size_for(6 << 30, 5 << 30) == PART
    assert part_size_for(100, 10) == LEAST
    assert part_size_for(5 << 40, 5 << 30) * 10_000 >= 5 << 40


def test_wrong_bytes_are_never_complete() -> None:
    body = LayerBody(ByteStream(Source(DATA), digest=Digest.of(b'other')), Settings())
    sent = b''
    with pytest.raises(DigestMismatch) as caught:
        while piece := body.read(100):
            sent += piece
    assert len(sent) < len(DATA) and body.failure is caught.value


def test_a_body_ends_with_the_run() -> None:
    settings = Settings()
    body = LayerBody(ByteStream(Source(DATA)), settings)
    assert body.read(10) == DATA[:10]
    settings.cancellation.cancel()
    with pytest.raises(Cancelled):
        body.read(10)


def bucket(script: S3Script, monkeypatch: pytest.MonkeyPatch, settings: Settings | None = None) -> Bucket:
    monkeypatch.setenv('AWS_ACCESS_KEY_ID', 'tester')
    monkeypatch.setenv('AWS_SECRET_ACCESS_KEY', 'secret')
    quick = settings or Settings(timeout=2, longest_wait=0.01)
    return Bucket('bucket', Connection(f'http://{script.host}', 'us-east-1'), quick)


def test_a_cut_object_goes_on_where_it_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    def serve(request: Request) -> Answer:
        start = int(request.headers.get('range', 'bytes=0-')[6:-1])
        rest = DATA[start:]
        return Answer(206 if start else 200, rest, [('ETag', '"1"')], cut=1000 if len(rest) > 1000 else None)
    with S3Script() as script:
        script.always(serve)
        source = bucket(script, monkeypatch).open('key')
        with ByteStream(source, digest=Digest.of(DATA), size=len(DATA)) as stream:
            stream.drain()
        assert [each.headers.get('range') for each in script.requests] == [None, 'bytes=1000-', 'bytes=2000-']
        assert [each.headers.get('if-match') for each in script.requests] == [None, '"1"', '"1"']


def test_a_trickle_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    with S3Script() as script:
        script.always(Answer(200, bytes(1 << 16), [('ETag', '"1"'), ('Content-Length', str(1 << 40))], endless=True))
        source = bucket(script, monkeypatch, Settings(timeout=0.2, least_rate=1e12, retries=0)).open('key')
        until = time.monotonic() + 5
        with pytest.raises(Exception, match='fewer than'):
            source.readinto(memoryview(bytearray(1)))
            while source.readinto(memoryview(bytearray(1 << 20))) and time.monotonic() < until:
                pass
        source.close()


def test_a_blob_is_sent_with_its_sha256_and_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with S3Script() as script:
        script.always(Answer(500), Answer(200, b'', [('ETag', '"1"')]))
        opened = []

        def open_stream() -> ByteStream:
            opened.append(1)
            return ByteStream(Source(DATA), digest=Digest.of(DATA))
        bucket(script, monkeypatch).send('key', open_stream, Digest.of(DATA), len(DATA))
        assert [each.body for each in script.requests] == [DATA, DATA] and len(opened) == 2
        assert base64.b64decode(script.requests[0].headers['x-amz-checksum-sha256']) == hashlib.sha256(DATA).digest()
        assert 'x-amz-checksum-sha256' in script.requests[0].headers['authorization']


def test_errors_of_a_stream_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    with S3Script() as script:
        script.always(Answer(200, b'', [('ETag', '"1"')]))
        with pytest.raises(DigestMismatch):
            bucket(script, monkeypatch).send(
                'key', lambda: ByteStream(Source(DATA), digest=Digest.of(b'other')), Digest.of(b'other'), len(DATA))
