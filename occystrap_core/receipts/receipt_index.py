"""An index of a file of receipts, by what a run looks them up: there may be millions of receipts, of kilobytes each."""
import threading
from collections.abc import Callable, Hashable
from io import BufferedReader

from occystrap_core.api.uri import redact
from occystrap_core.errors import OccystrapError, UsageError
from occystrap_core.receipts.receipt_lines import complete_receipts, parse_line
from occystrap_core.verification.receipt import LONGEST, Receipt


class ReceiptIndex:
    """The offsets of receipts in a file, of several with one key the last: some hundred bytes for each. Thread-safe.

    Only hashes of keys are kept, so a receipt with another key may be found: whoever uses it must compare the key.
    """

    def __init__(self, path: str, key: Callable[[Receipt], Hashable]) -> None:
        """Read a file, none if `path` is empty; raises UsageError if it cannot be read, InvalidReceipt for a line that
        is no receipt."""
        self._offsets: dict[int, int] = {}
        self._file: BufferedReader | None = None
        self._lock = threading.Lock()
        if path:
            try:
                self._file = open(path, 'rb')
                self._read(self._file, path, key)
            except OccystrapError:
                self.close()
                raise
            except OSError as error:
                self.close()
                raise UsageError(f'cannot read the receipt {redact(path)}: {error.strerror}') from None

    def __len__(self) -> int:
        return len(self._offsets)

    def line(self, key: Hashable) -> bytes:
        """Return the receipt with this key, as a line, or one with another key; empty without one.

        Raises UsageError for a file that cannot be read twice.
        """
        offset = self._offsets.get(hash(key))
        if offset is None or self._file is None:
            return b''
        with self._lock:
            try:
                self._file.seek(offset)
            except OSError:
                raise UsageError(f'receipts are found in a file: {self._file.name} is a pipe') from None
            line = self._file.readline()
            return line + self._file.read(LONGEST) if line.strip() == b'{' else line

    def close(self) -> None:
        """Close the file."""
        if self._file:
            self._file.close()

    def _read(self, file: BufferedReader, path: str, key: Callable[[Receipt], Hashable]) -> None:
        for number, (offset, line) in enumerate(complete_receipts(file, path), 1):
            receipt = parse_line(line, path if number < 2 else f'{path}, receipt {number}')
            self._offsets[hash(key(receipt))] = offset
