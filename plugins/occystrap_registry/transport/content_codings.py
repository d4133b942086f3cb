"""Content codings (RFC 9110, 8.4.1) of answers that servers and proxies compress although identity was requested."""
import zlib
from collections.abc import Iterable, Iterator

from occystrap_core.files import CHUNK
from occystrap_registry.transport.headers import Headers
from occystrap_registry.transport.transport_errors import BadAnswer

_WINDOWS = {'gzip': 31, 'x-gzip': 31, 'deflate': 15}
"""For each coding the window bits with which zlib expects its header."""
_STARTS = {31: b'\x1f\x8b', 15: b'\x78'}


def coding_of(headers: Headers) -> int:
    """Return the window bits for the coding of an answer; 0 without a coding, or for an unknown one."""
    return _WINDOWS.get(headers.get('content-encoding', '').strip().lower(), 0)


def decoded(pieces: Iterable[bytes], coding: int) -> Iterator[bytes]:
    """Yield the decoded bytes of a body, at most CHUNK at once; raises BadAnswer if it is damaged."""
    decoder = zlib.decompressobj(coding)
    try:
        for piece in pieces:
            while piece:
                yield decoder.decompress(piece, CHUNK)
                piece = decoder.unconsumed_tail
    except zlib.error as error:
        raise BadAnswer(f'the body cannot be decoded: {error}') from None
    if not decoder.eof:
        raise BadAnswer('the connection was closed within the body')


def decoded_document(body: bytes, coding: int, cap: int) -> tuple[bytes, bool]:
    """Return a small body decoded, up to `cap` bytes, and whether there is more; unchanged if it is not coded after
    all."""
    if not coding or not body.startswith(_STARTS[coding]):
        return body, False
    plain = bytearray()
    for piece in decoded([body], coding):
        plain += piece
        if len(plain) > cap:
            break
    return bytes(plain[:cap]), len(plain) > cap
