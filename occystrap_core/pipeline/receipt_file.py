"""The file of receipts that `--receipt` asks for: JSON lines, one image a line, each there as its image finishes."""
import os
import threading
from typing import BinaryIO

from occystrap_core.errors import InvalidReceipt, OutputError, UsageError
from occystrap_core.verification.receipt import Receipt


class ReceiptFile:
    """Takes the wanted name with its first line, so that an older file stays until there is something to say.

    From then on it grows line by line, for a run that is killed to be resumed.
    """

    def __init__(self, path: str, resumed: bool = False) -> None:
        """Open the file before anything is copied, to add to what is there if `resumed`; raises OutputError."""
        self._path = path
        there = os.path.exists(path)
        device = there and not os.path.isfile(path)  # such as /dev/stdout: nothing may take its place
        self._partial = '' if device or (resumed and there) else f'{path}.partial'
        self._lock = threading.Lock()
        try:
            self._file: BinaryIO = (open(self._partial or path, 'wb', 0) if self._partial or device
                                    else _open_at_a_line(path))
        except OSError as error:
            raise self._unwritable(error) from None

    def add(self, receipt: Receipt) -> None:
        """Write one receipt, whole or not at all as far as a killed process goes; raises OutputError."""
        with self._lock:
            try:
                self._file.write(f'{receipt.to_json()}\n'.encode())
                if self._partial:
                    os.replace(self._partial, self._path)
                    self._partial = ''
            except OSError as error:
                raise self._unwritable(error) from None

    def close(self) -> None:
        """Close the file; if nothing was written, leave no trace."""
        self._file.close()
        if self._partial:
            os.unlink(self._partial)
            self._partial = ''

    def _unwritable(self, error: OSError) -> OutputError:
        return OutputError(f'cannot write the receipt file {self._path}: {error.strerror}')


def _open_at_a_line(path: str) -> BinaryIO:
    """Return a file opened to be added to, where a killed process may have left half a line."""
    file = open(path, 'r+b', 0)
    content = file.read()
    end = content.rfind(b'\n') + 1
    file.truncate(end)
    file.seek(end)
    return file


def read_receipts(path: str, cut: bool = False) -> list[Receipt]:
    """Return the receipts in a file of JSON or JSON lines; raises UsageError when it holds none, InvalidReceipt.

    Of several for one image at one destination the last counts. With `cut` a last line that a killed process did not
    finish is left out.
    """
    try:
        with open(path, 'rb') as file:
            content = file.read()
    except OSError as error:
        raise UsageError(f'cannot read the receipt {path}: {error.strerror}') from None
    if cut:
        content = content[:content.rfind(b'\n') + 1]
    lines = [line for line in content.splitlines() if line.strip()]
    if not lines and not cut:
        raise UsageError(f'{path} holds no receipt')
    try:
        one = bool(lines) and lines[0].strip() == b'{'  # spread over lines, as formatters of JSON do
        found = [Receipt.from_json(each) for each in ([content] if one else lines)]
    except InvalidReceipt as error:
        raise InvalidReceipt(f'{path}: {error}') from None
    return list({(each.scheme, each.path, each.reference): each for each in found}.values())
