"""Read-only requests to a daemon: at a Unix socket without the SDK, otherwise with its client."""
import logging
from collections.abc import Callable, Mapping
from contextlib import closing, nullcontext
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from occystrap_core import ServiceError
from occystrap_core.files import Patience
from occystrap_docker.connection import local_socket
from occystrap_docker.connection.address import UNIX, Address
from occystrap_docker.connection.answers import complaint
from occystrap_docker.connection.failures import parsed, refusal, translated
from occystrap_docker.connection.silence import Silence

if TYPE_CHECKING:
    from occystrap_docker.connection.limited_client import LimitedClient
    from occystrap_docker.connection.local_socket import Answer

_LONGEST = 64 << 20
"""Size limit for a document, in bytes: a list of ten thousand images has a tenth of that."""
_PIECE = _MESSAGE = 64 << 10
_LOG = logging.getLogger('occystrap.docker')


class Queries:
    """GET requests to one daemon. `doing` names the action in errors; all methods raise ServiceError."""

    def __init__(self, address: Address, client: Callable[[], 'LimitedClient'], timeout: float,
                 least_rate: float = 0.0, silence: Silence | None = None) -> None:
        """`client` returns the SDK's client when needed; the daemon may be silent for `timeout` seconds, and must send
        `least_rate` bytes per second. `silence` records its timeouts."""
        self._silence = silence or Silence()
        self._address, self._client, self._timeout = address, client, timeout
        self._least_rate = least_rate

    def document(self, doing: str, *path: str, seconds: float | None = None, **parameters: str) -> Any:
        """Return the JSON at `path`, within `seconds`."""
        found = self.find_document(doing, *path, seconds=seconds, **parameters)
        if found is None:
            raise ServiceError(f'the daemon at {self._address} does not know {location(*path)}: {doing} failed')
        return found

    def find_document(self, doing: str, *path: str, seconds: float | None = None, **parameters: str) -> Any:
        """Return the JSON at `path`, within `seconds`, None if the daemon answers 404.

        Without `seconds` a daemon that has timed out several times in a row is not asked again for a while.
        """
        with nullcontext() if seconds else self._silence.watched(self._address):
            return self._found(doing, *path, seconds=seconds, **parameters)

    def _found(self, doing: str, *path: str, seconds: float | None, **parameters: str) -> Any:
        with translated(self._address, doing), closing(self._get(*path, seconds=seconds, **parameters)) as answer:
            if answer.status == HTTPStatus.NOT_FOUND:
                _body(answer)  # else the connection could not be reused
                return None
            self._require_success(answer, doing)
            return parsed(_body(answer), self._address, doing)

    def status(self, doing: str, *path: str) -> tuple[int, str]:
        """Return the status of the answer at `path`, whatever it is, and the daemon's message."""
        with translated(self._address, doing), closing(self._get(*path)) as answer:
            return answer.status, complaint(answer.read(_MESSAGE), answer.status)

    def stream(self, doing: str, *path: str, seconds: float) -> 'Answer':
        """Return an answer with an unread body; raises also what `translated` translates."""
        answer = self._get(*path, seconds=seconds)
        try:
            self._require_success(answer, doing)
        except BaseException:
            answer.close()
            raise
        return answer

    def _require_success(self, answer: 'Answer', doing: str) -> None:
        """Raise the daemon's error if it refused."""
        if answer.status != HTTPStatus.OK:
            raise refusal(answer, self._address, doing)

    def _get(self, *path: str, seconds: float | None = None, **parameters: str) -> 'Answer':
        """Return the answer with any status; raises what `translated` translates."""
        limit = seconds or self._timeout
        if not self._address.url.startswith(UNIX):
            found = self._client().ask('GET', location(*path), Patience(limit, self._least_rate), **parameters)
            found.begin_body()
            return found
        target = location(*path, parameters=parameters)
        answer = local_socket.get(self._address.url.removeprefix(UNIX), target, limit, self._least_rate)
        _LOG.debug('GET %s %s', target, answer.status)
        return answer


def location(*path: str, parameters: Mapping[str, str] | None = None) -> str:
    """Return the URL of this path, without host and version."""
    return ''.join(f'/{quote(part, safe="/:")}' for part in path) + (f'?{urlencode(parameters)}' if parameters else '')


def _body(answer: 'Answer') -> bytes:
    """Return the body, of at most `_LONGEST` bytes; read in pieces, since each read allocates a buffer of the requested
    size."""
    pieces, size = [], 0
    while size < _LONGEST and (piece := answer.read(min(_PIECE, _LONGEST - size))):
        pieces.append(piece)
        size += len(piece)
    return b''.join(pieces)
