"""What a daemon says in JSON amid its streams: the image that it made of an archive, or why it broke off."""
import re
from collections.abc import Iterable
from typing import Any

from occystrap_core import InvalidImage, OutputError, ServiceUnavailable
from occystrap_core.oci import Digest, parse_json

_LOADED = re.compile(r'Loaded image(?: ID)?: (sha256:[0-9a-f]{64})')
_ERROR = b'{"errorDetail":'
_MOST_LINES = 100_000


def loaded_image(status: int, lines: Iterable[bytes], address: str) -> Digest:
    """Return the ID in the answer to an archive of one untagged image.

    Raises OutputError with the daemon's own words when it refused, ServiceUnavailable when it said nothing.
    """
    loaded: Digest | None = None
    for line, _ in zip(lines, range(_MOST_LINES)):
        answer = _parse(line)
        if status >= 400 or 'error' in answer:
            raise OutputError(f'the daemon at {address} refused the image: {complaint(line, status)}')
        if match := _LOADED.search(str(answer.get('stream', ''))):
            loaded = Digest(match[1])
    if status >= 400:
        raise OutputError(f'the daemon at {address} refused the image with status {status}')
    if loaded is None:
        raise ServiceUnavailable(f'the daemon at {address} ended without saying that it loaded the image; see its log')
    return loaded


def push_complaint(line: bytes) -> str:
    """Return the daemon's words when a line of what it says of a push tells that it failed, else nothing."""
    answer = _parse(line)
    detail = answer.get('errorDetail')
    said = answer.get('error') or (detail.get('message') if isinstance(detail, dict) else detail)
    return _line(said) if said else ''


def appended_error(last: bytes) -> str:
    """Return the daemon's words in the last bytes of an export, empty when it is whole.

    Docker appends a line of JSON to an export that fails after it began, where a tar ends in zeros.
    """
    start = last.rfind(_ERROR)
    return str(_parse(last[start:]).get('error', '')) if start >= 0 else ''


def _parse(line: bytes) -> dict[str, Any]:
    try:
        answer = parse_json(line, 'the answer')
    except InvalidImage:
        return {}
    return answer if isinstance(answer, dict) else {}


def complaint(body: bytes, status: int) -> str:
    """Return the daemon's words in what it answers where it refuses something."""
    answer = _parse(body)
    said = answer.get('error') or answer.get('message') or answer.get('cause') or body.decode(errors='replace')
    return _line(said) or f'status {status}'


def _line(said: object) -> str:
    return ' '.join(str(said).split())[:500]
