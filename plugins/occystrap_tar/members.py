"""The table of contents of an archive: where each member's bytes are, from its headers alone."""
import os
import re
import tarfile
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import BinaryIO, Self

from occystrap_core import InvalidImage, value

_END = 1024
_TAIL_CAP = 1 << 20
_TEXT_CAP = 1 << 20
_COUNT_CAP = 100_000
_TEXTS = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
_CHECKSUM = re.compile(rb'[0-7]{6}\0 ')
_MALFORMED = (tarfile.TarError, EOFError, ValueError, ArithmeticError, LookupError, RecursionError)
"""What tarfile raises, on purpose or not, when it reads what is no tar."""


@value
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
        self.untidy: list[str] = []
        """The names of members whose header has its checksum in another form than six digits and a terminator."""
        self._links: dict[str, str] = {}
        self._members: dict[str, Member] = {}
        self.has_end = self._read_end(self._read_headers())

    @property
    def members(self) -> Mapping[str, Member]:
        """The regular files, by name without a leading `./`."""
        return self._members

    def find(self, name: str) -> Member:
        """Return a member, links followed; raises InvalidImage when there is none, or links go round in circles."""
        seen: set[str] = set()
        current = _safe(name, self.name)
        while current in self._links:
            if current in seen:
                raise InvalidImage(f'{self.name}: the link {name} leads back to itself')
            seen.add(current)
            current = self._links[current]
        if current not in self._members:
            raise InvalidImage(f'{self.name} has no member {name}', problem='missing')
        return self._members[current]

    def read(self, name: str, cap: int) -> bytes:
        """Return a small member; raises InvalidImage when it is missing, twice there, or over `cap` bytes."""
        member = self.find(name)
        if self.names.count(member.name) > 1:
            raise InvalidImage(f'{self.name} has two members {name}')
        if member.size > cap:
            raise InvalidImage(f'{self.name}: {name} has {member.size} bytes, more than the {cap} allowed')
        return self.part(member, 0, member.size)

    def part(self, member: Member, start: int, count: int) -> bytes:
        """Return `count` bytes of a member from `start` on, fewer at its end."""
        with open(self.path, 'rb') as file:
            file.seek(member.offset + start)
            return file.read(max(0, min(count, member.size - start)))

    def with_dirty_padding(self) -> list[str]:
        """Return the names of members that are not followed by zeros up to the next block."""
        with open(self.path, 'rb') as file:
            return [member.name for member in self._members.values() if any(_padding(file, member))]

    def open(self, member: Member) -> 'MemberReader':
        """Return the bytes of a member as a source of a stream."""
        return MemberReader(self.path, member.offset, member.size, f'{member.name} of {self.name}')

    def _read_headers(self) -> int:
        """Note all members and return where they end; a header that is none ends them too, as tarfile has it."""
        last = -1
        try:
            with tarfile.open(self.path, 'r:', tarinfo=_Header) as archive:
                while (header := archive.next()) is not None:
                    if header.offset <= last or len(self.names) >= _COUNT_CAP:
                        raise InvalidImage(f'{self.name} is no image archive: it goes in circles, or has more than '
                                           f'{_COUNT_CAP} members')
                    last = header.offset
                    assert isinstance(header, _Header)
                    self._add(header)
                    archive.members.clear()  # type: ignore[attr-defined]  # else tarfile keeps them all
                return archive.offset
        except _MALFORMED as error:
            raise InvalidImage(f'{self.name} is not a tar archive, or cut off: {error}') from None

    def _add(self, header: '_Header') -> None:
        name = header.name.removeprefix('./')
        self.names.append(name)
        if not header.tidy:
            self.untidy.append(name)
        if not 0 <= header.size <= self.size - header.offset_data:
            raise InvalidImage(f'{self.name} is cut off within {name}, or says that it has {header.size} bytes')
        if header.isreg():
            self._members[name] = Member(name, header.offset_data, header.size)
        elif header.issym():
            self._links[name] = _safe(os.path.normpath(os.path.join(os.path.dirname(name), header.linkname)), self.name)
        elif header.islnk():
            self._links[name] = _safe(header.linkname, self.name)

    def _read_end(self, position: int) -> bool:
        """Return whether just two zero blocks follow the last member (POSIX.1-2017, pax, ustar Interchange Format).

        A longer tail of zeros, as blocking factors make it, counts as well.
        """
        with open(self.path, 'rb') as file:
            file.seek(position)
            tail = file.read(_TAIL_CAP)
        return len(tail) >= _END and not any(tail) and position + len(tail) == self.size


class MemberReader:
    """The bytes of one member of an archive."""

    def __init__(self, path: str, offset: int, size: int, what: str) -> None:
        """`what` names the member in errors. Raises OSError when the archive cannot be opened."""
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


class _Header(tarfile.TarInfo):
    """A header that is refused before tarfile believes it: a negative size leads it astray, a long name it reads."""

    tidy = True

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Return the header in a block; raises TarError."""
        header = super().frombuf(buf, encoding, errors)
        if header.size < 0 or (header.type in _TEXTS and header.size > _TEXT_CAP):
            raise tarfile.ReadError(f'a header says that {header.name[:100]!r} has {header.size} bytes')
        header.tidy = bool(_CHECKSUM.fullmatch(buf, 148, 156))  # tarfile takes blanks for zeros and reads no further
        return header


def _padding(file: BinaryIO, member: Member) -> bytes:
    file.seek(member.offset + member.size)
    return file.read(-member.size % 512)


def _safe(name: str, archive: str) -> str:
    """Return a member's name without `./`; raises InvalidImage for one that leaves the archive."""
    path = PurePosixPath(name)
    if path.is_absolute() or '..' in path.parts or not path.parts:
        raise InvalidImage(f'{archive}: {name[:100]!r} is not a name within the archive')
    return str(path)
