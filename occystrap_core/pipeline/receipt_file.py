"""The file of receipts that `--receipt` asks for: JSON lines, one image a line, each there as its image finishes."""
import os
from typing import BinaryIO

from occystrap_core.errors import OutputError, UsageError
from occystrap_core.verification.receipt import Receipt


class ReceiptFile:
    """Collects receipts beside the wanted name and takes that name when the run is over."""

    def __init__(self, path: str) -> None:
        """Open the file before anything is copied; raises OutputError when that cannot be."""
        self._path = path
        self._partial = f'{path}.partial'
        self._file: BinaryIO | None = None
        try:
            self._file = open(self._partial, 'wb')
        except OSError as error:
            raise OutputError(f'cannot write the receipt file {path}: {error.strerror}') from None

    def add(self, receipt: Receipt) -> None:
        """Write one receipt; raises OutputError."""
        assert self._file
        try:
            self._file.write(f'{receipt.to_json()}\n'.encode())
            self._file.flush()
        except OSError as error:
            raise OutputError(f'cannot write the receipt file {self._path}: {error.strerror}') from None

    def close(self) -> None:
        """Take the final name if there is a receipt at all, else leave no trace."""
        if self._file is None:
            return
        written = self._file.tell()
        self._file.close()
        self._file = None
        if written:
            os.replace(self._partial, self._path)
        else:
            os.unlink(self._partial)


def read_receipts(path: str) -> list[Receipt]:
    """Return the receipts in a file of JSON or JSON lines; raises UsageError when it holds none."""
    try:
        with open(path, 'rb') as file:
            content = file.read()
    except OSError as error:
        raise UsageError(f'cannot read the receipt {path}: {error.strerror}') from None
    lines = [line for line in content.splitlines() if line.strip()]
    if not lines:
        raise UsageError(f'{path} holds no receipt')
    try:
        one = lines[0].strip() == b'{'  # spread over lines, as formatters of JSON do
        return [Receipt.from_json(each) for each in ([content] if one else lines)]
    except UsageError as error:
        raise UsageError(f'{path}: {error}') from None
