"""The file of `--receipt`: JSON lines, one receipt a line, each with its verdict."""
import errno
import fcntl
import os
import re
import stat
import threading
from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import blake2b

from occystrap_core.errors import InvalidReceipt, OccystrapError, OutputError, UsageError
from occystrap_core.files.durability import sync_directory, write_all
from occystrap_core.files.locks import lock_if_current
from occystrap_core.receipts.receipt_lines import complete_lines, parse_line, with_bringers, without_bringers
from occystrap_core.verification.provenance import Bringer
from occystrap_core.verification.receipt import Receipt

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
        """Remove the receipts of images that were removed; raises OutputError."""
        self._change({each.identity: None for each in gone})

    def withdraw(self, withdrawn: Mapping[Hashable, Collection[Bringer]]) -> None:
        """Remove bringers from the receipts with these identities, and receipts that have none left.

        Raises OutputError.
        """
        self._change(withdrawn)

    def _change(self, withdrawn: Mapping[Hashable, Collection[Bringer] | None]) -> None:
        if not (withdrawn and self._is_regular):
            return
        try:
            with self._lock, self._locked():
                left = (without_bringers(line, withdrawn) for line in self._lines())
                self._replace(line for line in left if line)
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
        """Close the file, ignoring errors, since every receipt in it was flushed before."""
        with suppress(OSError):
            os.close(self._take())

    def _take(self) -> int:
        """Return the open file, which the caller closes."""
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
            raise UsageError(f'{self.path} is a link that leads nowhere: choose another file')
        return os.open(self.path, flags if os.path.isfile(self.path) else os.O_WRONLY | os.O_NOCTTY)

    def _require_receipts(self) -> None:
        """Raise UsageError unless the file is empty or has a receipt on each line; the last line may be incomplete."""
        try:
            beginning = os.pread(self._opened, len(_BEGINNING), 0)
            if beginning and not _BEGINNING.startswith(beginning):
                raise InvalidReceipt(f'{self.path} exists and holds no receipts')
            for line in self._lines():
                parse_line(line, self.path)
        except InvalidReceipt as error:
            if not self._force:
                raise UsageError(f'{error}: choose another file, or use --force to replace it') from None
            self._replaces = True

    def _append(self, line: bytes) -> None:
        with self._locked():
            if self._replaces:  # unless another process, begun at the same time, has replaced the file meanwhile
                self._replaces = False
                self._require_receipts()
            if self._replaces:  # never written into: the file may have another name, a hard link, that must keep it
                self._replace([line])
                self._replaces = False
                return
            end = _end_of_lines(self._opened)
            os.ftruncate(self._opened, end)  # a killed process left an incomplete line
            try:
                write_all(self._opened, line)
                os.fsync(self._opened)
                if self._created and not end:
                    sync_directory(os.path.dirname(self.path) or '.')
            except OSError:
                os.ftruncate(self._opened, end)
                raise

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
            if self._created and not os.fstat(self._opened).st_size:
                os.unlink(self.path)
                return
            newest: dict[bytes, int] = {}
            replaced: set[bytes] = set()
            for number, key in enumerate(map(_key, map(Receipt.from_json, self._lines()))):
                if key in newest:
                    replaced.add(key)
                newest[key] = number
            if replaced:
                self._replace(self._newest(newest, replaced))

    def _newest(self, newest: Mapping[bytes, int], replaced: Collection[bytes]) -> Iterator[bytes]:
        """Yield the lines that are `newest`; those that `replaced` others get their bringers as well."""
        brought: defaultdict[bytes, set[Bringer]] = defaultdict(set)
        for receipt in map(Receipt.from_json, self._lines()):
            if (key := _key(receipt)) in replaced:
                brought[key].update(receipt.brought_by)
        kept = {newest[key]: whole for key, whole in brought.items()}
        numbers = {*newest.values()}
        for number, line in enumerate(self._lines()):
            if number in numbers:
                yield with_bringers(line, kept[number]) if number in kept else line

    def _lines(self) -> Iterator[bytes]:
        """Yield the complete lines of the file, which must not change meanwhile; raises InvalidReceipt, OSError.
        """
        with open(os.dup(self._opened), 'rb') as file:
            file.seek(0)
            for _, line in complete_lines(file, self.path):
                yield line

    def _replace(self, lines: Iterable[bytes]) -> None:
        path = os.path.realpath(self.path)
        above, prefix = self._partial()
        partial = os.path.join(above, f'{prefix}{os.urandom(8).hex()}.partial')
        mode = stat.S_IMODE(os.fstat(self._opened).st_mode)
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        try:
            for line in lines:
                write_all(descriptor, line)
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
        make = f'; create the directory {directory} first' if not os.path.isdir(directory) else (
            '; make it writable or choose another place' if error.errno in (errno.EACCES, errno.EPERM) else '')
        return OutputError(f'cannot write the receipt file {self.path}: {error.strerror}{make}')


def _key(receipt: Receipt) -> bytes:
    """Return a digest that identifies what a receipt is for, since there may be millions."""
    return blake2b(repr(receipt.identity).encode('utf-8', 'surrogateescape'), digest_size=16).digest()


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
