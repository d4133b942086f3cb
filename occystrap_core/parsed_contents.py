"""Values that were parsed from the last contents of files that grow image by image."""
from typing import Generic, TypeVar

T = TypeVar('T')


class ParsedContents(Generic[T]):
    """What the last few contents were parsed to. The file itself is read each time: only equal bytes are the same."""

    def __init__(self, most: int = 4) -> None:
        """Keep at most so many contents."""
        self._most = most
        self._values: dict[bytes, T] = {}

    def get(self, raw: bytes) -> T | None:
        """Return the value of a content, None if it is unknown. The value must not be changed."""
        return self._values.get(raw)

    def keep(self, raw: bytes, value: T) -> None:
        """Keep the value of a content; the oldest is forgotten."""
        self._values[raw] = value
        while len(self._values) > self._most:
            self._values.pop(next(iter(self._values)), None)
