"""What the docker SDK and the libraries below it raise, as one clear line."""
import os
import ssl
import stat
from collections.abc import Iterator
from contextlib import contextmanager

import requests
import urllib3
from docker.errors import APIError, DockerException, create_api_error_from_http_exception

from occystrap_core import AccessDenied, OccystrapError, ServiceError, ServiceUnavailable
from occystrap_docker.address import Address
from occystrap_docker.engines import DOCKER, PODMAN

_PLAIN_HTTP = 'HTTP request to an HTTPS server'


@contextmanager
def translated(address: Address, doing: str) -> Iterator[None]:
    """Turn what goes wrong with the daemon at `address` while `doing` something into ServiceError or a kind of it."""
    try:
        yield
    except APIError as error:
        raise _refusal(error, address, doing) from None
    except (DockerException, requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
        raise _breakdown(error, address, doing) from None


def require_success(response: requests.Response) -> None:
    """Raise what the SDK raises when the daemon refused."""
    try:
        response.raise_for_status()
    except requests.HTTPError as error:
        create_api_error_from_http_exception(error)


def _refusal(error: APIError, address: Address, doing: str) -> OccystrapError:
    """Return what the daemon itself said."""
    status = error.status_code or 0
    kind = AccessDenied if status in (401, 403) else ServiceUnavailable if status >= 500 else ServiceError
    return kind(f'the daemon at {address} refused {doing}: {error.explanation or f"status {status}"}')


def _breakdown(error: BaseException, address: Address, doing: str) -> OccystrapError:
    """Return what hinders talking to the daemon."""
    causes = list(_causes(error))
    if any(isinstance(cause, PermissionError) for cause in causes):
        return AccessDenied(f'permission denied at {_where(address)}: {_permission(address)}')
    if any(isinstance(cause, (FileNotFoundError, ConnectionRefusedError)) for cause in causes):
        if _is_something_else(address.url.removeprefix('unix://')):
            return ServiceUnavailable(f'{_where(address)} is no socket: name the one on which a daemon listens')
        return ServiceUnavailable(f'no {address.engine.title} answers at {_where(address)}: {_help(address)}')
    if any(isinstance(cause, (TimeoutError, requests.Timeout)) for cause in causes):
        return ServiceUnavailable(f'the daemon at {address} stayed silent while {doing}: see its log, or give it '
                                  'more time with --timeout')
    if trouble := next((cause for cause in causes if isinstance(cause, ssl.SSLError)), None):
        return _distrust(trouble, address)
    if any(_PLAIN_HTTP in str(cause) for cause in causes):
        return ServiceError(f'the daemon at {address} wants TLS: give ?cert_path=FOLDER, or ?tls_verify=true')
    if refusal := next((cause for cause in causes if isinstance(cause, APIError)), None):
        return _refusal(refusal, address, doing)
    broken = any(isinstance(cause, (urllib3.exceptions.ProtocolError, ConnectionError)) for cause in causes)
    otherwise = 'the connection ended' if broken else str(error)
    reason = next((cause.strerror for cause in causes if isinstance(cause, OSError) and cause.strerror), otherwise)
    if isinstance(error, DockerException):
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
    if not address.url.startswith('unix://'):
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
                            "authority's goes into ca.pem in the folder of ?cert_path=")
    if 'alert' in reason or 'certificate' in reason:
        return AccessDenied(f'the daemon at {address} does not take our certificate: {reason}; it wants cert.pem and '
                            'key.pem in the folder of ?cert_path=')
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
