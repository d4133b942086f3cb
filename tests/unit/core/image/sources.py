"""Sources that behave, that break in the middle, and that give their bytes in odd pieces."""
import io
from collections.abc import Iterator

from occystrap_core.files import ChunkedSource


class Source(io.BytesIO):
    """Bytes; `step` limits what one call gives; after `fails_after` bytes `failure` is raised."""

    def __init__(self, data: bytes, step: int = 1 << 30, fails_after: int | None = None,
                 failure: BaseException | None = None) -> None:
        super().__init__(data)
        self._step, self._fails_after, self._failure = step, fails_after, failure
        self.closed_times = 0

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        if self._fails_after is not None and self.tell() >= self._fails_after:
            raise self._failure or OSError('the cable was pulled')
        return super().readinto(memoryview(buffer)[:self._step])

    def close(self) -> None:
        self.closed_times += 1


class Pieces(ChunkedSource):
    """Bytes in given pieces."""

    def __init__(self, *pieces: bytes) -> None:
        super().__init__()
        self._pieces = pieces

    def chunks(self) -> Iterator[memoryview]:
        return (memoryview(piece) for piece in self._pieces)
