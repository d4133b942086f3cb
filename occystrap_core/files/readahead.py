"""Reading ahead on another thread, through a ring of reused buffers."""
import queue
import threading
from collections.abc import Iterator
from contextlib import closing, suppress

from occystrap_core.files.stream import CHUNK, ChunkedSource, Readable

_BUFFERS = 4


class ReadAhead(ChunkedSource):
    """Lets one thread receive and inflate while another hashes and writes.

    The producer thread fills buffers from `source`; `chunks` yields them and takes them back. The consumer gets the
    producer's exception.
    """

    def __init__(self, source: Readable) -> None:
        super().__init__()
        self._source = source
        self._free: queue.SimpleQueue[memoryview | None] = queue.SimpleQueue()
        self._made = 0
        self._filled: queue.SimpleQueue[memoryview | BaseException | None] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closed = False

    def chunks(self) -> Iterator[memoryview]:
        """Yield the filled buffers in order."""
        self._start()
        while (item := self._filled.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            yield item
            assert isinstance(item.obj, bytearray)
            self._free.put(memoryview(item.obj))

    def close(self) -> None:
        """Stop the producer after its current read; it closes the source itself."""
        self._closed = True
        if self._thread is None:
            self._source.close()
        self._free.put(None)

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._produce, name='read-ahead', daemon=True)
        self._thread.start()

    def _produce(self) -> None:
        end: BaseException | None = None
        try:
            with closing(self._source):
                self._fill_buffers()
        except BaseException as error:
            end = error
        self._filled.put(end)

    def _fill_buffers(self) -> None:
        while (buffer := self._buffer()) is not None and not self._closed:
            count = _fill(self._source, buffer)
            if count:
                self._filled.put(buffer[:count])
            if count < len(buffer):
                return

    def _buffer(self) -> memoryview | None:
        """Return a free buffer, or a new one while there are few: most layers fit into one, and new ones are slow."""
        with suppress(queue.Empty):
            return self._free.get(block=self._made == _BUFFERS)
        self._made += 1
        return memoryview(bytearray(CHUNK))


def _fill(source: Readable, buffer: memoryview) -> int:
    """Fill `buffer` as far as the source has data; return the number of bytes."""
    filled = 0
    while filled < len(buffer):
        count = source.readinto(buffer[filled:])
        if not count:
            break
        filled += count
    return filled
