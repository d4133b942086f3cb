"""The error answers of the server: the JSON of distribution-spec, Error codes."""
import errno

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response


class Problem(Exception):
    """A refusal with its HTTP status, the spec's code, and a message."""

    def __init__(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.headers = status, code, message, headers or {}


async def answer_http_error(request: Request, error: Exception) -> Response:
    """Return the response for a refusal by the router, such as an unsupported method."""
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    return await answer_problem(request, Problem(error.status_code, 'UNSUPPORTED', error.detail, headers))


async def answer_system_error(request: Request, error: Exception) -> Response:
    """Return the response for an error of the file system: 507 for a full one."""
    assert isinstance(error, OSError)
    status = 507 if error.errno in (errno.ENOSPC, errno.EDQUOT) else 500
    return await answer_problem(request, Problem(status, 'UNKNOWN', f'the registry cannot do that: {error.strerror}'))


async def answer_problem(request: Request, error: Exception) -> Response:
    """Return the response for a Problem; a HEAD request gets the status only."""
    assert isinstance(error, Problem)
    if request.method == 'HEAD':
        return Response(status_code=error.status, headers=error.headers)
    body = {'errors': [{'code': error.code, 'message': error.message, 'detail': {}}]}
    return JSONResponse(body, error.status, error.headers)
