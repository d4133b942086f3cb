"""The table of contents of an archive: where each member's bytes are, from its headers alone."""
import os
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO

from occystrap_core import InvalidImage

_END = 1024
_TAIL_CAP = 1 << 20


@dataclass(frozen=True)
class Member:
    """A regular file in an archive: its data begin at `offset`, and are `size` bytes long."""

    name: str
    offset: int
    size: int


class Archive:
    """An open archive; parts of it can be read from several threads at once."""

    def __init__(self, path: str, name: str = '') -> None:
        """Read the table of contents; raises OSError, and InvalidImage for what is no whole tar.

        `name` is what messages call the archive, if that is not its path.
        """
        self.path, self.name = path, name or path
        self.size = os.path.getsize(path)
        self.names: list[str] = []
        self._links: dict[str, str] = {}
        self._members, end = self._read_members()
        self.has_end = self._read_end(end)

    @property
    def members(self) -> Mapping[str, Member]:
        """The regular files, by name without a leading `./`."""
        return self._members

    def find(self, name: str) -> Member:
        """Return a member, links followed; raises InvalidImage when there is none, or links go round in circles."""
        seen: set[str] = set()
        current = safe_name(name)
        while current in self._links:
            if current in seen:
                raise InvalidImage(f'{self.name}: the link {name} leads back to itself')
            seen.add(current)
            current = self._links[current]
        if current not in self._members:
            raise InvalidImage(f'{self.name} has no member {name}')
        return self._members[current]

    def read(self, name: str, cap: int) -> bytes:
        """Return a small member; raises InvalidImage when it is missing, twice there, or over `cap` bytes."""
        member = self.find(name)
        if self.names.count(member.name) > 1:
            raise InvalidImage(f'{self.name} has two members {name}')
        if member.size > cap:
            raise InvalidImage(f'{self.name}: {name} has {member.size} bytes, more than the {cap} allowed')
        with open(self.path, 'rb') as file:
            file.seek(member.offset)
            return file.read(member.size)

    def with_dirty_padding(self) -> list[str]:
        """Return the names of members that are not followed by zeros up to the next block."""
        with open(self.path, 'rb') as file:
            return [member.name for member in self._members.values() if any(_padding(file, member))]

    def open(self, member: Member) -> 'MemberReader':
        """Return the bytes of a member as a source of a stream."""
        return MemberReader(self.path, member)

    def _read_members(self) -> tuple[dict[str, Member], int]:
        """Return the members and where they end; a header that is none ends them too, as tarfile has it."""
        members: dict[str, Member] = {}
        try:
            with tarfile.open(self.path, 'r:') as archive:
                for header in archive:
                    self._add(header, members)
                end = archive.offset
        except (tarfile.TarError, EOFError, ValueError) as error:
            raise InvalidImage(f'{self.name} is not a tar archive, or cut off: {error}') from None
        return members, end

    def _add(self, header: tarfile.TarInfo, members: dict[str, Member]) -> None:
        name = header.name.removeprefix('./')
        self.names.append(name)
        if header.isreg():
            if header.offset_data + header.size > self.size:
                raise InvalidImage(f'{self.name} is cut off within {name}')
            members[name] = Member(name, header.offset_data, header.size)
        elif header.issym():
            self._links[name] = _resolved(name, header.linkname)
        elif header.islnk():
            self._links[name] = safe_name(header.linkname)

    def _read_end(self, position: int) -> bool:
        """Return whether just two zero blocks follow the last member (POSIX.1-2017, pax, ustar Interchange Format).

        A longer tail of zeros, as blocking factors make it, counts as well.
        """
        with open(self.path, 'rb') as file:
            file.seek(position)
            tail = file.read(_TAIL_CAP)
        return len(tail) >= _END and not any(tail) and position + len(tail) == self.size


class MemberReader:
    """The bytes of one member."""

    def __init__(self, path: str, member: Member) -> None:
        self._file = open(path, 'rb', buffering=0)
        self._file.seek(member.offset)
        self._left = member.size

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill `buffer`; returns the number of bytes, 0 at the member's end."""
        count = self._file.readinto(buffer[:self._left]) or 0 if self._left else 0
        self._left -= count
        return count

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _padding(file: BinaryIO, member: Member) -> bytes:
    file.seek(member.offset + member.size)
    return file.read(-member.size % 512)


def safe_name(name: str) -> str:
    """Return a member's name without `./`; raises InvalidImage for one that leaves the archive."""
    path = PurePosixPath(name)
    if path.is_absolute() or '..' in path.parts or not path.parts:
        raise InvalidImage(f'{name[:100]!r} is not a name within the archive')
    return str(path)


def _resolved(name: str, target: str) -> str:
    """Return where a symlink at `name` leads within the archive."""
    joined = os.path.normpath(os.path.join(os.path.dirname(name), target))
    return safe_name(joined)
