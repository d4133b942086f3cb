"""The digest of a rewritten tar: nothing is hashed twice before the first change."""
from typing import TYPE_CHECKING

from occystrap_core.files.stream import ByteStream
from occystrap_core.oci.digest import Digest

if TYPE_CHECKING:
    from hashlib import _Hash


class OutputDigest:
    """Hashes the output. Up to the first change it equals the input, which its stream has hashed already."""

    def __init__(self, source: ByteStream) -> None:
        self._source = source
        self._before = source.hash_so_far()
        """Hash of the input before the current chunk."""
        self._held: '_Hash | None' = None
        """Hash of the output, if the last chunk ended within the headers of an entry."""
        self._own: '_Hash | None' = None

    @property
    def changed(self) -> bool:
        """Whether the output differs from the input."""
        return self._own is not None

    def chunk_ended(self) -> None:
        """Record that the whole chunk was output, except headers that are held back."""
        if self._own is None:
            self._before = self._source.hash_so_far()

    def hold(self, out: memoryview) -> None:
        """Record that only `out` of the current chunk has been output so far."""
        if self._own is None:
            self._held = self._with(out)

    def differ(self, out: memoryview, split: bool) -> None:
        """Record that the first difference follows; `out` of the current chunk was output before it, unless held back.
        """
        self._own = self._held if split else self._with(out)

    def add(self, piece: bytes | memoryview) -> None:
        """Hash a piece of output."""
        if self._own is not None:
            self._own.update(piece)

    def total(self) -> Digest:
        """Return the digest of the whole output, by the algorithm of the input's."""
        return self._source.digest if self._own is None else Digest.of_hash(self._own)

    def _with(self, out: memoryview) -> '_Hash':
        hashed = self._before.copy()
        hashed.update(out)
        return hashed
