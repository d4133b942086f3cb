"""Streams that check themselves: only a stream that was read to its end and is as expected has a digest."""
from collections.abc import Callable

import pytest

from occystrap_core import Cancelled
from occystrap_core.files import ByteStream, DigestMismatch, IteratorSource, Readable
from occystrap_core.oci import Digest
from tests.unit.core.image.sources import Pieces, Source

DATA = bytes(range(256)) * 5000
DIGEST = Digest.of(DATA)

Read = Callable[[ByteStream], bytes]


def in_chunks(stream: ByteStream) -> bytes:
    return b''.join(bytes(chunk) for chunk in stream.chunks())


def in_bites(stream: ByteStream, size: int = 1000) -> bytes:
    found, buffer = b'', memoryview(bytearray(size))
    while count := stream.readinto(buffer):
        found += buffer[:count]
    return found


@pytest.mark.parametrize('read', [in_chunks, in_bites])
@pytest.mark.parametrize('source', [
    lambda: Source(DATA), lambda: Source(DATA, step=777), lambda: Pieces(DATA[:1], DATA[1:999_999], DATA[999_999:])])
def test_bytes_come_whole_and_checked(read: Read, source: Callable[[], Readable]) -> None:
    stream = ByteStream(source(), digest=DIGEST, size=len(DATA))
    assert read(stream) == DATA
    assert stream.ended and stream.digest == DIGEST and stream.size == len(DATA)
    assert in_bites(stream) == b''


@pytest.mark.parametrize('read', [in_chunks, in_bites])
@pytest.mark.parametrize('chunked', [False, True])
@pytest.mark.parametrize(('data', 'words'), [
    (DATA + b'x', f'the blob has more than the expected {len(DATA)} bytes'),
    (DATA[:-1], f'has {len(DATA) - 1} bytes, expected'),
    (b'', 'has 0 bytes'), (b'x' + DATA[1:], f'expected {DIGEST}')])
def test_a_broken_promise_is_no_end(data: bytes, words: str, chunked: bool, read: Read) -> None:
    stream = ByteStream(Pieces(data) if chunked and data else Source(data), digest=DIGEST, size=len(DATA),
                        what='the blob')
    with pytest.raises(DigestMismatch, match=words):
        read(stream)
    assert not stream.ended
    with pytest.raises(ValueError, match='was not read to its end'):
        stream.digest
    with pytest.raises(DigestMismatch):
        read(stream)


def test_without_a_promise_anything_goes_and_is_hashed() -> None:
    assert ByteStream(Source(b'')).drain() == Digest.of(b'')
    assert ByteStream(Pieces()).drain() == Digest.of(b'')


@pytest.mark.parametrize('source', [Source(DATA), Pieces(DATA[:600], DATA[600:])])
def test_ways_of_reading_can_be_mixed(source: Readable) -> None:
    stream = ByteStream(source, digest=DIGEST)
    assert stream.readinto(memoryview(bytearray(100))) == 100
    next(iter(stream.chunks()))
    stream.readinto(memoryview(bytearray(10)))
    assert stream.drain() == DIGEST and stream.size == len(DATA)


def test_an_empty_buffer_is_not_the_end() -> None:
    stream = ByteStream(Source(DATA), digest=DIGEST)
    assert stream.readinto(memoryview(b'')) == 0
    assert not stream.ended and stream.drain() == DIGEST


@pytest.mark.parametrize('source', [lambda: Source(DATA), lambda: Pieces(DATA[:600], DATA[600:])])
def test_observers_hear_all_and_stop_the_stream_by_raising(source: Callable[[], Readable]) -> None:
    heard: list[int] = []
    stream = ByteStream(source())
    stream.observe(heard.append)
    stream.drain()
    assert sum(heard) == len(DATA)

    def stop(count: int) -> None:
        raise Cancelled('interrupted')
    stopped = ByteStream(source())
    stopped.observe(stop)
    with pytest.raises(Cancelled):
        stopped.drain()
    assert not stopped.ended


def test_errors_of_the_source_are_passed_on_and_the_stream_is_closed() -> None:
    source = Source(DATA, step=1000, fails_after=5000)
    with pytest.raises(OSError, match='the cable was pulled'), ByteStream(source) as stream:
        stream.drain()
    assert source.closed_times == 1 and not stream.ended


def test_an_iterator_is_closed_once_and_its_empty_pieces_are_no_end() -> None:
    closed: list[int] = []
    source = IteratorSource(iter([b'', b'ab', b'', b'c']), lambda: closed.append(1))
    stream = ByteStream(source)
    assert in_bites(stream, 1) == b'abc'
    stream.close()
    stream.close()
    assert closed == [1]
