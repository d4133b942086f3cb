"""Content digests: `sha256:` or `sha512:` and lower-case hexadecimal digits."""
import hashlib
import re
from typing import TYPE_CHECKING, Self

from occystrap_core.errors import InvalidImage

if TYPE_CHECKING:
    from hashlib import _Hash

SHA256 = 'sha256'
"""The algorithm of all new digests."""
_DIGITS = {SHA256: 64, 'sha512': 128}
ALGORITHMS = tuple(_DIGITS)
"""All algorithms of digests."""
_GRAMMAR = re.compile('|'.join(f'{algorithm}:[0-9a-f]{{{count}}}' for algorithm, count in _DIGITS.items()))
_ALGORITHM = r'([a-z0-9]+(?:[+._-][a-z0-9]+)*):.+'


class Digest(str):
    """A validated digest: a string that is safe in a path or a URL.

    The algorithms are those that image-spec descriptor.md (Registered algorithms) defines for all implementations:
    sha256 and sha512.
    """

    __slots__ = ()

    def __new__(cls, text: object) -> Self:
        """Return the digest written as `text`; raises InvalidImage if it is not a digest."""
        if not isinstance(text, str) or not _GRAMMAR.fullmatch(text):
            raise InvalidImage(_refusal(str(text)))
        return super().__new__(cls, text)

    @classmethod
    def of(cls, data: bytes, algorithm: str = SHA256) -> Self:
        """Return the digest of `data`, for documents small enough to be held in memory.

        To compare with another digest, pass its algorithm.
        """
        return cls.of_hash(hashlib.new(algorithm, data))

    @classmethod
    def of_hash(cls, computed: '_Hash') -> Self:
        """Return the digest that an object of hashlib has computed."""
        return cls(f'{computed.name}:{computed.hexdigest()}')

    @classmethod
    def of_hex(cls, digits: str) -> Self:
        """Return the digest with these hexadecimal digits; their number gives the algorithm. Raises InvalidImage."""
        return cls(f'{"sha512" if len(digits) == _DIGITS["sha512"] else SHA256}:{digits}')

    @property
    def algorithm(self) -> str:
        """The algorithm, as hashlib spells it."""
        return self[:6]

    @property
    def hex(self) -> str:
        """The hexadecimal digits."""
        return self[7:]

    @property
    def short(self) -> str:
        """The algorithm and the first twelve digits, for messages."""
        return self[:19]


def _refusal(text: str) -> str:
    found = re.fullmatch(_ALGORITHM, text)
    if found and found[1] not in _DIGITS:
        return f'{text[:100]!r}: the digest algorithm {found[1][:30]} is not supported: sha256 or sha512 expected'
    return f'{text[:100]!r} is not a digest: sha256: and 64, or sha512: and 128 lower-case hex digits expected'
