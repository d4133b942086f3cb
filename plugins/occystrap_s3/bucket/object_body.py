"""The bytes of an object as they arrive; after a broken connection, reading continues where it stopped."""
from collections.abc import Callable, Iterator
from typing import Any

from occystrap_core import Settings
from occystrap_core.files import CHUNK, ChunkedSource
from occystrap_s3.bucket.attempts import Attempts
from occystrap_s3.bucket.failures import CutShort
from occystrap_s3.bucket.pace import Pace


class ObjectBody(ChunkedSource):
    """The bytes of an object from an offset on."""

    def __init__(self, ask: Callable[[int, str | None], Any], settings: Settings, offset: int,
                 explained: Callable[[Exception], Exception], server: str) -> None:
        """`ask` requests the object from an offset on, of the version with an ETag if one is given, and returns the
        answer.

        It raises exceptions of the run, as `explained` returns them. `server` is its address.
        """
        super().__init__()
        self._ask, self._settings, self._offset, self._explained = ask, settings, offset, explained
        self._server = server
        self._answer = ask(offset, None)
        self._left: int = self._answer.get('ContentLength', 0)
        self.version: str = self._answer.get('ETag', '')

    def chunks(self) -> Iterator[memoryview]:
        """Yield the bytes as they arrive."""
        attempts, pace = Attempts(self._settings, self._server), Pace(self._settings)
        while True:
            try:
                while piece := self._next(pace):
                    attempts.progressed()
                    self._offset += len(piece)
                    yield memoryview(piece)
                return
            except Exception as error:
                if not attempts.again(error):
                    raise self._explained(error) from None
            self.close()
            self._answer = self._ask(self._offset, self.version)
            self._left = self._answer.get('ContentLength', 0)

    def close(self) -> None:
        """Close the connection, unless everything was read."""
        self._answer['Body'].close()

    def _next(self, pace: Pace) -> bytes:
        """Return the bytes that have arrived, so that a slow server is noticed; empty at the end."""
        pace.begin()
        piece: bytes = self._answer['Body']._raw_stream.read1(CHUNK)  # read() would wait for the whole chunk
        pace.moved(len(piece))
        self._left -= len(piece)
        if not piece and self._left > 0:  # the library does not report this
            raise CutShort(f'ended {self._left} bytes before its end')
        return piece
