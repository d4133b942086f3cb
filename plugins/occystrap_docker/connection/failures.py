"""Exceptions of the docker SDK and the libraries below it, translated into errors of one line.

The SDK is not imported for this, since reading from a daemon's socket does not need it: see `local_socket`.
"""
import http.client
import os
import ssl
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from occystrap_core import AccessDenied, InvalidImage, OccystrapError, ServiceError, ServiceUnavailable
from occystrap_core.oci import parse_json
from occystrap_docker.connection.address import UNIX, Address
from occystrap_docker.connection.answers import complaint
from occystrap_docker.connection.engines import DOCKER, PODMAN

if TYPE_CHECKING:
    from occystrap_docker.connection.local_socket import Answer

_COMPLAINT = 64 << 10
_PLAIN_HTTP = 'HTTP request to an HTTPS server'


class TimedOut(ServiceUnavailable):
    """A daemon did not answer in time."""


@contextmanager
def translated(address: Address, doing: str) -> Iterator[None]:
    """Raise exceptions of libraries as ServiceError or a subclass that names the daemon and `doing`, the action."""
    try:
        yield
    except Exception as error:
        if not (isinstance(error, (OSError, http.client.HTTPException)) or _is_one(error, 'docker', 'DockerException')
                or _is_one(error, 'urllib3', 'HTTPError')):
            raise
        raise _breakdown(error, address, doing) from None


def _is_one(error: BaseException, library: str, name: str) -> bool:
    """Return whether an exception is one of a library, by the names of its classes: the library is not imported."""
    return any(each.__name__ == name and each.__module__.partition('.')[0] == library for each in type(error).__mro__)


def refusal(answer: 'Answer', address: Address, doing: str) -> OccystrapError:
    """Return the error for a refused request, with the daemon's own message."""
    return _refused(answer.status, complaint(answer.read(_COMPLAINT), answer.status), address, doing)


def parsed(body: bytes, address: Address, doing: str) -> Any:
    """Return the JSON of an answer; raises ServiceUnavailable if it is none."""
    try:
        return parse_json(body, 'the answer', len(body))
    except InvalidImage:
        raise ServiceUnavailable(f"the daemon at {address} failed while {doing}, or does not have Docker's API: its "
                                 'answer is not JSON; see its log') from None


def _refused(status: int, words: str, address: Address, doing: str) -> OccystrapError:
    kind = AccessDenied if status in (401, 403) else ServiceUnavailable if status >= 500 else ServiceError
    return kind(f'the daemon at {address} refused {doing}: {words or f"status {status}"}')


def _breakdown(error: BaseException, address: Address, doing: str) -> OccystrapError:
    """Return the error for a failed connection or request."""
    causes = list(_causes(error))
    if any(isinstance(cause, PermissionError) for cause in causes):
        return AccessDenied(f'permission denied at {_where(address)}: {_permission(address)}')
    if any(isinstance(cause, (FileNotFoundError, ConnectionRefusedError)) for cause in causes):
        if _is_other_file(address.url.removeprefix(UNIX)):
            return ServiceUnavailable(f'{_where(address)} is not a socket: give the socket of a daemon')
        return ServiceUnavailable(f'no {address.engine.title} answers at {_where(address)}: {_help(address)}')
    if any(isinstance(cause, TimeoutError) or _is_one(cause, 'requests', 'Timeout') for cause in causes):
        return TimedOut(f'the daemon at {address} did not answer in time while {doing}: see its log, or raise '
                        '--timeout')
    if trouble := next((cause for cause in causes if isinstance(cause, ssl.SSLError)), None):
        return _tls_error(trouble, address)
    if any(_PLAIN_HTTP in str(cause) for cause in causes):
        return ServiceError(f'the daemon at {address} requires TLS: give ?cert_path=DIRECTORY, or ?tls_verify=true')
    if refused := next((cause for cause in causes if isinstance(cause, OccystrapError)), None):
        return refused  # the SDK's constructor wraps whatever asking for the version raises
    broken = any(isinstance(cause, (ConnectionError, http.client.HTTPException))
                 or _is_one(cause, 'urllib3', 'ProtocolError') for cause in causes)
    otherwise = 'the connection was closed' if broken else str(error)
    reason = next((cause.strerror for cause in causes if isinstance(cause, OSError) and cause.strerror), otherwise)
    if _is_one(error, 'docker', 'DockerException'):
        return ServiceUnavailable(f'the Docker SDK cannot reach a daemon at {_where(address)}: {reason}')
    return ServiceUnavailable(f'the daemon at {address} failed while {doing}: {reason}; see its log')


def _is_other_file(path: str) -> bool:
    """Return whether a path is that of a file other than a socket."""
    try:
        return not stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False


def _where(address: Address) -> str:
    """Return the address with what named it, or with the other sockets that were tried."""
    if address.candidates:
        others = [place for place in address.candidates if not address.url.endswith(f'://{place}')]
        return f'{address} (nor at {" or ".join(others)})' if others else str(address)
    return f'{address} ({address.origin})' if address.origin and not address.origin.endswith('=') else str(address)


def _help(address: Address) -> str:
    return _start(address) + (f'; for the registry write {address.in_registry}' if address.in_registry else '')


def _start(address: Address) -> str:
    if not address.url.startswith(UNIX):
        return 'check that it runs there and listens, and that host and port are right'
    text = (f'start it ({address.engine.start}), or choose another socket with {address.engine.variable} or '
            '?socket=PATH')
    others = [place for place in PODMAN.sockets() if os.path.exists(place)]
    if address.engine is DOCKER and address.candidates and others:
        text += f"; Podman's service is at {others[0]}: ?engine=podman"
    return text


def _permission(address: Address) -> str:
    if address.engine is PODMAN:
        return 'the socket belongs to another user: use your own (systemctl --user start podman.socket), or run as root'
    return 'run as a member of the group that owns the socket (usermod -aG docker USER), or as root'


def _tls_error(error: ssl.SSLError, address: Address) -> OccystrapError:
    """Return the error for a failed handshake: the daemon's certificate, our own, or none."""
    reason = getattr(error, 'verify_message', '') or (error.reason or str(error)).replace('_', ' ').lower()
    if isinstance(error, ssl.SSLCertVerificationError):
        return AccessDenied(f'the daemon at {address} has a certificate that is not trusted: {reason}; put its '
                            "authority's certificate into ca.pem in the directory of ?cert_path=")
    if 'alert' in reason or 'certificate' in reason:
        return AccessDenied(f'the daemon at {address} does not accept our certificate: {reason}; put cert.pem and '
                            'key.pem into the directory of ?cert_path=')
    return ServiceUnavailable(f'TLS with the daemon at {address} fails: {reason}; check that it uses TLS there')


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and its causes: requests and urllib3 put the cause into their arguments."""
    todo: list[object] = [error]
    for _ in range(50):
        if not todo:
            return
        cause = todo.pop()
        if isinstance(cause, BaseException):
            yield cause
            todo += [*cause.args, cause.__cause__, cause.__context__, getattr(cause, 'reason', None)]
