"""The answer to a client if an image cannot be copied: 4xx if the image is the reason, else 5xx, with the reason."""
import errno

from occystrap_core import (
    AccessDenied, ImageNotFound, InvalidImage, OccystrapError, OutputError, ServiceUnavailable, UsageError,
)
from occystrap_registry.server.problems import Problem

_AGAIN = {'Retry-After': '10'}
_FULL = ('HTTP 507', 'HTTP 413')
"""How messages name the answer of a registry that has no room."""


def push_problem(error: OccystrapError) -> Problem:
    """Return the answer to a failed push."""
    if isinstance(error, InvalidImage | ImageNotFound | UsageError):
        return Problem(400, 'MANIFEST_INVALID', f'not stored: {error}')
    return _downstream_problem(error, 'not stored: ')


def pull_problem(error: OccystrapError) -> Problem:
    """Return the answer to a failed pull."""
    if isinstance(error, ImageNotFound):
        return Problem(404, 'MANIFEST_UNKNOWN', str(error))
    if isinstance(error, InvalidImage | UsageError):
        return Problem(502, 'UNKNOWN', str(error))
    return _downstream_problem(error)


def system_problem(error: OSError) -> Problem:
    """Return the answer if the proxy itself has no room, or a damaged disk."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return Problem(507 if full else 500, 'UNKNOWN', f'the proxy cannot do that: {error.strerror}')


def _downstream_problem(error: OccystrapError, prefix: str = '') -> Problem:
    text = f'{prefix}{error}'
    if any(each in text for each in _FULL):
        return Problem(507, 'UNKNOWN', text)
    if isinstance(error, ServiceUnavailable):
        return Problem(503, 'UNAVAILABLE', text, _AGAIN)
    if isinstance(error, AccessDenied):
        return Problem(502, 'DENIED', f'{text}; that is about the login of the proxy, not yours')
    return Problem(500 if isinstance(error, OutputError) and not prefix else 502, 'UNKNOWN', text)
