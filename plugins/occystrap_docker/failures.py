"""What the docker SDK and the libraries below it raise, as one clear line."""
from collections.abc import Iterator
from contextlib import contextmanager

import requests
import urllib3
from docker.errors import APIError, DockerException, create_api_error_from_http_exception

from occystrap_core import AccessDenied, OccystrapError, ServiceError, ServiceUnavailable

_HELP = 'start it (systemctl start docker), or say where another listens with DOCKER_HOST or ?socket=PATH'


@contextmanager
def translated(address: str, doing: str) -> Iterator[None]:
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


def _refusal(error: APIError, address: str, doing: str) -> OccystrapError:
    """Return what the daemon itself said."""
    status = error.status_code or 0
    kind = AccessDenied if status in (401, 403) else ServiceUnavailable if status >= 500 else ServiceError
    return kind(f'the daemon at {address} refused {doing}: {error.explanation or f"status {status}"}')


def _breakdown(error: BaseException, address: str, doing: str) -> OccystrapError:
    """Return what hinders talking to the daemon."""
    causes = list(_causes(error))
    if any(isinstance(cause, PermissionError) for cause in causes):
        return AccessDenied(f'permission denied at {address}: run as a member of the group that owns the socket '
                            '(usermod -aG docker USER), or as root')
    if any(isinstance(cause, (FileNotFoundError, ConnectionRefusedError)) for cause in causes):
        return ServiceUnavailable(f'no Docker or Podman daemon answers at {address}: {_HELP}')
    if any(isinstance(cause, (TimeoutError, requests.Timeout)) for cause in causes):
        return ServiceUnavailable(f'the daemon at {address} stayed silent while {doing}: see its log, or give it '
                                  'more time with --timeout')
    broken = any(isinstance(cause, (urllib3.exceptions.ProtocolError, ConnectionError)) for cause in causes)
    otherwise = 'the connection ended' if broken else str(error)
    reason = next((cause.strerror for cause in causes if isinstance(cause, OSError) and cause.strerror), otherwise)
    if isinstance(error, DockerException):
        return ServiceUnavailable(f'the Docker SDK cannot talk to a daemon at {address}: {reason}')
    return ServiceUnavailable(f'the daemon at {address} broke off while {doing}: {reason}; see its log')


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
