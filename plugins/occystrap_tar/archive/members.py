"""The table of contents of an archive: where each member's bytes are, read from its headers."""
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import BinaryIO, NamedTuple

from occystrap_core import InvalidImage
from occystrap_core.files import Readable
from occystrap_core.oci import INDEX_FILE
from occystrap_core.tar import (
    FILE, HARD_LINK, SYMLINK, TAR_BLOCK, TAR_END, SparseContent, TarEntry, TarFileReader, file_header, padded_size,
)

_COUNT_CAP = 100_000
_SPARSE_CAP = 1 << 40
"""Bytes that a file with holes may have, since holes take no space in an archive."""
_FILES = (FILE, b'7', b'S')

MANIFEST = 'manifest.json'
"""The list of images in a docker archive."""


class Member(NamedTuple):
    """A regular file in an archive, `size` bytes long. Its data begins at `offset`; holes have no data."""

    name: str
    offset: int
    size: int
    holes: SparseContent | None = None


class Archive:
    """An archive whose members can be read by several threads at once."""

    def __init__(self, path: str, name: str = '') -> None:
        """Read the table of contents; raises OSError, and InvalidImage if it is not a complete tar.

        `name` is the archive's name in messages, by default its path.
        """
        self.path, self.name = path, name or path
        self.size = os.path.getsize(path)
        self.counts: Counter[str] = Counter()
        """The number of members with each name."""
        self._links: dict[str, str] = {}
        self._ends: dict[str, tuple[str, bool]] = {}
        """What `_led` has found."""
        self._members: dict[str, Member] = {}
        self._end = 0
        """The offset after the last member so far and its padding."""
        self.has_end = self._read()

    @property
    def members(self) -> Mapping[str, Member]:
        """The regular files by the name that they have when the archive is unpacked, without a leading `./`."""
        return self._members

    def has(self, name: str) -> bool:
        """Return whether there is a file, or a link, of this name."""
        return name in self._members or name in self._links

    @property
    def has_both_lists(self) -> bool:
        """Whether it has both docker's list of images and that of OCI layouts; programs read either."""
        return self.has(MANIFEST) and self.has(INDEX_FILE)

    def find(self, name: str) -> Member:
        """Return a member, following links; raises InvalidImage if it does not exist, or links form a circle."""
        last, _ = self._led(name)
        if last not in self._members:
            raise InvalidImage(f'{self.name} has no member {name}', problem='missing')
        return self._members[last]

    def _led(self, name: str) -> tuple[str, bool]:
        """Return the name to which links lead, and whether one on the way there is that of two members.

        Each link is followed once, however many names lead through it. Raises InvalidImage for a circle.
        """
        here, way = _safe(name, self.name), dict[str, None]()
        while here in self._links and here not in self._ends:
            if here in way:
                raise InvalidImage(f'{self.name}: the link {name} leads back to itself')
            way[here] = None
            here = self._links[here]
        last, is_double = self._ends.get(here) or (here, self.counts[here] > 1)
        for each in reversed(way):
            is_double = is_double or self.counts[each] > 1
            self._ends[each] = last, is_double
        return last, is_double

    def read(self, name: str, cap: int) -> bytes:
        """Return a small member; raises InvalidImage if it is missing, exists twice, or has more than `cap` bytes."""
        member = self.find(name)
        if self._led(name)[1]:
            raise InvalidImage(f'{self.name} has two members {name}')
        if member.size > cap:
            raise InvalidImage(f'{self.name}: {name} has {member.size} bytes, more than the {cap} allowed')
        return self.part(member, 0, member.size)

    def part(self, member: Member, start: int, count: int) -> bytes:
        """Return `count` bytes of a member from `start`, fewer at its end; raises InvalidImage, OSError."""
        content, buffer = self.open(member, start), bytearray(max(0, min(count, member.size - start)))
        filled = 0
        try:
            while more := content.readinto(memoryview(buffer)[filled:]):
                filled += more
        finally:
            content.close()
        return bytes(buffer[:filled])

    def open(self, member: Member, start: int = 0) -> Readable:
        """Return the bytes of a member from `start`, as the source of a stream; raises OSError."""
        what = f'{member.name} of {self.name}'
        if member.holes:
            from occystrap_tar.archive.holed_member import HoledReader  # late: few archives have holes
            return HoledReader(self.path, member.offset, member.holes, start, what)
        return MemberReader(self.path, member.offset + start, member.size - start, what)

    def _read(self) -> bool:
        """Record all members; return whether they are followed by at least two blocks of zeros and nothing else."""
        try:
            with open(self.path, 'rb', buffering=0) as file:
                reader = TarFileReader(file.fileno())
                for number, entry in enumerate(reader.entries()):
                    if number == _COUNT_CAP:
                        raise InvalidImage(f'it has more than {_COUNT_CAP} members')
                    self._add(entry, reader)
                self._refuse_linked_directories()
                return reader.has_end and not reader.has_trailing_data
        except InvalidImage as error:
            if self.name in str(error):
                raise
            raise error.renamed(f'{self.name} is not a tar archive, or damaged: {error}') from None

    def _add(self, entry: TarEntry, reader: TarFileReader) -> None:
        name = _unpacked_name(os.fsdecode(entry.name))
        self.counts[name] += 1
        size, offset = entry.size, reader.offset
        if size > self.size - offset:
            raise InvalidImage(f'it is cut off within {name}, which should have {size} bytes')
        self._check_headers(name, entry, reader)
        self._end = offset + padded_size(size)
        if entry.type in _FILES and not entry.name.endswith(b'/'):
            self._members[name] = _member(name, size, reader)
        elif entry.type == SYMLINK:
            target = os.path.join(os.path.dirname(name), os.fsdecode(entry.linkname))
            self._links[name] = _safe(os.path.normpath(target), self.name)
        elif entry.type == HARD_LINK:
            self._links[name] = _safe(os.fsdecode(entry.linkname), self.name)

    def _check_headers(self, name: str, entry: TarEntry, reader: TarFileReader) -> None:
        """Check the headers of the next entry; for subclasses."""

    def _refuse_linked_directories(self) -> None:
        """Raise InvalidImage for a member below a link: programs that unpack the archive write it elsewhere."""
        for name in self.counts if self._links else ():
            for above in PurePosixPath(name).parents:
                if str(above) in self._links:
                    raise InvalidImage(f'{self.name}: {name} lies below the link {above}')


class WrittenArchive(Archive):
    """An archive that a writer of this plugin made: any block that it would not have written is damage."""

    def __init__(self, path: str) -> None:
        """Raises OSError."""
        self.trouble = ''
        """Why the archive could not be read to its end, empty if it could."""
        self.odd: list[str] = []
        """The names of members whose headers differ from those that the writer makes, or that follow unexpected bytes.
        """
        super().__init__(path)

    @property
    def behind(self) -> int:
        """The number of bytes after the end, which consists of two blocks of zeros."""
        return self.size - self._end - len(TAR_END)

    def with_dirty_padding(self) -> list[str]:
        """Return the names of members that are not followed by zeros up to the next block."""
        with open(self.path, 'rb') as file:
            return [member.name for member in self._members.values() if any(_padding(file, member))]

    def _read(self) -> bool:
        try:
            return super()._read()
        except InvalidImage as error:
            self.trouble = str(error)
            return False

    def _check_headers(self, name: str, entry: TarEntry, reader: TarFileReader) -> None:
        headers = reader.headers
        follows = reader.offset - len(headers) == self._end
        if not follows or headers != file_header(os.fsdecode(entry.name), entry.size):
            self.odd.append(name)


class MemberReader:
    """The bytes of one member of an archive."""

    def __init__(self, path: str, offset: int, size: int, what: str) -> None:
        """`what` names the member in errors. Raises OSError if the archive cannot be opened."""
        self._what = what
        self._file = open(path, 'rb', buffering=0)
        self._file.seek(offset)
        self._left = size

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill `buffer`; returns the number of bytes, 0 at the member's end; raises InvalidImage."""
        try:
            count = self._file.readinto(buffer[:self._left]) or 0 if self._left else 0
        except OSError as error:
            raise InvalidImage(f'cannot read {self._what}: {error.strerror}') from None
        self._left -= count
        return count

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _member(name: str, size: int, reader: TarFileReader) -> Member:
    """Return the file of the reader's current entry; raises InvalidImage if it is too large."""
    holes = reader.sparse()
    if holes and holes.size > _SPARSE_CAP:
        raise InvalidImage(f'{name} claims to have {holes.size} bytes, nearly all of them holes')
    return Member(name, reader.offset, holes.size if holes else size, holes)


def _padding(file: BinaryIO, member: Member) -> bytes:
    file.seek(member.offset + member.size)
    return file.read(-member.size % TAR_BLOCK)


def _unpacked_name(name: str) -> str:
    """Return the name under which a member lies when the archive is unpacked, as docker load does before it reads any.
    """
    plain = name.removeprefix('./').rstrip('/')
    if plain.startswith(('/', '.')) or '//' in plain or '/.' in plain:
        return os.path.normpath(plain.lstrip('/') or '.')
    return plain


def _safe(name: str, archive: str) -> str:
    """Return a member's name without `./`; raises InvalidImage for one that leaves the archive."""
    path = PurePosixPath(name)
    if path.is_absolute() or '..' in path.parts or not path.parts:
        raise InvalidImage(f'{archive}: {name[:100]!r} is not a name within the archive')
    return str(path)
