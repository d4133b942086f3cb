"""A stream that is read once for several readers, each at its own pace, through an unnamed temporary file."""
import threading
from collections import Counter
from collections.abc import Callable, Hashable
from io import FileIO

from occystrap_core.errors import Cancelled, OutputError, again
from occystrap_core.files.stream import ByteStream, Readable
from occystrap_core.files.temporary_file import TemporaryFile

_LOOK = 0.1
"""Seconds between two checks for cancellation while waiting for bytes."""


class SharedStream:
    """The bytes of one stream. The source is read at its own speed; readers do not wait for each other, and one that
    fails or starts over does not affect the rest."""

    def __init__(self, open_source: Callable[[], ByteStream], directory: str, check: Callable[[], None]) -> None:
        """`open_source` is called once, on another thread, when the first reader comes; `check` raises if the run is to
        stop. `directory` is for the temporary file."""
        self._open_source, self._directory, self._check = open_source, directory, check
        self._changed = threading.Condition()
        self._file: TemporaryFile | None = None
        self._there = 0
        self._ended = self._closed = False
        self._error: BaseException | None = None

    @property
    def begun(self) -> bool:
        """Whether reading the source has started."""
        return self._file is not None

    def open(self) -> Readable:
        """Return all bytes from the first, which come as the source gives them; raises OutputError.

        Reading raises what the source raised, behind the bytes before it.
        """
        with self._changed:
            self._begin(on_thread=True)
            assert self._file
            return _Follower(self, self._file.reopened())

    def fill(self) -> None:
        """Read the source to its end on this thread; raises as it does."""
        with self._changed:
            self._begin(on_thread=False)
        self._fill()
        if self._error:
            raise self._error

    def close(self) -> None:
        """Free the disk space when no reader has the file open any more; stop reading the source."""
        with self._changed:
            self._closed = True
            if self._file and self._ended:
                self._file.close()

    def available(self, place: int) -> int:
        """Return how many bytes there are behind `place`, having waited for one; 0 at the end."""
        with self._changed:
            while self._there <= place and not self._ended:
                self._check()
                self._changed.wait(_LOOK)
            if self._there <= place and self._error:
                raise again(self._error)
            return self._there - place

    def _begin(self, on_thread: bool) -> None:
        if self._closed:
            raise Cancelled('interrupted')  # a thread of a copy that has failed meanwhile
        if self._file is None:
            self._file = TemporaryFile(self._directory)
            if on_thread:
                threading.Thread(target=self._fill, name='source', daemon=True).start()

    def _fill(self) -> None:
        error: BaseException | None = None
        try:
            with self._open_source() as stream:
                for chunk in stream.chunks():
                    self._write(chunk)
        except BaseException as raised:  # raised again for the readers
            error = raised
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify_all()
            if self._closed and self._file:
                self._file.close()

    def _write(self, chunk: memoryview) -> None:
        self._check()
        if self._closed:
            raise Cancelled('interrupted')
        assert self._file
        self._file.write(chunk)
        with self._changed:
            self._there += len(chunk)
            self._changed.notify_all()


class SharedStreams:
    """The shared streams of a run; images that share a layer share its stream, too."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readings: dict[Hashable, SharedStream] = {}
        self._holders: Counter[Hashable] = Counter()

    def held(self, key: Hashable, new: SharedStream) -> SharedStream:
        """Return the stream of a layer, `new` if there is none yet, and count one more holder."""
        with self._lock:
            self._holders[key] += 1
            return self._readings.setdefault(key, new)

    def is_shared(self, key: Hashable) -> bool:
        """Return whether a stream has several holders."""
        return self._holders[key] > 1

    def left(self, key: Hashable) -> None:
        """Count one holder less; the last one frees the disk space."""
        with self._lock:
            self._holders[key] -= 1
            if not self._holders[key]:
                del self._holders[key]
                self._readings.pop(key).close()


class _Follower:
    """Reads the file as it grows."""

    def __init__(self, reading: SharedStream, file: FileIO) -> None:
        self._reading, self._file, self._place = reading, file, 0

    def readinto(self, buffer: memoryview, /) -> int:
        available = self._reading.available(self._place)
        count = self._file.readinto(buffer[:available]) if available else 0
        if available and not count:
            raise OutputError('a temporary file was cut while it was read: look at the directory of --temp-dir')
        self._place += count
        return count

    def close(self) -> None:
        self._file.close()
