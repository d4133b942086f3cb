"""The bytes of an export, from the request to the end, where the daemon may report a failure."""
from collections.abc import Callable
from typing import TYPE_CHECKING

from occystrap_core import ServiceError
from occystrap_docker.connection.address import Address
from occystrap_docker.connection.answers import appended_error
from occystrap_docker.connection.failures import translated

if TYPE_CHECKING:
    from occystrap_docker.connection.local_socket import Answer

_TAIL = 16 << 10
"""Bytes at the end of a stream that are searched for a daemon's error message."""


class Exported:
    """A `Readable` export; it is requested with the first read, and `close` closes the connection."""

    def __init__(self, begin: Callable[[], 'Answer'], address: Address, doing: str, check: Callable[[], None]) -> None:
        """`check` is called before each read, and raises to cancel; `doing` names the action in errors."""
        self._begin, self._check = begin, check
        self._address, self._doing = address, doing
        self._answer: 'Answer | None' = None
        self._last = b''

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill `buffer`; return the number of bytes, 0 at the end; raises ServiceError when the daemon failed."""
        self._check()
        with translated(self._address, self._doing):
            if self._answer is None:
                self._answer = self._begin()
            count = self._answer.readinto(buffer)
        if count:
            self._last = (self._last + bytes(buffer[max(0, count - _TAIL):count]))[-_TAIL:]
        elif message := appended_error(self._last):
            raise ServiceError(f'the daemon at {self._address} failed while {self._doing}: {message}')
        return count

    def close(self) -> None:
        """Close the connection."""
        if self._answer is not None:
            self._answer.close()
