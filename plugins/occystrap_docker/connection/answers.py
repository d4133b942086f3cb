"""The JSON in a daemon's streams: the ID of an image that it loaded, or the reason why it failed."""
import re
from collections.abc import Iterable, Iterator
from typing import Any

from occystrap_core import InvalidImage, OutputError, ServiceUnavailable
from occystrap_core.oci import Digest, parse_json

_LOADED = re.compile(r'Loaded image(?: ID)?: (sha256:[0-9a-f]{64})')
_HINTS = {'empty export': 'this daemon exports no image without layers: use dockerpush:// as the source',
          'max depth exceeded': 'Docker accepts at most 125 layers',
          'no space left on device': "the daemon's disk is full: `docker system df` shows what uses it"}
"""What to do about some messages of daemons that do not say it."""
_SEVERAL_FORMATS, _OURS, _NEXT = 'payload does not match any', ' * docker-archive: ', ' * dir: '
"""Parts of Podman's message about an archive: it tries all its formats, and says of each why it is not that one."""
_ERROR = b'{"errorDetail":'
_MOST_LINES = 100_000
_LONGEST_LINE = 1 << 20


def lines_of(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines of an answer without their ends; raises ServiceUnavailable for one of more than a mebibyte."""
    line = bytearray()
    for piece in pieces:
        end, *others = piece.split(b'\n')
        line += end
        if len(line) > _LONGEST_LINE:
            raise ServiceUnavailable(f'the daemon sends a line of more than {_LONGEST_LINE >> 20} MiB: see its log')
        for other in others:
            yield bytes(line)
            line = bytearray(other)
    yield bytes(line)


def loaded_image(status: int, lines: Iterable[bytes], address: str) -> Digest:
    """Return the ID in the answer to an archive of one untagged image.

    Raises OutputError with the daemon's own message when it refused, ServiceUnavailable when it reported no result.
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
        raise ServiceUnavailable(f'the daemon at {address} did not report that it loaded the image: see its log')
    return loaded


def push_complaint(line: bytes) -> str:
    """Return the daemon's error message if this line of a push's progress has one, else an empty string."""
    answer = _parse(line)
    detail = answer.get('errorDetail')
    message = answer.get('error') or (detail.get('message') if isinstance(detail, dict) else detail)
    return _line(message) if message else ''


def appended_error(last: bytes) -> str:
    """Return the daemon's error message in the last bytes of an export, empty when it is complete.

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
    """Return the daemon's message in the body of an answer that refuses something."""
    answer = _parse(body)
    message = answer.get('error') or answer.get('message') or answer.get('cause') or body.decode(errors='replace')
    words = _line(message) or f'status {status}'
    return '; '.join([words, *(hint for said, hint in _HINTS.items() if said in words)])


def _line(message: object) -> str:
    words = ' '.join(str(message).split())
    if _SEVERAL_FORMATS in words:
        words = words.partition(_OURS)[2].partition(_NEXT)[0] or words
    return words[:500]
