"""Reading ahead: the same bytes, errors where they belong, no thread and no open source left behind."""
import threading
import time

import pytest

from occystrap_core import Cancelled
from occystrap_core.files import CHUNK, ByteStream, ReadAhead
from occystrap_core.oci import Digest
from tests.unit.core.image.sources import Source

DATA = bytes(range(251)) * 20_000  # more than all buffers together


def threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == 'read-ahead']


def wait_for_none() -> None:
    """Fail unless the threads end by themselves soon."""
    deadline = time.monotonic() + 5
    while threads() and time.monotonic() < deadline:
        time.sleep(0.005)
    assert threads() == []


@pytest.mark.parametrize('step', [1 << 30, 1000])
@pytest.mark.parametrize('size', [0, 1, CHUNK, len(DATA)])
def test_the_same_bytes(size: int, step: int) -> None:
    source = Source(DATA[:size], step)
    with ByteStream(ReadAhead(source)) as stream:
        assert stream.drain() == Digest.of(DATA[:size]) and stream.size == size
    wait_for_none()
    assert source.closed_times >= 1


def test_small_reads_before_the_rest() -> None:
    with ByteStream(ReadAhead(Source(DATA)), digest=Digest.of(DATA)) as stream:
        stream.readinto(memoryview(bytearray(700)))
        assert len(threads()) <= 1
        stream.drain()
    wait_for_none()


@pytest.mark.parametrize('failure', [OSError('the cable was pulled'), Cancelled('interrupted'), KeyboardInterrupt()])
def test_an_error_reaches_the_consumer_after_the_bytes_before_it(failure: BaseException) -> None:
    source = Source(DATA, fails_after=2 * CHUNK, failure=failure)
    stream = ByteStream(ReadAhead(source))
    with pytest.raises(type(failure)):
        stream.drain()
    assert stream.size == 2 * CHUNK and not stream.ended
    wait_for_none()
    assert source.closed_times >= 1


class Unclosable(Source):
    """A source whose end is an error, such as a lost connection."""

    def close(self) -> None:
        raise OSError('cannot even be closed')


def test_a_source_that_cannot_be_closed_does_not_hang_the_consumer() -> None:
    with pytest.raises(OSError, match='cannot even be closed'):
        ByteStream(ReadAhead(Unclosable(b'abc'))).drain()


@pytest.mark.parametrize('reads', [0, 1, 3])
def test_closing_early_ends_the_thread_and_closes_the_source(reads: int) -> None:
    source = Source(DATA)
    ahead = ReadAhead(source)
    for _ in range(reads):
        ahead.readinto(memoryview(bytearray(CHUNK)))
    ahead.close()
    ahead.close()
    wait_for_none()
    assert source.closed_times >= 1


def test_closing_does_not_wait_for_a_source_that_is_silent() -> None:
    silent = threading.Event()

    class Silent(Source):
        def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
            if self.tell():
                silent.wait(10)
            return super().readinto(buffer[:10])
    source = Silent(DATA)
    ahead = ReadAhead(source)
    consumer = threading.Thread(target=lambda: ahead.readinto(memoryview(bytearray(10))), daemon=True)
    consumer.start()
    time.sleep(0.05)
    started = time.monotonic()
    ahead.close()
    assert time.monotonic() - started < 1
    silent.set()
    wait_for_none()
    consumer.join(5)
    assert source.closed_times >= 1 and source.tell() < len(DATA)
