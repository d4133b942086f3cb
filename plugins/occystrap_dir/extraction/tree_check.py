"""Holding a tree of files against the list of what must be in it (see mtree.py)."""
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby, islice

from occystrap_core import ByteStream, CheckResults, DeviceFile, Settings
from occystrap_dir.extraction.mtree import Line
from occystrap_dir.extraction.root import Root, join, text

_KINDS = {'file': stat.S_IFREG, 'dir': stat.S_IFDIR, 'link': stat.S_IFLNK, 'char': stat.S_IFCHR,
          'block': stat.S_IFBLK, 'fifo': stat.S_IFIFO}
_NAMES = {kind: name for name, kind in _KINDS.items()}
_MOST = 100
"""Differences that are told one by one."""
_AT_ONCE = 1000
"""Lines of one folder, which may have millions, that are in memory at once."""


class TreeCheck:
    """Compares types, owners, modes, sizes, times of files, link targets and attributes; with `full` contents too."""

    def __init__(self, path: str, name: str, full: bool, settings: Settings, results: CheckResults) -> None:
        """`name` is what messages call the root folder. Raises OSError."""
        self._root, self._path, self._name = Root(path), path, name
        self._full, self._settings, self._results = full, settings, results
        self._told = 0
        self._inodes: dict[str, tuple[int, int]] = {}
        self._folders: set[bytes] = set()
        """Folders that must be there, and whose content was not looked at yet."""

    def check(self, lines: Iterable[Line]) -> None:
        """Compare the tree with lines that are in the order of their folders; raises OSError."""
        try:
            with ThreadPoolExecutor(self._settings.jobs, 'verify-files') as threads:
                for folder, group in groupby(lines, key=lambda line: line.path.rpartition(b'/')[0]):
                    self._settings.cancellation.check()
                    self._folder(folder, group, threads)
            for folder in sorted(self._folders):
                self._extra(folder, set())
        finally:
            self._root.close()
        if self._told > _MOST:
            self._results.error(self._name, f'differs in {self._told - _MOST} more places')

    def _folder(self, folder: bytes, lines: Iterator[Line], threads: ThreadPoolExecutor) -> None:
        known = folder in self._folders or not folder
        self._folders.discard(folder)
        if not known:
            return  # it is missing, or no folder: that was told
        names = set[bytes]()
        while some := list(islice(lines, _AT_ONCE)):
            self._settings.cancellation.check()
            names.update(line.path.rpartition(b'/')[2] for line in some if line.path)
            self._entries(folder, some, threads)
        self._extra(folder, names)

    def _entries(self, folder: bytes, lines: Sequence[Line], threads: ThreadPoolExecutor) -> None:
        files = []
        for line in lines:
            found = self._status(line, folder)
            if found and self._is_alike(line, found, folder) and line.kind == 'file' and self._is_first(line, found):
                files.append(line)
        if self._full:
            descriptor = self._root.plain(folder)
            for line, digest in zip(files, threads.map(lambda each: self._hash(descriptor, each), files), strict=True):
                self._expect(line.path, 'digest', f'sha256:{line.digest}', digest)

    def _status(self, line: Line, folder: bytes) -> os.stat_result | None:
        try:
            if not line.path:
                return os.fstat(self._root.plain(b''))
            return os.lstat(line.path.rpartition(b'/')[2], dir_fd=self._root.plain(folder))
        except FileNotFoundError:
            self._tell(line.path, 'is missing')
            return None

    def _is_alike(self, line: Line, found: os.stat_result, folder: bytes) -> bool:
        """Compare all but content; tell whether that may be compared as well."""
        path = line.path
        kind = _NAMES.get(stat.S_IFMT(found.st_mode), 'something else')
        if not self._expect(path, 'type', line.kind, kind):
            return False
        if line.kind == 'dir' and path:
            self._folders.add(path)
        if line.mode is not None:
            self._expect(path, 'mode', f'{line.mode:04o}', f'{stat.S_IMODE(found.st_mode):04o}')
        if line.uid is not None:
            self._expect(path, 'owner', f'{line.uid}:{line.gid}', f'{found.st_uid}:{found.st_gid}')
        if line.kind == 'file' and line.time is not None:
            self._expect(path, 'time', line.time // 10 ** 9, found.st_mtime_ns // 10 ** 9)
        if line.device is not None:
            self._expect(path, 'device', line.device, (os.major(found.st_rdev), os.minor(found.st_rdev)))
        if line.kind == 'link':
            name = path.rpartition(b'/')[2]
            self._expect(path, 'target', text(line.target), text(os.readlink(name, dir_fd=self._root.plain(folder))))
        self._xattrs(line, folder)
        return line.size is None or self._expect(path, 'size in bytes', line.size, found.st_size)

    def _is_first(self, line: Line, found: os.stat_result) -> bool:
        """Tell whether the content was not seen under another name; the names of one file must be of one file."""
        if not line.inode:
            return True
        actual = found.st_dev, found.st_ino
        if line.inode in self._inodes:
            if self._inodes[line.inode] != actual:
                self._tell(line.path, 'is no hard link to the file that it should be one of')
                return True
            return False
        self._inodes[line.inode] = actual
        return True

    def _xattrs(self, line: Line, folder: bytes) -> None:
        for name, value in line.xattrs.items():
            where = f'/proc/self/fd/{self._root.plain(folder)}/{text(line.path.rpartition(b"/")[2])}'
            try:
                actual = os.getxattr(where.rstrip('/'), name, follow_symlinks=not line.path)
            except OSError as error:
                self._tell(line.path, f'has no attribute {text(name)}: {error.strerror}')
            else:
                self._expect(line.path, f'attribute {text(name)}', value, actual)

    def _extra(self, folder: bytes, expected: set[bytes]) -> None:
        for name in sorted(name for name in self._names(folder) if name not in expected):
            self._tell(join(folder, name), 'is there, but no layer has it')

    def _names(self, folder: bytes) -> Iterator[bytes]:
        with os.scandir(self._root.plain(folder)) as entries:
            for entry in entries:
                yield os.fsencode(entry.name)

    def _hash(self, folder: int, line: Line) -> str:
        name = text(line.path.rpartition(b'/')[2])
        with ByteStream(DeviceFile(f'/proc/self/fd/{folder}/{name}'), what=name) as stream:
            stream.observe(lambda count: self._settings.cancellation.check())
            return stream.drain()

    def _expect(self, path: bytes, what: str, expected: object, found: object) -> bool:
        if found == expected:
            return True
        self._tell(path, f'{what} is {found}, expected {expected}')
        return False

    def _tell(self, path: bytes, message: str) -> None:
        self._told += 1
        if self._told <= _MOST:
            self._results.error(f'{self._name}/{text(path)}' if path else self._name, message)
