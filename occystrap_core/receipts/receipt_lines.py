"""Reading files of receipts, line by line: JSON lines as `--receipt` writes them, or one receipt as formatted JSON."""
import hashlib
import re
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
from dataclasses import replace
from io import BufferedReader
from itertools import chain
from typing import BinaryIO

from occystrap_core.api.uri import redact
from occystrap_core.errors import InvalidImage, InvalidReceipt, UsageError
from occystrap_core.files.device import hash_file
from occystrap_core.oci.digest import SHA256, Digest
from occystrap_core.verification.provenance import Bringer
from occystrap_core.verification.receipt import LONGEST, Receipt

_CAP = 1 << 30
_BEGIN = 1024


def read_receipts(path: str, cut: bool = False, expected: Digest | None = None) -> list[Receipt]:
    """Return the receipts in a file of JSON or JSON lines; of several for one image in one place, the last one with the
    bringers of all.

    With `cut`, an incomplete last line of a killed process is ignored. Raises UsageError if the file has no receipts or
    cannot be read, InvalidReceipt if one of them is damaged or incomplete, or if the digest of what was read is not
    `expected`.
    """
    found: dict[object, Receipt] = {}
    computed = hashlib.new(expected.algorithm if expected else SHA256)
    try:
        with open(path, 'rb') as file:
            for number, line in enumerate(_receipts_in(file, path, cut, computed.update), 1):
                receipt = parse_line(line, path if number < 2 else f'{path}, receipt {number}')
                before = found.get(receipt.identity)
                found[receipt.identity] = receipt.brought_also_by(before.brought_by) if before else receipt
    except (OSError, ValueError) as error:
        raise UsageError(f'cannot read the receipt {redact(path)}: {getattr(error, "strerror", error)}') from None
    if expected and Digest.of_hash(computed) != expected:
        raise _another_file(path, Digest.of_hash(computed), expected)
    if not found and not cut:
        raise UsageError(f'{path} holds no receipt')
    return list(found.values())


def parse_line(line: bytes, path: str) -> Receipt:
    """Return the receipt in a line of a file; raises InvalidReceipt."""
    try:
        return Receipt.from_json(line)
    except InvalidReceipt as error:
        raise InvalidReceipt(f'{path}: {error}') from None


def lines_of(file: BinaryIO, path: str, note: Callable[[bytes], object] = len) -> Iterator[bytes]:
    """Yield the lines that are not blank, with line ends; the last one may lack it if a process was killed.

    `note` is called with everything that is read.

    Raises InvalidReceipt for a line that is longer than a receipt may be, UsageError for a file that is too large,
    OSError.
    """
    size = 0
    while line := file.readline(LONGEST + 1):
        note(line)
        size += len(line)
        if len(line) > LONGEST:
            raise _too_long(path)
        if size > _CAP:
            raise UsageError(f'{path} has more than {_CAP} bytes, the limit for a file of receipts')
        if line.strip():
            yield line


def complete_lines(file: BinaryIO, path: str) -> Iterator[tuple[int, bytes]]:
    """Yield offset and line of each receipt, of any number; an incomplete last line is left out.

    Raises InvalidReceipt for a line that is longer than a receipt may be, OSError.
    """
    offset = 0
    while line := file.readline(LONGEST + 1):
        if len(line) > LONGEST:
            raise _too_long(path)
        if line.strip() and line.endswith(b'\n'):
            yield offset, line
        offset += len(line)


def complete_receipts(file: BufferedReader, path: str) -> Iterator[tuple[int, bytes]]:
    """Yield the same as `complete_lines`, or the single receipt of a file of formatted JSON.

    Raises UsageError for a file of something else, and what `complete_lines` raises.
    """
    if (begin := file.peek(_BEGIN)).strip():  # also without a complete line
        _require_receipts(begin[:_BEGIN], path)
    lines = complete_lines(file, path)
    offset, first = next(lines, (0, b''))
    if first and first.strip() == b'{':
        yield offset, first + file.read(LONGEST)
        return
    if first:
        _require_receipts(first, path)
        yield offset, first
    yield from lines


def _require_receipts(first: bytes, path: str) -> None:
    if not re.match(rb'\s*\{\s*("|$)', first):
        raise UsageError(f'{path} is not a file of receipts: give the file that process --receipt wrote')


def _too_long(path: str) -> InvalidReceipt:
    return InvalidReceipt(f'{path}: a line has more than the {LONGEST} bytes that a receipt may have')


def _receipts_in(file: BufferedReader, path: str, cut: bool, note: Callable[[bytes], object]) -> Iterator[bytes]:
    """Yield the texts of receipts; raises as `read_receipts`."""
    lines = lines_of(file, path, note)
    first = next(lines, b'')
    if first:
        _require_receipts(first, path)
    if first.strip() == b'{':
        rest = file.read(LONGEST)
        note(rest)
        yield first + rest
        return
    for line in chain([first] if first else (), lines):
        if not cut or line.endswith(b'\n'):
            yield line


def require_digest(path: str, expected: str) -> Digest:
    """Return the digest in `expected`, written with or without `sha256:`; raise InvalidReceipt unless the file has it.

    The file may be replaced before it is read again; `read_receipts` detects that. Raises UsageError for text that is
    not such a digest, and for a file that cannot be read.
    """
    try:
        digest = Digest(expected if ':' in expected else f'sha256:{expected}')
        found = hash_file(path, algorithm=digest.algorithm)[0]
    except InvalidImage:
        raise UsageError(f'--expect={expected[:80]!r} is not a sha256 digest: expected 64 hexadecimal digits'
                         ) from None
    except OSError as error:
        raise UsageError(f'cannot read the receipt {redact(path)}: {error.strerror}') from None
    if found != digest:
        raise _another_file(path, found, digest)
    return digest


def _another_file(path: str, found: Digest, expected: Digest) -> InvalidReceipt:
    return InvalidReceipt(f'{path} has digest {found}, expected {expected}: it is not the file that was written')


def with_bringers(line: bytes, all_bringers: Collection[Bringer]) -> bytes:
    """Return a receipt's line with these bringers."""
    receipt = Receipt.from_json(line)
    whole = receipt.brought_also_by(all_bringers)
    return line if whole == receipt else f'{whole.to_json()}\n'.encode()


def without_bringers(line: bytes, withdrawn: Mapping[Hashable, Collection[Bringer] | None]) -> bytes:
    """Return a receipt's line without these bringers; empty if none is left."""
    receipt = Receipt.from_json(line)
    if receipt.identity not in withdrawn:
        return line
    gone = withdrawn[receipt.identity]
    left = tuple(each for each in receipt.brought_by if gone is not None and each not in gone)
    return f'{replace(receipt, brought_by=left).to_json()}\n'.encode() if left else b''
