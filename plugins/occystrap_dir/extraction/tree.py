"""A tree of files, to which layers are applied one after the other (image-spec layer.md, Applying Changesets)."""
import os
import re
import stat
from collections.abc import Callable, Iterator

from occystrap_core import InvalidImage
from occystrap_core.files import ByteStream
from occystrap_core.tar import (
    BLOCK_DEVICE, CHARACTER_DEVICE, DIRECTORY, FIFO, FILE, HARD_LINK, SYMLINK, TarEntry, TarReader, Whiteout,
    is_whiteout, plain_path, whiteout_of,
)
from occystrap_dir.extraction.attributes import Attributes, Cover, Setter
from occystrap_dir.extraction.checked_entry import (
    AUFS, AUFS_LINKED, AttributeRefused, checked_path, device_keywords, is_metadata_of_aufs, is_old_directory,
)
from occystrap_dir.extraction.content import write_content
from occystrap_dir.extraction.hard_links import HardLinks
from occystrap_dir.extraction.limits import Budget
from occystrap_dir.extraction.marks import Marks
from occystrap_dir.file_list import mtree
from occystrap_dir.file_list.file_system import FileSystem, clear_xattrs
from occystrap_dir.file_list.head import Head
from occystrap_dir.file_list.record import TreeRecord
from occystrap_dir.workspace.removal import Removal
from occystrap_dir.workspace.root import Root, at_path, join, naming_path, text

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
_SIMPLE = re.compile(rb'[^/.\0][^/\0]*(?:/[^/.\0][^/\0]*)*').fullmatch
"""Matches paths that `plain_path` would not change and that need no further checks."""


class Tree:
    """Applies layers to a directory. Everything is reached through `Root`, so that nothing is written outside.

    Directories have mode 0700 until `finish`, which sets their modes and times.
    """

    def __init__(self, directory: int, record: TreeRecord, setter: Setter, budget: Budget,
                 marks: Callable[['Tree'], Marks], sync: bool) -> None:
        """`directory` is open, new and empty; `marks` makes the handler of whiteouts. Raises OSError."""
        self.record, self.setter, self._budget, self._sync = record, setter, budget, sync
        self.root = Root(directory, self._made)
        self.layer = 0
        """The number of the layer that is being applied."""
        self.removal = Removal(self.root, self)
        self._marks = marks(self)
        self._links = HardLinks(self.root, record, self.removal, budget.named)
        clear_xattrs(self.root.plain(b''))  # it may have inherited them from its parent, like its mode
        os.fchmod(self.root.plain(b''), 0o700)
        self.file_system = FileSystem.of(self.root.plain(b''))
        """What the file system does to new files."""
        self._made(b'')

    def apply(self, layer: int, stream: ByteStream) -> None:
        """Apply a layer, reading its tar to the end; raises InvalidImage, OSError."""
        self.layer = layer
        stream.observe(self._budget.passed)
        reader = TarReader(stream.chunks())
        for entry in reader.entries():
            self._budget.entry()
            self._entry(entry, reader)
        self._links.finish(layer)
        if self.is_own(AUFS_LINKED):
            self.removal.everything(AUFS_LINKED)
        self._marks.finish()

    def put_cover(self, cover: Cover) -> None:
        """Apply a layer that is not made from a tar; raises InvalidImage, OSError."""
        for path, attributes in cover.directories:
            self.root.directory(path)
            self._set_directory(path, attributes)
        for path, target, attributes in cover.links:
            self._put_symlink(path, target, attributes)
        for path in cover.hidden:
            self._marks.mark(Whiteout(path, False))
        self._marks.finish()

    def finish(self, head: Head) -> Iterator[bytes]:
        """Yield the list of all files, line by line (see mtree.py), and set modes and times of directories."""
        yield from head._replace(file_system=self.file_system, notes=self._marks.notes()).to_lines()
        for path, keywords in self.record.entries():
            line = mtree.line(path, keywords)
            if keywords.startswith(b'type=dir'):
                parsed = mtree.Line.parse(line)
                assert parsed.mode is not None
                self.setter.finish_directory(self.root.plain(path), parsed.mode, parsed.time, parsed.xattrs)
            yield line

    def is_own(self, path: bytes) -> bool:
        """Return whether the current layer contains a path."""
        return self.record.layer(path) == self.layer

    def is_whole(self, directory: bytes) -> bool:
        """Return whether the current layer contains everything that is below a directory."""
        return self.record.is_whole(directory, self.layer)

    def set_whole(self, directory: bytes) -> None:
        """Record that the current layer contains everything that is below a directory."""
        self.record.set_whole(directory, self.layer)

    def gone(self, path: bytes) -> None:
        """Record that a path was removed."""
        self.record.drop(path)

    def left(self, path: bytes) -> None:
        """Record a hidden directory that stays because the layer has something in it: as a new one without an entry."""
        clear_xattrs(self.root.plain(path), self.file_system.xattrs)
        self._made(path)

    def close(self) -> None:
        """Close all directories."""
        self.root.close()

    def _entry(self, entry: TarEntry, reader: TarReader) -> None:
        path = entry.name
        if not _SIMPLE(path):
            path = checked_path(entry)
            if is_metadata_of_aufs(path, entry.type):
                return
        above, _, name = path.rpartition(b'/')
        try:
            if name.startswith(b'.wh.'):
                self._mark(path, name)
            elif path:
                self._put(entry, reader, self._directory(above, path), name)
            else:
                self._root_entry(entry)
        except AttributeRefused as error:
            raise error.at(text(path) or '/') from None
        except OSError as error:
            raise at_path(error, path) from None

    def _directory(self, above: bytes, path: bytes) -> bytes:
        """Return the path without links of the directory `above`; raises InvalidImage, which names `path`."""
        try:
            return self.root.directory(above).path
        except InvalidImage as error:
            raise error.renamed(f'{text(path)}: {error}') from None

    def _root_entry(self, entry: TarEntry) -> None:
        if entry.type != DIRECTORY and not is_old_directory(entry):
            raise InvalidImage('the root of the image is not a directory')
        self._set_directory(b'', Attributes.of(entry))

    def _mark(self, path: bytes, name: bytes) -> None:
        mark = whiteout_of(path)
        if mark is not None:
            with naming_path(mark.path):
                self._marks.mark(mark)
        elif not name.startswith(AUFS) and is_whiteout(path):
            raise InvalidImage(f'{text(path)} is a whiteout with an empty or invalid target name')

    def _put(self, entry: TarEntry, reader: TarReader, directory: bytes, name: bytes) -> None:
        kind, path = entry.type, join(directory, name)
        if self._links.waiting:
            self._links.replaced(path)
        if kind == DIRECTORY or kind == FILE and is_old_directory(entry):
            self._put_directory(path, directory, name, Attributes.of(entry))
        elif kind in (FILE, b'7', b'S'):
            self._put_file(path, directory, name, Attributes.of(entry), reader)
        elif kind == HARD_LINK:
            self._links.add(path, plain_path(entry.linkname), self.layer)
        elif kind == SYMLINK:
            self._put_symlink(path, entry.linkname, Attributes.of(entry))
        elif kind in (CHARACTER_DEVICE, BLOCK_DEVICE, FIFO):
            self._put_special(path, directory, name, entry, reader)
        else:
            raise InvalidImage(f"{text(path)} is of type '{text(kind)}', which cannot be unpacked")

    def _put_directory(self, path: bytes, directory: bytes, name: bytes, attributes: Attributes) -> None:
        try:
            os.mkdir(name, 0o700, dir_fd=self.root.plain(directory))
        except FileExistsError:
            if not stat.S_ISDIR(os.lstat(name, dir_fd=self.root.plain(directory)).st_mode):
                self.removal.everything(path)
                os.mkdir(name, 0o700, dir_fd=self.root.plain(directory))
            else:
                clear_xattrs(self.root.plain(path), self.file_system.xattrs)
        self._set_directory(path, attributes)

    def _set_directory(self, path: bytes, attributes: Attributes) -> None:
        self._marks.explicit_directory(path)
        keywords = self.setter.directory(self.root.plain(path), attributes)
        self.record.put(path, self.layer, b'type=dir ' + keywords)

    def _put_file(self, path: bytes, directory: bytes, name: bytes, attributes: Attributes, reader: TarReader) -> None:
        descriptor = self._new_file(path, directory, name)
        try:
            content = write_content(descriptor, reader, self._budget, self._sync)
            keywords = self.setter.file(descriptor, attributes)
        finally:
            os.close(descriptor)
        self.record.put(path, self.layer, b'type=file %s%s' % (keywords, content))

    def _new_file(self, path: bytes, directory: bytes, name: bytes) -> int:
        try:
            return os.open(name, _NEW_FILE, 0o600, dir_fd=self.root.plain(directory))
        except FileExistsError:
            self.removal.everything(path)
            return os.open(name, _NEW_FILE, 0o600, dir_fd=self.root.plain(directory))

    def _put_symlink(self, path: bytes, target: bytes, attributes: Attributes) -> None:
        directory, _, name = path.rpartition(b'/')
        if not target:
            raise InvalidImage(f'{text(path)} is a symlink with an empty target')
        self._replacing(path, directory, lambda above: os.symlink(target, name, dir_fd=above))
        keywords = self.setter.named(name, self.root.plain(directory), attributes, is_link=True)
        self.record.put(path, self.layer, b'type=link link=%s%s' % (mtree.escaped(target), keywords))

    def _put_special(self, path: bytes, directory: bytes, name: bytes, entry: TarEntry, reader: TarReader) -> None:
        """Make a device or a FIFO; instead of a device, an empty file if this process may not make devices."""
        attributes, kind = Attributes.of(entry), b'type=fifo'
        if entry.type == FIFO:
            self._replacing(path, directory, lambda above: os.mkfifo(name, 0o600, dir_fd=above))
        else:
            kind = device_keywords(path, entry)
            self._marks.check_device(path, entry.device)
            if not self._made_device(path, directory, name, entry):
                self.setter.missed['device'] += 1
                self._put_file(path, directory, name, attributes, reader)
                return
        keywords = self.setter.named(name, self.root.plain(directory), attributes, is_link=False)
        self.record.put(path, self.layer, b'%s %s' % (kind, keywords))

    def _made_device(self, path: bytes, directory: bytes, name: bytes, entry: TarEntry) -> bool:
        kind = stat.S_IFCHR if entry.type == CHARACTER_DEVICE else stat.S_IFBLK
        number = os.makedev(*entry.device)
        try:
            self._replacing(path, directory, lambda above: os.mknod(name, kind | 0o600, number, dir_fd=above))
            return True
        except PermissionError:  # also for root within a container
            return False

    def _replacing(self, path: bytes, directory: bytes, make: Callable[[int], None]) -> None:
        """Call `make` with the open parent directory, after removing what has the name."""
        try:
            make(self.root.plain(directory))
        except FileExistsError:
            self.removal.everything(path)
            make(self.root.plain(directory))

    def _made(self, path: bytes) -> None:
        """Record a directory that was made without an entry."""
        if path:
            self._budget.entry()
        self._marks.implicit_directory(path)
        keywords = self.setter.implicit_directory(self.root.plain(path))
        self.record.put(path, self.layer, b'type=dir ' + keywords)
