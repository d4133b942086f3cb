"""The bytes of an export, from the request to the end, with what the daemon may say of its failure behind them."""
from collections.abc import Callable
from typing import TYPE_CHECKING

from occystrap_core import ServiceError
from occystrap_docker.connection.address import Address
from occystrap_docker.connection.answers import appended_error
from occystrap_docker.connection.failures import translated

if TYPE_CHECKING:
    from occystrap_docker.connection.local_socket import Answer

_COMPLAINT = 16 << 10
"""Bytes at the end of a stream in which a daemon's words are looked for."""


class Exported:
    """A `Readable`; the daemon is asked when the first bytes are expected, and hung up on by `close`."""

    def __init__(self, begin: Callable[[], 'Answer'], address: Address, doing: str, check: Callable[[], None]) -> None:
        """`check` is called before more is received, and raises when that should stop; `doing` is for errors."""
        self._begin, self._check = begin, check
        self._address, self._doing = address, doing
        self._answer: 'Answer | None' = None
        self._last = b''

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill `buffer`; return the number of bytes, 0 at the end; raises ServiceError when the daemon broke off."""
        self._check()
        with translated(self._address, self._doing):
            if self._answer is None:
                self._answer = self._begin()
            count = self._answer.readinto(buffer)
        if count:
            self._last = (self._last + bytes(buffer[max(0, count - _COMPLAINT):count]))[-_COMPLAINT:]
        elif complaint := appended_error(self._last):
            raise ServiceError(f'the daemon at {self._address} broke off {self._doing}: {complaint}')
        return count

    def close(self) -> None:
        """Hang up."""
        if self._answer is not None:
            self._answer.close()
