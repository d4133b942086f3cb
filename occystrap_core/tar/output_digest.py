"""The digest of a rewritten tar: nothing is hashed twice as long as nothing has changed."""
from typing import TYPE_CHECKING

from occystrap_core.files.stream import ByteStream

if TYPE_CHECKING:
    from hashlib import _Hash


class OutputDigest:
    """Follows what comes out. Up to the first change that is what went in, which its stream has hashed already."""

    def __init__(self, source: ByteStream) -> None:
        self._source = source
        self._before = source.hash_so_far()
        """Hash of what went in before the current chunk."""
        self._held: '_Hash | None' = None
        """Hash of what has come out, where the last chunk ended within the headers of an entry."""
        self._own: '_Hash | None' = None

    @property
    def changed(self) -> bool:
        """Whether what came out differs from what went in."""
        return self._own is not None

    def chunk_ended(self) -> None:
        """Take note that the whole chunk went through, but for headers that are held back."""
        if self._own is None:
            self._before = self._source.hash_so_far()

    def hold(self, out: memoryview) -> None:
        """Take note that of the current chunk only `out` comes out by now."""
        if self._own is None:
            self._held = self._with(out)

    def differ(self, out: memoryview, split: bool) -> None:
        """What comes next is the first that differs; `out` of the current chunk came out before, unless it was held."""
        self._own = self._held if split else self._with(out)

    def add(self, piece: bytes | memoryview) -> None:
        """Take what comes out."""
        if self._own is not None:
            self._own.update(piece)

    def hexdigest(self) -> str:
        """Return the digest when all has come out, in hexadecimal."""
        return self._own.hexdigest() if self._own is not None else self._source.digest.hex

    def _with(self, out: memoryview) -> '_Hash':
        hashed = self._before.copy()
        hashed.update(out)
        return hashed
