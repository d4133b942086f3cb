"""The receipts of --resume, found by their destinations in the file that has them: it may have millions."""
from collections.abc import Mapping
from typing import BinaryIO

from occystrap_core.api.uri import Location, redact
from occystrap_core.errors import OccystrapError, UsageError
from occystrap_core.plugins.manager import Plugins
from occystrap_core.plugins.resolver import open_output
from occystrap_core.receipts.receipt_lines import complete_lines, parse_line
from occystrap_core.settings import Settings


class EarlierReceipts:
    """Where in a file the receipts are, of several for one destination the last: some hundred bytes for each."""

    def __init__(self, path: str = '') -> None:
        """Read a file; raises UsageError if it cannot be read, InvalidReceipt for a line that is no receipt."""
        self._offsets: dict[int, int] = {}
        self._file: BinaryIO | None = None
        if path:
            try:
                self._file = open(path, 'rb')
                self._read(self._file, path)
            except OccystrapError:
                self.close()
                raise
            except OSError as error:
                self.close()
                raise UsageError(f'cannot read the receipt {redact(path)}: {error.strerror}') from None

    def __bool__(self) -> bool:
        return bool(self._offsets)

    def at(self, plugins: Plugins, destination: Location, settings: Settings) -> str:
        """Return the receipt of the image at a destination, as a line; empty without one."""
        location = open_output(plugins, destination, settings).location
        offset = self._offsets.get(_key(location.scheme, location.path, location.given))
        if offset is None or self._file is None:
            return ''
        self._file.seek(offset)
        return self._file.readline().decode()

    def close(self) -> None:
        """Close the file."""
        if self._file:
            self._file.close()

    def _read(self, file: BinaryIO, path: str) -> None:
        for number, (offset, line) in enumerate(complete_lines(file, path), 1):
            receipt = parse_line(line, f'{path}, receipt {number}')
            self._offsets[_key(receipt.scheme, receipt.path, receipt.options)] = offset


def _key(scheme: str, path: str, options: Mapping[str, str]) -> int:
    """Return a number for a destination; whoever gets the receipt of another one by it sees that, and does not use it.
    """
    return hash((scheme, path, tuple(sorted(options.items()))))
