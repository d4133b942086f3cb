"""The SDK's client with deadlines and size limits for answers, which follows no redirects."""
from contextlib import closing
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from docker import APIClient

from occystrap_core.files import Patience
from occystrap_docker.connection.address import Address
from occystrap_docker.connection.failures import parsed, refusal
from occystrap_docker.connection.patient_answer import LEAST_RATE, PatientAnswer

if TYPE_CHECKING:
    from requests import Response

_LONGEST = 1 << 20
"""Size limit for the daemon's answer about its version, in bytes."""
_IDENTITY = {'Accept-Encoding': 'identity'}
"""Bodies are read undecoded."""


class LimitedClient(APIClient):
    """A client for one daemon; use `ask`, since the SDK's own methods limit neither size nor duration of an answer."""

    def __init__(self, address: Address, **arguments: Any) -> None:
        """Asks the daemon for its version; raises the exceptions of the SDK, and OccystrapError if it refuses."""
        self._address = address
        super().__init__(**arguments)

    def ask(self, method: str, path: str, patience: Patience, **parameters: str) -> PatientAnswer:
        """Return the answer with any status; raises TimeoutError, and the exceptions of requests."""
        send = partial(self.request, method, f'{self.base_url}{path}', params=parameters, stream=True,
                       timeout=patience.seconds, headers=_IDENTITY)
        return PatientAnswer(send, patience)

    def version(self, api_version: bool = True) -> dict[str, Any]:
        """Return the daemon's version document; the SDK's constructor needs its ApiVersion."""
        with closing(self.ask('GET', '/version', Patience(self.timeout, LEAST_RATE))) as answer:
            if answer.status != HTTPStatus.OK:
                raise refusal(answer, self._address, 'connecting')
            found = parsed(answer.read(_LONGEST), self._address, 'connecting')
            return found if isinstance(found, dict) else {}

    def get_redirect_target(self, resp: 'Response') -> None:
        """Return None: daemons do not redirect, and the target would get the user's certificate."""
