"""Files that list images: read completely, within limits, all mistakes reported together."""
import sys
from collections.abc import Iterator

from occystrap_core.api.short_names import registry_uri
from occystrap_core.api.uri import parse_uri
from occystrap_core.errors import UsageError


def source_uri(text: str) -> str:
    """Return the URI for `text`, which may be the name of an image; raises UsageError for malformed text."""
    if '://' in text and text.isprintable():
        parse_uri(text)
        return text
    return registry_uri(text)


CAP = 4 << 20
"""Most bytes of a plan: some 40,000 images."""
_SHOWN = 10
_LONGEST = 1 << 16
"""Bytes of a line."""


class Problems:
    """The mistakes in one file, reported in one line."""

    def __init__(self, file: str) -> None:
        self._file = file
        self._found: list[str] = []

    def add(self, text: str, line: int = 0, part: str = '') -> None:
        """Add a mistake, with its line, 0 if unknown, and a part of the file, such as an image."""
        self._found.append(f'{self.where(line, part)}: {text}')

    def where(self, line: int, part: str = '') -> str:
        """Return the name of a line or of a part of the file."""
        return ', '.join(each for each in (self._file, f'line {line}' if line else '', part) if each)

    def report(self) -> None:
        """Raise UsageError with all mistakes, if there are any."""
        if len(self._found) == 1:
            raise UsageError(self._found[0])
        if self._found:
            left = len(self._found) - _SHOWN
            more = f'; and {left} more' if left > 0 else ''
            raise UsageError(f'{len(self._found)} errors: {"; ".join(self._found[:_SHOWN])}{more}')


def file_name(path: str) -> str:
    """Return the name of the file at `path`; - stands for stdin."""
    return 'stdin' if path == '-' else path


def read_lines(path: str) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a file of any length, `-` for stdin, each with its offset; a line longer than any name is cut.

    Raises UsageError for a file that cannot be read.
    """
    offset = 0
    try:
        with sys.stdin.buffer if path == '-' else open(path, 'rb') as file:
            while line := file.readline(_LONGEST):
                yield offset, line
                offset += len(line)
    except OSError as error:
        raise UsageError(f'{file_name(path)} cannot be read: {error.strerror}') from None


def decoded(raw: bytes, path: str, offset: int = 0) -> str:
    """Return the text of a file, or of a part at an offset; raises UsageError if it is not text."""
    try:
        text = raw.decode('utf-8' if offset else 'utf-8-sig')
    except UnicodeDecodeError as error:
        raise UsageError(f'{file_name(path)} is not UTF-8 at byte {offset + error.start}') from None
    if '\0' in text:
        raise UsageError(f'{file_name(path)} is not text: expected a list of images, or a plan in TOML or YAML')
    return text


def read_text(path: str, cap: int = CAP, instead: str = '') -> str:
    """Return the text of a file, `-` for stdin; raises UsageError if it cannot be read or is larger than `cap` bytes.

    `instead` says what to do about a too large file.
    """
    try:
        if path == '-':
            raw = sys.stdin.buffer.read(cap + 1)
        else:
            with open(path, 'rb') as file:
                raw = file.read(cap + 1)
    except OSError as error:
        raise UsageError(f'{file_name(path)} cannot be read: {error.strerror}') from None
    if len(raw) > cap:
        raise UsageError(f'{file_name(path)} has more than the {cap >> 20} MiB allowed{instead}')
    return decoded(raw, path)
