"""Asking a daemon something, which never changes it: at a Unix socket without the SDK, elsewhere by its client."""
import logging
from collections.abc import Callable, Mapping
from contextlib import closing
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote, urlencode

from occystrap_core import InvalidImage, ServiceError, ServiceUnavailable
from occystrap_core.oci import parse_json
from occystrap_docker.connection import local_socket
from occystrap_docker.connection.address import UNIX, Address
from occystrap_docker.connection.failures import refusal, translated

if TYPE_CHECKING:
    from docker import APIClient

    from occystrap_docker.connection.local_socket import Answer

_LONGEST = 64 << 20
"""Most bytes of a document: one about all of ten thousand images has a tenth of them."""
_LOG = logging.getLogger('occystrap.docker')


class Asking:
    """GET requests to one daemon. `doing` says in errors what the question was for; all raise ServiceError."""

    def __init__(self, address: Address, client: Callable[[], 'APIClient'], timeout: float,
                 least_rate: float = 0.0) -> None:
        """`client` gives the SDK's, when it is needed; a daemon may be silent for `timeout` seconds, and has to send
        `least_rate` bytes a second."""
        self._address, self._client, self._timeout = address, client, timeout
        self._least_rate = least_rate

    def document(self, doing: str, *path: str, seconds: float | None = None, **parameters: str) -> Any:
        """Return the JSON at `path`, within `seconds`."""
        found = self.if_there(doing, *path, seconds=seconds, **parameters)
        if found is None:
            raise ServiceError(f'the daemon at {self._address} does not know {location(*path)}: {doing} failed')
        return found

    def if_there(self, doing: str, *path: str, seconds: float | None = None, **parameters: str) -> Any:
        """Return the same, None where the daemon has nothing of this name."""
        with translated(self._address, doing), closing(self._get(*path, seconds=seconds, **parameters)) as answer:
            if answer.status == HTTPStatus.NOT_FOUND:
                answer.read(_LONGEST)  # or the connection is good for nothing more
                return None
            self._require_success(answer, doing)
            said = answer.read(_LONGEST)
            try:
                return parse_json(said, 'the answer', len(said))
            except InvalidImage:
                raise ServiceUnavailable(f'the daemon at {self._address} broke off while {doing}, or does not speak '
                                         "Docker's API: what it said is no JSON; see its log") from None

    def stream(self, doing: str, *path: str, seconds: float) -> 'Answer':
        """Return an answer to read; raises also what `translated` translates."""
        answer = self._get(*path, seconds=seconds)
        try:
            self._require_success(answer, doing)
        except BaseException:
            answer.close()
            raise
        return answer

    def _require_success(self, answer: 'Answer', doing: str) -> None:
        """Raise what the daemon says when it refused."""
        if answer.status != HTTPStatus.OK:
            raise refusal(answer, self._address, doing)

    def _get(self, *path: str, seconds: float | None = None, **parameters: str) -> 'Answer':
        """Return the answer, whatever it is; raises what `translated` translates."""
        target, limit = location(*path, parameters=parameters), seconds or self._timeout
        if not self._address.url.startswith(UNIX):
            api = self._client()
            response = api.get(f'{api.base_url}/v{api.api_version}{target}', stream=True, timeout=limit,
                               headers={'Accept-Encoding': 'identity'})  # nobody decodes what is read raw
            return cast('Answer', response.raw)
        answer = local_socket.get(self._address.url.removeprefix(UNIX), target, limit, self._least_rate)
        _LOG.debug('GET %s %s', target, answer.status)
        return answer


def location(*path: str, parameters: Mapping[str, str] | None = None) -> str:
    """Return the URL of what has this path, without host and version."""
    return ''.join(f'/{quote(part, safe="/:")}' for part in path) + (f'?{urlencode(parameters)}' if parameters else '')
