"""The file of `--receipt`: JSON lines, one receipt a line, each with its verdict."""
import fcntl
import os
import re
import stat
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress

from occystrap_core.api.uri import redact
from occystrap_core.errors import InvalidImage, InvalidReceipt, OccystrapError, OutputError, UsageError
from occystrap_core.files.device import hash_file
from occystrap_core.files.durability import sync_directory, write_all
from occystrap_core.files.locks import lock_if_current
from occystrap_core.oci.digest import Digest
from occystrap_core.verification.receipt import Receipt

_CAP = 1 << 30
_NAME_CAP = 200
_ABANDONED = r'[0-9a-f]{16}\.partial'
_BEGINNING = b'{"receipt": '


class ReceiptFile:
    """Takes receipts from several threads; overwrites nothing but receipts."""

    def __init__(self, path: str, force: bool = False) -> None:
        """Open the file before anything is copied.

        Raises UsageError if it exists with other content, unless `force` permits replacing it, and OutputError if it
        cannot be written.
        """
        self.path, self._force = path, force
        self._lock = threading.Lock()
        self._created = self._replaces = False
        try:
            self._descriptor: int | None = self._open()
            self._is_regular = stat.S_ISREG(os.fstat(self._descriptor).st_mode)
            if self._is_regular:
                self._require_receipts()
        except OSError as error:
            raise self._unwritable(error) from None

    def add(self, receipt: Receipt) -> None:
        """Write one receipt, completely or not at all, and flush it to the device; raises OutputError."""
        line = f'{receipt.to_json()}\n'.encode()
        with self._lock:
            try:
                if self._is_regular:
                    self._append(line)
                else:  # such as /dev/stdout
                    write_all(self._opened, line)
            except OSError as error:
                raise self._unwritable(error) from None

    def remove(self, gone: Collection[Receipt]) -> None:
        """Remove the receipts of images that are no longer there; raises OutputError."""
        identities = {each.identity for each in gone}
        if not (identities and self._is_regular):
            return
        try:
            with self._lock, self._locked():
                lines = _lines(_whole_lines(_read(self._opened)))
                self._replace(b''.join(b'%s\n' % each for each in lines
                                       if Receipt.from_json(each).identity not in identities))
        except OSError as error:
            raise self._unwritable(error) from None

    def close(self) -> None:
        """Remove lines that newer ones replace, and close the file; an empty file that was created is removed."""
        if self._descriptor is None:
            return
        try:
            with suppress(OccystrapError, OSError):  # the file is complete, only longer than necessary
                self._compact()
        finally:
            self._close()

    def _close(self) -> None:
        """Close the file; every receipt in it was flushed before, so that errors are irrelevant."""
        with suppress(OSError):
            os.close(self._take())

    def _take(self) -> int:
        """Return the open file, which whoever takes it closes."""
        descriptor, self._descriptor = self._opened, None
        return descriptor

    @property
    def _opened(self) -> int:
        if self._descriptor is None:
            raise OutputError(f'the receipt file {self.path} is closed')
        return self._descriptor

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_APPEND | os.O_NOCTTY
        with suppress(FileExistsError):
            descriptor = os.open(self.path, flags | os.O_CREAT | os.O_EXCL, 0o666)
            self._created = True
            return descriptor
        if not os.path.exists(self.path):
            raise UsageError(f'{self.path} is a link that leads nowhere: name the receipt file itself')
        return os.open(self.path, flags if os.path.isfile(self.path) else os.O_WRONLY | os.O_NOCTTY)

    def _require_receipts(self) -> None:
        """Raise UsageError unless the file is empty or has a receipt on each line, the last of them perhaps incomplete.
        """
        content = _read(self._opened)
        whole = _whole_lines(content)
        try:
            if content and not content.startswith(_BEGINNING):
                raise InvalidReceipt(f'{self.path} exists and holds no receipts')
            _parsed(whole, self.path)
        except InvalidReceipt as error:
            if not self._force:
                raise UsageError(f'{error}: name another file, or give --force to replace it') from None
            self._replaces = True

    def _append(self, line: bytes) -> None:
        with self._locked():
            end = 0 if self._replaces else _end_of_lines(self._opened)
            os.ftruncate(self._opened, end)  # where a killed process left half a line
            try:
                write_all(self._opened, line)
                os.fsync(self._opened)
                if self._created and not end:
                    sync_directory(os.path.dirname(self.path) or '.')
            except OSError:
                os.ftruncate(self._opened, end)
                raise
            self._replaces = False

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Lock the file; another process may meanwhile have replaced it by a shorter one."""
        while (descriptor := lock_if_current(self._take(), fcntl.LOCK_EX, self._status)) is None:
            self._descriptor = self._open()
        self._descriptor = descriptor
        try:
            yield
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)

    def _status(self) -> os.stat_result | None:
        with suppress(FileNotFoundError):
            return os.stat(self.path)
        return None

    def _compact(self) -> None:
        if not self._is_regular:
            return
        with self._locked():
            self._remove_abandoned()
            content = _read(self._opened)
            if not content and self._created:
                os.unlink(self.path)
                return
            lines = _lines(content)
            kept = {Receipt.from_json(line).identity: line for line in lines}
            if len(kept) < len(lines):
                self._replace(b''.join(b'%s\n' % line for line in kept.values()))

    def _replace(self, content: bytes) -> None:
        path = os.path.realpath(self.path)
        above, prefix = self._partial()
        partial = os.path.join(above, f'{prefix}{os.urandom(8).hex()}.partial')
        mode = stat.S_IMODE(os.fstat(self._opened).st_mode)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            write_all(descriptor, content)
            os.fsync(descriptor)
            os.rename(partial, path)
        except BaseException:
            with suppress(OSError):  # the next run removes it
                os.unlink(partial)
            raise
        finally:
            os.close(descriptor)
        sync_directory(above)

    def _partial(self) -> tuple[str, str]:
        """Return the directory and name prefix of temporary files, which only the holder of the lock creates."""
        above, name = os.path.split(os.path.realpath(self.path))
        return above, f'.{os.fsdecode(os.fsencode(name)[:_NAME_CAP])}.'

    def _remove_abandoned(self) -> None:
        """Remove temporary files of a killed process; the caller holds the lock."""
        above, prefix = self._partial()
        for name in os.listdir(above):
            if name.startswith(prefix) and re.fullmatch(_ABANDONED, name.removeprefix(prefix)):
                os.unlink(os.path.join(above, name))

    def _unwritable(self, error: OSError) -> OutputError:
        directory = os.path.dirname(self.path) or '.'
        make = '' if os.path.isdir(directory) else f'; make the directory {directory} first'
        return OutputError(f'cannot write the receipt file {self.path}: {error.strerror}{make}')


def read_receipts(path: str, cut: bool = False) -> list[Receipt]:
    """Return the receipts in a file of JSON or JSON lines; of several for one image in one place, the last.

    With `cut` an incomplete last line of a killed process is ignored. Raises UsageError if the file has no receipts or
    cannot be read, InvalidReceipt if one of them is damaged or incomplete.
    """
    try:
        with open(path, 'rb') as file:
            content = file.read(_CAP + 1)
    except (OSError, ValueError) as error:
        raise UsageError(f'cannot read the receipt {redact(path)}: {getattr(error, "strerror", error)}') from None
    if len(content) > _CAP:
        raise UsageError(f'{path} has more than {_CAP} bytes, the limit for a file of receipts')
    if content.strip() and not re.match(rb'\s*\{\s*"', content):
        raise UsageError(f'{path} is not a receipt, nor lines of them: name what process --receipt wrote')
    found = _parsed(_whole_lines(content) if cut else content, path)
    if not found and not cut:
        raise UsageError(f'{path} holds no receipt')
    return list({each.identity: each for each in found}.values())


def require_digest(path: str, expected: str) -> None:
    """Raise InvalidReceipt unless the file has a sha256 digest, written with or without `sha256:`.

    Raises UsageError for text that is no such digest, and for a file that cannot be read.
    """
    try:
        digest = Digest(expected if ':' in expected else f'sha256:{expected}')
        found = hash_file(path, algorithm=digest.algorithm)[0]
    except InvalidImage:
        raise UsageError(f'--expect={expected[:80]!r} is not a sha256 digest: 64 hexadecimal digits are expected'
                         ) from None
    except OSError as error:
        raise UsageError(f'cannot read the receipt {redact(path)}: {error.strerror}') from None
    if found != digest:
        raise InvalidReceipt(f'{path} has digest {found}, expected {digest}: it is not the file that was written')


def _parsed(content: bytes, path: str) -> list[Receipt]:
    lines = _lines(content)
    one = bool(lines) and lines[0].strip() == b'{'  # pretty-printed JSON
    try:
        return [Receipt.from_json(each) for each in ([content] if one else lines)]
    except InvalidReceipt as error:
        raise InvalidReceipt(f'{path}: {error}') from None


def _lines(content: bytes) -> list[bytes]:
    return [line for line in content.split(b'\n') if line.strip()]


def _whole_lines(content: bytes) -> bytes:
    return content[:content.rfind(b'\n') + 1]


def _end_of_lines(descriptor: int) -> int:
    """Return the offset in bytes after the last complete line."""
    end = os.fstat(descriptor).st_size
    while end:
        start = max(0, end - 65536)
        newline = os.pread(descriptor, end - start, start).rfind(b'\n')
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


def _read(descriptor: int) -> bytes:
    pieces, place = [], 0
    while piece := os.pread(descriptor, 1 << 20, place):
        pieces.append(piece)
        place += len(piece)
    return b''.join(pieces)
