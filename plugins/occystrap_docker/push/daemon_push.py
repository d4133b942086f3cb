"""A daemon at its push, followed on a thread of its own, since it may be silent for long."""
import socket
import threading
from collections.abc import Callable
from contextlib import closing, suppress

from requests import Response

from occystrap_core import ServiceError
from occystrap_core.oci import Reference
from occystrap_docker.connection.answers import push_complaint
from occystrap_docker.connection.failures import translated
from occystrap_docker.daemon.daemon import Daemon


class Push:
    """One push: begun when made, over when it says so."""

    def __init__(self, daemon: Daemon, tag: Reference, image: str, ended: Callable[['Push'], None]) -> None:
        """`image` names it in errors; `ended` is called, on the thread, when the daemon has no more to say."""
        self.lines = 0
        """How often the daemon has said something."""
        self._daemon, self._tag, self._image, self._ended = daemon, tag, image, ended
        self._error: Exception | None = None
        self._response: Response | None = None
        self._stopped = False
        threading.Thread(target=self._run, name='push', daemon=True).start()

    def check(self) -> None:
        """Raise what went wrong, after the end: ServiceError, with the daemon's own words where it gave up."""
        if self._error:
            raise self._error

    def stop(self) -> None:
        """Let the daemon know, by the end of the connection, that nobody waits any more."""
        self._stopped = True
        if self._response is not None:
            _hang_up(self._response)

    def _run(self) -> None:
        try:
            self._follow()
        except Exception as error:  # whatever it is, the thread that waits has to raise it
            self._error = error
        finally:
            self._ended(self)

    def _follow(self) -> None:
        address = self._daemon.address
        with translated(address, f'pushing {self._image}'), closing(self._daemon.begin_push(self._tag)) as response:
            self._response = response
            if self._stopped:
                return
            for line in response.iter_lines():
                self.lines += 1
                if complaint := push_complaint(line):
                    raise ServiceError(f'the daemon at {address} could not push {self._image}: {complaint}')


def _hang_up(response: Response) -> None:
    """Shut the connection down below a thread that waits for it, which closing does not do."""
    connection = getattr(response.raw, 'connection', None)
    sock = getattr(connection, 'sock', None)
    if sock is not None:
        with suppress(OSError):  # it has ended by itself
            sock.shutdown(socket.SHUT_RDWR)
