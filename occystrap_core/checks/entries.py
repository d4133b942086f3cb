"""Checking the entries of one layer (image-spec layer.md; POSIX pax; limits of unpacking programs)."""
from collections import Counter
from collections.abc import Callable

from occystrap_core.name_memory import Share
from occystrap_core.tar import entry_headers as kinds
from occystrap_core.tar.entry import TarEntry
from occystrap_core.tar.globs import plain_path
from occystrap_core.tar.header import NUMBER_CAP
from occystrap_core.tar.path_keys import COST, path_key, path_keys
from occystrap_core.tar.whiteouts import is_whiteout, whiteout_of

_NAME_CAP, _PATH_CAP = 255, 4095
"""Linux: NAME_MAX, and PATH_MAX without its zero byte."""
_AUFS = b'.wh..wh.'
_KNOWN = frozenset(b'01234567gxLKS')
_OWNERS = (b'uid', b'gid')
_TIMES = (b'mtime', b'atime', b'ctime')
_REPEATABLE = (b'GNU.sparse.offset', b'GNU.sparse.numbytes', b'comment')


class EntryChecks:
    """Checks the entries of a layer while it is read. Only keys of paths are kept, and whiteouts by name."""

    def __init__(self, report: Callable[[str, str, str | None], None], share: Share) -> None:
        """`report` is called with the rule, a message and the path for each finding; `share` is memory for names."""
        self._report, self._share = report, share
        self._types: dict[bytes, bytes] = {}
        """The type of each path's entry, the last if there are several."""
        self._directories: dict[bytes, bytes | None] = {}
        """The directories that contain paths, with or without an entry, each mapped to its parent; the root to None."""
        self._odd: set[bytes] = set()
        """Paths among them that are not directories, as far as is known."""
        self.whiteouts: set[bytes] = set()

    def entry(self, entry: TarEntry) -> TarEntry:
        """Check an entry, and return it unchanged.

        Raises InvalidImage for malformed numbers, also where their type of entry does not need them: programs in Go
        refuse the layer.
        """
        entry.require_numbers()
        if entry.type == kinds.GLOBAL_PAX:
            self._add('pax-global', entry, 'a global PAX header')
            return entry
        path = plain_path(entry.name)
        self._check_path(entry, path)
        self._check_kind(entry)
        self._check_records(entry)
        self._check_time(entry)
        self._check_owner(entry)
        if is_whiteout(path):
            self._check_whiteout(entry, path)
        else:
            self._check_place(entry, path)
        return entry

    def has(self, path: bytes) -> bool:
        """Return whether the layer has a path, or something below it."""
        key = path_key(path)
        return key in self._types or key in self._directories

    def ended(self) -> None:
        """Check what depends on the whole layer."""
        for path in sorted(path for path in self.whiteouts if path_key(path) in self._types):
            self._report('whiteout-of-own-entry', 'the layer has both it and its whiteout', text(path))

    def _add(self, rule: str, entry: TarEntry, message: str) -> None:
        self._report(rule, message, text(entry.name) if entry.type != kinds.GLOBAL_PAX else None)

    def _check_path(self, entry: TarEntry, path: bytes) -> None:
        if not entry.name:
            self._add('path-empty', entry, 'the entry has no name')
        names = path.split(b'/')
        if b'..' in names:
            self._add('path-escapes', entry, 'the path contains ..')
        if entry.name.startswith(b'/'):
            self._add('path-absolute', entry, 'the path begins with a slash')
        if len(path) > _PATH_CAP or max(map(len, names)) > _NAME_CAP:
            self._add('path-too-long', entry, f'names on Linux have at most {_NAME_CAP} bytes, paths {_PATH_CAP}')

    def _check_kind(self, entry: TarEntry) -> None:
        if entry.type[0] not in _KNOWN:
            self._add('entry-type', entry, f"the type is '{text(entry.type)}'")
        if entry.size == 0 and entry.given_size:
            self._add('entry-with-data', entry, f'the header gives it {entry.given_size} bytes')
        if entry.type == kinds.HARD_LINK:
            target = plain_path(entry.linkname)
            if b'..' in target.split(b'/'):
                self._add('link-escapes', entry, f'its target is {text(entry.linkname)}')
            elif path_key(target) not in self._types:
                self._add('link-without-target', entry, f"no earlier entry has the name '{text(target)}'")

    def _check_place(self, entry: TarEntry, path: bytes) -> None:
        key = path_key(path)
        if key in self._types:
            self._add('duplicate-entry', entry, 'the path has an earlier entry')
        if path:
            self._keep_directories(path)
            if self._odd:
                self._check_directories(entry, path)
        if key not in self._types:
            self._share.take(len(key) + COST)
        self._types[key] = entry.type
        if key in self._directories:
            self._note(key)

    def _keep_directories(self, path: bytes) -> None:
        """Record the directories that contain a path, up to one that is known, whose parents are known as well."""
        below = None
        for directory in path_keys(path):
            known = directory in self._directories
            if below is not None:
                self._directories[below] = directory
            if known:
                return
            self._share.take(len(directory) + COST)
            self._directories[directory] = None
            self._note(directory)
            below = directory

    def _note(self, directory: bytes) -> None:
        """Record whether the path of a directory is one, according to the layer."""
        if self._types.get(directory, kinds.DIRECTORY) == kinds.DIRECTORY:
            self._odd.discard(directory)
        else:
            self._odd.add(directory)

    def _check_directories(self, entry: TarEntry, path: bytes) -> None:
        """Check the directories that contain a path, from the root down; their keys are found from below, without new
        ones."""
        directory: bytes | None = path_key(path[:max(path.rfind(b'/'), 0)])
        depth, found = path.count(b'/'), list[tuple[int, bytes]]()
        while directory is not None:
            if directory in self._odd:
                found.append((depth, self._types[directory]))
            directory, depth = self._directories[directory], depth - 1
        for depth, kind in reversed(found):
            shown = text(b'/'.join(path.split(b'/', depth)[:depth]))
            if kind == kinds.SYMLINK:
                self._add('path-through-link', entry, f'{shown} is a symlink')
            else:
                self._add('path-through-file', entry, f'{shown} is not a directory')

    def _check_whiteout(self, entry: TarEntry, path: bytes) -> None:
        mark = whiteout_of(path)
        if mark is None:
            if not path.rpartition(b'/')[2].startswith(_AUFS):
                self._add('whiteout-invalid', entry, 'its target name is empty or invalid')
            return
        if entry.type not in (kinds.FILE, b'7') or entry.size:
            self._add('whiteout-not-empty', entry, 'a whiteout is an empty file')
        if not mark.opaque:
            self._share.take(len(mark.path) + COST)
            self.whiteouts.add(mark.path)

    def _check_time(self, entry: TarEntry) -> None:
        if not _can_be(b'mtime', entry.pax.get(b'mtime', b'0')):
            return  # already reported
        seconds = entry.mtime_ns // 10 ** 9
        if not _EARLIEST <= seconds <= _LATEST:
            self._add('entry-time', entry, f'the time of change is {str(seconds)[:30]} seconds after 1970, which '
                                           'programs set to the nearest possible time, or to 1970')

    def _check_owner(self, entry: TarEntry) -> None:
        if not all(_can_be(key, entry.pax.get(key, b'0')) for key in _OWNERS):
            return  # already reported
        for what, number in (('user', entry.uid), ('group', entry.gid)):
            if number < 0:
                self._add('entry-owner', entry, f'the number of its {what} is {number}: programs in Go take the lower '
                                                '32 bits, GNU tar fails')

    def _check_records(self, entry: TarEntry) -> None:
        records = entry.records
        counts = Counter(key for key, _ in records)
        for key, count in sorted(counts.items()):
            if count > 1 and key not in _REPEATABLE:
                self._add('pax-repeated', entry, f'{text(key)} appears {count} times')
        if entry.is_ambiguous:
            self._add('extended-headers', entry, 'it has several extended headers of one kind, or two long names')
        for key, value in records:
            if not value and b'.xattr.' not in key:
                self._add('pax-empty', entry, f'{text(key)} is empty')
            elif not _can_be(key, value):
                self._add('pax-value', entry, f'{text(key)} is {text(value[:100])!r}')
        size = entry.pax.get(b'size', b'')
        if size.isdigit() and entry.given_size not in (0, int(size)):
            self._add('pax-size', entry, f'the PAX record says {int(size)} bytes, the header {entry.given_size}')


_LATEST = (1 << 63) // 10 ** 9
"""The latest time, in seconds after 1970, that programs in Go can count in nanoseconds: in 2262."""
_EARLIEST = -(1 << 31)
"""The earliest time of ext4, in 1901; real images have files from before 1970."""


def _can_be(key: bytes, value: bytes) -> bool:
    """Return whether a record may have this value (POSIX pax, pax Header Keyword)."""
    if key in (b'path', b'linkpath', b'uname', b'gname'):
        return b'\0' not in value
    if key == b'size':
        return value.isdigit()
    if key in _OWNERS:
        return value.removeprefix(b'-').isdigit() and len(value) <= 19
    if key in _TIMES:
        seconds = value.removeprefix(b'-')
        if not seconds.replace(b'.', b'', 1).isdigit():
            return False
        whole = int(seconds.partition(b'.')[0].lstrip(b'0')[:NUMBER_CAP + 1] or b'0')
        return whole < (1 << 63) + value.startswith(b'-')
    return True


def text(name: bytes) -> str:
    """Return a name as text for people and for JSON."""
    return name.decode('utf-8', 'surrogateescape')
