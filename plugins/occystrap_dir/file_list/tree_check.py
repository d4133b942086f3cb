"""Comparing a tree of files with its list (see mtree.py)."""
import os
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby, islice

from occystrap_core import CheckResults, InvalidImage, Settings
from occystrap_core.files import ByteStream, DeviceFile
from occystrap_dir.file_list.acl import canonical
from occystrap_dir.file_list.file_system import FileSystem, flag_letters, flags_of, xattr_names
from occystrap_dir.file_list.mtree import Line
from occystrap_dir.workspace.root import Root, join, text

_KINDS = {'file': stat.S_IFREG, 'dir': stat.S_IFDIR, 'link': stat.S_IFLNK, 'char': stat.S_IFCHR,
          'block': stat.S_IFBLK, 'fifo': stat.S_IFIFO}
_NAMES = {kind: name for name, kind in _KINDS.items()}
_MOST = 100
"""Differences that are reported one by one."""
_AT_ONCE = 1000
"""Number of lines that are in memory at once, for a directory that may have millions."""
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
_Xattrs = Mapping[bytes, bytes]


class TreeCheck:
    """Compares types, owners, modes, sizes, times, link targets, numbers of links, extended attributes and flags; with
    `full` contents too. What the list does not have must not exist.
    """

    def __init__(self, directory: int, name: str, file_system: FileSystem, full: bool, settings: Settings,
                 results: CheckResults, may_miss: bool = False) -> None:
        """`directory` is open and called `name` in messages; `file_system` is what its file system does to new files.

        With `may_miss`, missing files and their consequences are not reported. Raises OSError.
        """
        self._may_miss = may_miss
        self._root, self._name, self._file_system = Root(directory), name, file_system
        self._full, self._settings, self._results = full, settings, results
        self._reported = 0
        self._inodes: dict[str, tuple[int, int]] = {}
        self._levels: list[tuple[bytes, dict[bytes, _Xattrs]]] = []
        """The current directory and those above it, each with its subdirectories that are still to be checked."""
        self._absent: set[bytes] = set()
        """Directories that are missing or of another type, which was reported; what is below them is not."""

    def check(self, lines: Iterable[Line]) -> None:
        """Compare the tree with lines, in which each directory comes before its children; raises OSError,
        and InvalidImage for lines in another order."""
        try:
            for directory, group in groupby(lines, key=lambda line: line.path.rpartition(b'/')[0]):
                self._settings.cancellation.check()
                self._directory(directory, group)
            self._leave(0)
        finally:
            self._root.close()
        if self._reported > _MOST:
            self._results.error(self._name, f'differs in {self._reported - _MOST} more places')

    def _directory(self, directory: bytes, lines: Iterator[Line]) -> None:
        if not self._enter(directory):
            return
        names = set[bytes]()
        while some := list(islice(lines, _AT_ONCE)):
            self._settings.cancellation.check()
            names.update(line.path.rpartition(b'/')[2] for line in some if line.path)
            self._entries(directory, some)
        self._extra(directory, names)

    def _enter(self, directory: bytes) -> bool:
        """Go to a directory, having checked that those passed over are empty; return whether it exists."""
        if not directory:
            self._levels.append((directory, {}))
            return True
        above, _, name = directory.rpartition(b'/')
        depth = len(self._levels)
        while depth and self._levels[depth - 1][0] != above:
            depth -= 1
        xattrs = self._levels[depth - 1][1].pop(name, None) if depth else None
        if xattrs is None:
            if not any(directory == each or directory.startswith(each + b'/') for each in self._absent):
                raise InvalidImage(f'the list of files has entries in {text(directory)} before that directory itself')
            return False
        self._leave(depth)
        self._attributes(directory, self._root.plain(directory), xattrs, is_directory=True)
        self._levels.append((directory, {}))
        return True

    def _leave(self, depth: int) -> None:
        """Check the directories without lines for what is in them: they must be empty."""
        while len(self._levels) > depth:
            directory, left = self._levels.pop()
            for name, xattrs in sorted(left.items()):
                path = join(directory, name)
                self._attributes(path, self._root.plain(path), xattrs, is_directory=True)
                self._extra(path, set())

    def _entries(self, directory: bytes, lines: Sequence[Line]) -> None:
        files = []
        for line in lines:
            found = self._status(line, directory)
            if found and self._is_alike(line, found, directory) and line.kind == 'file' and self._is_first(line, found):
                files.append(line)
        if self._full:
            descriptor = self._root.plain(directory)
            digests = self._settings.in_parallel(lambda each: self._hash(descriptor, each), files, helping=True)
            for line, digest in zip(files, digests, strict=True):
                self._expect(line.path, 'digest', f'sha256:{line.digest}', digest)

    def _status(self, line: Line, directory: bytes) -> os.stat_result | None:
        try:
            if not line.path:
                return os.fstat(self._root.plain(b''))
            return os.lstat(line.path.rpartition(b'/')[2], dir_fd=self._root.plain(directory))
        except FileNotFoundError:
            if not self._may_miss:
                self._report(line.path, 'is missing')
            self._absent.update([line.path] if line.kind == 'dir' else ())
            return None

    def _is_alike(self, line: Line, found: os.stat_result, directory: bytes) -> bool:
        """Compare all but content; return whether that should be compared as well."""
        path = line.path
        kind = _NAMES.get(stat.S_IFMT(found.st_mode), 'something else')
        if not self._expect(path, 'type', line.kind, kind):
            self._absent.update([path] if line.kind == 'dir' else ())
            return False
        if line.mode is not None and line.mode != (mode := stat.S_IMODE(found.st_mode)):
            self._report(path, f'mode is {mode:04o}, expected {line.mode:04o}')
        if line.uid is not None and (line.uid, line.gid) != (found.st_uid, found.st_gid):
            self._report(path, f'owner is {found.st_uid}:{found.st_gid}, expected {line.uid}:{line.gid}')
        if line.time != found.st_mtime_ns:
            self._time(line, found.st_mtime_ns)
        if line.device is not None:
            self._expect(path, 'device', line.device, (os.major(found.st_rdev), os.minor(found.st_rdev)))
        if line.kind != 'dir' and not self._may_miss and line.names != found.st_nlink:
            self._report(path, f'number of links is {found.st_nlink}, expected {line.names}')
        self._contained(line, directory)
        return line.size is None or self._expect(path, 'size in bytes', line.size, found.st_size)

    def _time(self, line: Line, found: int) -> None:
        """Compare times that are not equal, but may be as close as the file system can store them."""
        if line.time is None or line.kind == 'dir' and self._may_miss:  # removing files changes their directory's
            return
        if self._file_system.rounded(line.time) != self._file_system.rounded(found):
            self._report(line.path, f'time is {_seconds(found)}, expected {_seconds(line.time)}')

    def _contained(self, line: Line, directory: bytes) -> None:
        """Compare what stat(2) does not return: link target, extended attributes, flags."""
        name, above = line.path.rpartition(b'/')[2], self._root.plain(directory)
        if line.kind == 'dir' and line.path:
            self._levels[-1][1][name] = line.xattrs  # compared when it is opened
        elif line.kind == 'dir':
            self._attributes(line.path, above, line.xattrs, is_directory=True)
        elif line.kind == 'file':
            descriptor = os.open(name, _FILE, dir_fd=above)
            try:
                self._attributes(line.path, descriptor, line.xattrs)
            finally:
                os.close(descriptor)
        else:
            self._attributes(line.path, f'/proc/self/fd/{above}/{text(name)}', line.xattrs)
            if line.kind == 'link':
                self._expect(line.path, 'target', text(line.target), text(os.readlink(name, dir_fd=above)))

    def _is_first(self, line: Line, found: os.stat_result) -> bool:
        """Return whether the content was not compared under another name; check that hard links lead to one file."""
        if not line.inode:
            return True
        actual = found.st_dev, found.st_ino
        if line.inode in self._inodes:
            if self._inodes[line.inode] != actual:
                self._report(line.path, 'is not a hard link to the expected file')
                return True
            return False
        self._inodes[line.inode] = actual
        return True

    def _attributes(self, path: bytes, target: int | str, expected: _Xattrs, is_directory: bool = False) -> None:
        """Compare extended attributes and flags of an open file or directory, or the attributes of a path."""
        names = xattr_names(target)
        if names or expected:
            self._xattrs(path, target, expected, names)
        if self._file_system.flags is not None and isinstance(target, int):
            flags = flags_of(target)
            if flags not in (None, self._file_system.flags[is_directory]):
                self._expect(path, 'flags', flag_letters(self._file_system.flags[is_directory]),
                             flag_letters(flags or 0))

    def _xattrs(self, path: bytes, target: int | str, expected: _Xattrs, names: Sequence[bytes]) -> None:
        for name in sorted({*names} - {*expected} - {*self._file_system.xattrs}):
            self._report(path, f'has the attribute {text(name)}, which no layer sets')
        for name, value in expected.items():
            if name not in names:
                self._report(path, f'has no attribute {text(name)}')
                continue
            found = os.getxattr(target, name, **({} if isinstance(target, int) else {'follow_symlinks': False}))
            self._expect(path, f'attribute {text(name)}', canonical(name, value), canonical(name, found))

    def _extra(self, directory: bytes, expected: set[bytes]) -> None:
        for name in sorted(name for name in self._names(directory) if name not in expected):
            self._report(join(directory, name), 'exists, but no layer has it')

    def _names(self, directory: bytes) -> Iterator[bytes]:
        with os.scandir(self._root.plain(directory)) as entries:
            for entry in entries:
                yield os.fsencode(entry.name)

    def _hash(self, directory: int, line: Line) -> str:
        name = text(line.path.rpartition(b'/')[2])
        with ByteStream(DeviceFile(f'/proc/self/fd/{directory}/{name}'), what=name) as stream:
            stream.observe(lambda count: self._settings.cancellation.check())
            return stream.drain()

    def _expect(self, path: bytes, what: str, expected: object, found: object) -> bool:
        if found == expected:
            return True
        self._report(path, f'{what} is {found}, expected {expected}')
        return False

    def _report(self, path: bytes, message: str) -> None:
        self._reported += 1
        if self._reported <= _MOST:
            self._results.error(f'{self._name}/{text(path)}' if path else self._name, message)


def _seconds(time: int) -> str:
    return '%d.%09d' % divmod(time, 10 ** 9)
