"""Content digests: `sha256:` and 64 lower-case hexadecimal digits, nothing else."""
import hashlib
import re
from typing import Self

from occystrap_core.errors import InvalidImage

_GRAMMAR = re.compile(r'sha256:[0-9a-f]{64}')


class Digest(str):
    """A validated digest: a string that is safe in a path or a URL.

    Only sha256 is accepted, which image-spec descriptor.md (Digests) requires every implementation to support.
    """

    __slots__ = ()

    def __new__(cls, text: object) -> Self:
        """Return the digest written as `text`; raises InvalidImage if it is not a digest."""
        if not isinstance(text, str) or not _GRAMMAR.fullmatch(text):
            raise InvalidImage(f'{str(text)[:100]!r} is not a digest: sha256: and 64 lower-case hex digits expected')
        return super().__new__(cls, text)

    @classmethod
    def of(cls, data: bytes) -> Self:
        """Return the digest of `data`, for documents small enough to be held in memory."""
        return cls(f'sha256:{hashlib.sha256(data).hexdigest()}')

    @property
    def hex(self) -> str:
        """The 64 hexadecimal digits."""
        return self[7:]

    @property
    def short(self) -> str:
        """The algorithm and the first twelve digits, for messages."""
        return self[:19]
