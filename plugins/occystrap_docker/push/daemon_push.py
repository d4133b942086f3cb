"""A push by a daemon, followed on a thread of its own, since it may be silent for long."""
import threading
from collections.abc import Callable
from contextlib import closing

from requests import Response

from occystrap_core import ServiceError
from occystrap_core.oci import Reference
from occystrap_docker.connection.answers import lines_of, push_complaint
from occystrap_docker.connection.failures import translated
from occystrap_docker.connection.patient_answer import shut_down
from occystrap_docker.daemon.daemon import Daemon

_PIECE = 512
"""Bytes of progress that are read at once."""
_MOST_LINES = 100_000
"""Different lines of progress; what a daemon pushes after so many shows in the requests to the registry."""


class Push:
    """One push, started by the constructor."""

    def __init__(self, daemon: Daemon, tag: Reference, image: str, ended: Callable[['Push'], None]) -> None:
        """`image` names it in errors; `ended` is called, on the thread, when the push has ended."""
        self._seen = set[int]()
        self._daemon, self._tag, self._image, self._ended = daemon, tag, image, ended
        self._error: Exception | None = None
        self._response: Response | None = None
        self._stopped = False
        threading.Thread(target=self._run, name='push', daemon=True).start()

    @property
    def progress(self) -> int:
        """How many lines the daemon has sent that it had not sent before; one that is stuck repeats its last."""
        return len(self._seen)

    def check(self) -> None:
        """Raise the error of the push, if any, after its end: ServiceError, with the daemon's own message."""
        if self._error:
            raise self._error

    def stop(self) -> None:
        """Cancel the push by closing the connection."""
        self._stopped = True
        if self._response is not None:
            shut_down(self._response)

    def _run(self) -> None:
        try:
            self._follow()
        except Exception as error:  # raised by `check` on the waiting thread
            self._error = error
        finally:
            self._ended(self)

    def _follow(self) -> None:
        address, doing = self._daemon.address, f'pushing {self._image}'
        with translated(address, doing), closing(self._daemon.begin_push(self._tag, doing)) as response:
            self._response = response
            if self._stopped:
                return
            for line in lines_of(response.iter_content(_PIECE)):
                if len(self._seen) < _MOST_LINES:
                    self._seen.add(hash(line))
                if complaint := push_complaint(line):
                    raise ServiceError(f'the daemon at {address} could not push {self._image}: {complaint}')
