"""The bytes of a blob that is sent to a server: read from a stream that checks itself, never held completely in memory.
"""
from collections.abc import Iterator

from occystrap_core import Settings
from occystrap_core.files import ByteStream
from occystrap_s3.bucket.pace import Pace


class LayerBody:
    """A file-like object for boto3, which reads it once. The last bytes are only returned after the stream has checked
    all."""

    def __init__(self, stream: ByteStream, settings: Settings) -> None:
        self._pieces = self._checked(stream)
        self._pace = Pace(settings)
        self._rest = memoryview(b'')
        self._asked, self._sent = False, 0
        self.failure: Exception | None = None
        """The error of the stream, or of a slow server: boto3 hides it in an exception of its own."""

    def read(self, amount: int = -1) -> bytes:
        """Return the next bytes, at most `amount` of them, empty at the end."""
        try:
            if self._asked:
                self._pace.moved(self._sent)
            if not self._rest:
                self._rest = memoryview(next(self._pieces, b''))
            taken = bytes(self._rest if amount < 0 else self._rest[:amount])
            self._rest = self._rest[len(taken):]
            self._asked, self._sent = True, len(taken)
            self._pace.begin()
            return taken
        except Exception as error:
            self.failure = error
            raise

    @staticmethod
    def _checked(stream: ByteStream) -> Iterator[bytes]:
        """Yield each piece after the next has been read, so that the server never gets a complete object of wrong
        bytes."""
        held = b''
        for piece in stream.chunks():
            if held:
                yield held
            held = bytes(piece)
        yield held
