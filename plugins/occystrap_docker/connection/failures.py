"""What the docker SDK and the libraries below it raise, as one clear line.

The SDK is not imported for this, since whoever reads from a daemon's socket needs none: see `local_socket`.
"""
import http.client
import os
import ssl
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

from occystrap_core import AccessDenied, OccystrapError, ServiceError, ServiceUnavailable
from occystrap_docker.connection.address import UNIX, Address
from occystrap_docker.connection.answers import complaint
from occystrap_docker.connection.engines import DOCKER, PODMAN

if TYPE_CHECKING:
    import requests

    from occystrap_docker.connection.local_socket import Answer

_EXCEPTIONS = {'docker': 'docker.errors', 'requests': 'requests.exceptions', 'urllib3': 'urllib3.exceptions'}
_COMPLAINT = 64 << 10
_PLAIN_HTTP = 'HTTP request to an HTTPS server'


@contextmanager
def translated(address: Address, doing: str) -> Iterator[None]:
    """Turn what goes wrong with the daemon at `address` while `doing` something into ServiceError or a kind of it."""
    try:
        yield
    except _hindrances() as error:
        if isinstance(error, _raised_by('docker', 'APIError')):
            raise _refused(error.status_code or 0, error.explanation, address, doing) from None
        raise _breakdown(error, address, doing) from None


def _hindrances() -> tuple[type[BaseException], ...]:
    """Return what can be raised when a daemon is talked to."""
    return (OSError, http.client.HTTPException) + _raised_by('docker', 'DockerException') + _raised_by(
        'urllib3', 'HTTPError')


def _raised_by(library: str, name: str) -> tuple[type[Any], ...]:
    """Return an exception of a library, none if nobody has imported it, since then it cannot have been raised."""
    return (getattr(import_module(_EXCEPTIONS[library]), name),) if library in sys.modules else ()


def require_success(response: 'requests.Response') -> None:
    """Raise what the SDK raises when the daemon refused."""
    import requests
    from docker.errors import create_api_error_from_http_exception
    try:
        response.raise_for_status()
    except requests.HTTPError as error:
        create_api_error_from_http_exception(error)


def refusal(answer: 'Answer', address: Address, doing: str) -> OccystrapError:
    """Return for which reason, in the daemon's words, it did not do what was asked."""
    return _refused(answer.status, complaint(answer.read(_COMPLAINT), answer.status), address, doing)


def _refused(status: int, words: str, address: Address, doing: str) -> OccystrapError:
    kind = AccessDenied if status in (401, 403) else ServiceUnavailable if status >= 500 else ServiceError
    return kind(f'the daemon at {address} refused {doing}: {words or f"status {status}"}')


def _breakdown(error: BaseException, address: Address, doing: str) -> OccystrapError:
    """Return what hinders talking to the daemon."""
    causes = list(_causes(error))
    if any(isinstance(cause, PermissionError) for cause in causes):
        return AccessDenied(f'permission denied at {_where(address)}: {_permission(address)}')
    if any(isinstance(cause, (FileNotFoundError, ConnectionRefusedError)) for cause in causes):
        if _is_something_else(address.url.removeprefix(UNIX)):
            return ServiceUnavailable(f'{_where(address)} is no socket: name the one on which a daemon listens')
        return ServiceUnavailable(f'no {address.engine.title} answers at {_where(address)}: {_help(address)}')
    silence = (TimeoutError,) + _raised_by('requests', 'Timeout')
    if any(isinstance(cause, silence) for cause in causes):
        return ServiceUnavailable(f'the daemon at {address} stayed silent while {doing}: see its log, or give it '
                                  'more time with --timeout')
    if trouble := next((cause for cause in causes if isinstance(cause, ssl.SSLError)), None):
        return _distrust(trouble, address)
    if any(_PLAIN_HTTP in str(cause) for cause in causes):
        return ServiceError(f'the daemon at {address} wants TLS: give ?cert_path=DIRECTORY, or ?tls_verify=true')
    if said := next((cause for cause in causes if isinstance(cause, _raised_by('docker', 'APIError'))), None):
        return _refused(said.status_code or 0, said.explanation, address, doing)
    ended = (ConnectionError, http.client.HTTPException) + _raised_by('urllib3', 'ProtocolError')
    broken = any(isinstance(cause, ended) for cause in causes)
    otherwise = 'the connection ended' if broken else str(error)
    reason = next((cause.strerror for cause in causes if isinstance(cause, OSError) and cause.strerror), otherwise)
    if isinstance(error, _raised_by('docker', 'DockerException')):
        return ServiceUnavailable(f'the Docker SDK cannot talk to a daemon at {_where(address)}: {reason}')
    return ServiceUnavailable(f'the daemon at {address} broke off while {doing}: {reason}; see its log')


def _is_something_else(path: str) -> bool:
    """Tell whether something other than a socket is at a path."""
    try:
        return not stat.S_ISSOCK(os.stat(path).st_mode)
    except OSError:
        return False


def _where(address: Address) -> str:
    """Return the address with what named it, or where else was looked."""
    if address.looked:
        others = [place for place in address.looked if not address.url.endswith(f'://{place}')]
        return f'{address} (nor is there {" or ".join(others)})' if others else str(address)
    return f'{address} ({address.origin})' if address.origin and not address.origin.endswith('=') else str(address)


def _help(address: Address) -> str:
    if not address.url.startswith(UNIX):
        return 'see whether it runs there and listens, and whether host and port are right'
    text = (f'start it ({address.engine.start}), or say where another listens with {address.engine.variable} or '
            '?socket=PATH')
    others = [place for place in PODMAN.sockets() if os.path.exists(place)]
    if address.engine is DOCKER and address.looked and others:
        text += f"; Podman's service is at {others[0]}: ?engine=podman"
    return text


def _permission(address: Address) -> str:
    if address.engine is PODMAN:
        return 'that socket is for others: use your own (systemctl --user start podman.socket), or run as root'
    return 'run as a member of the group that owns the socket (usermod -aG docker USER), or as root'


def _distrust(error: ssl.SSLError, address: Address) -> OccystrapError:
    """Return what is wrong with certificates, theirs or ours."""
    reason = getattr(error, 'verify_message', '') or (error.reason or str(error)).replace('_', ' ').lower()
    if isinstance(error, ssl.SSLCertVerificationError):
        return AccessDenied(f'the daemon at {address} shows a certificate that is not to be trusted: {reason}; its '
                            "authority's goes into ca.pem in the directory of ?cert_path=")
    if 'alert' in reason or 'certificate' in reason:
        return AccessDenied(f'the daemon at {address} does not take our certificate: {reason}; it wants cert.pem and '
                            'key.pem in the directory of ?cert_path=')
    return ServiceUnavailable(f'TLS with the daemon at {address} fails: {reason}; does it listen with TLS there?')


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and all that it wraps: requests and urllib3 keep the cause among their arguments."""
    todo: list[object] = [error]
    for _ in range(50):
        if not todo:
            return
        cause = todo.pop()
        if isinstance(cause, BaseException):
            yield cause
            todo += [*cause.args, cause.__cause__, cause.__context__, getattr(cause, 'reason', None)]
