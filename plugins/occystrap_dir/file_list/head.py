"""The first lines of a list of files: the layers that it covers, and what the file system does to new files.

They bind the list, whose digest is in the receipt, to the layers of that receipt.
"""
from collections.abc import Iterator, Sequence
from typing import BinaryIO, NamedTuple, Self

from occystrap_core import InvalidImage
from occystrap_core.oci import Digest
from occystrap_dir.file_list.file_system import FileSystem
from occystrap_dir.file_list.mtree import Line, escaped, unescaped

_MTREE, _VERSION = b'#mtree v2.0', b'#occystrap 2'
_LONGEST = 5 << 20
"""More bytes than a line can have: the records of an entry have up to 1 MiB, which escapes make four times longer."""


class OtherVersion(InvalidImage):
    """A list of another version, which lacks needed information or has unknown information."""


class ListedLayer(NamedTuple):
    """A layer in a tree: its diff_id, and the size of its tar in bytes."""

    diff_id: Digest
    size: int


class Head(NamedTuple):
    """What precedes the lines of a list.

    `notes` are words about paths that are needed for stacking layers (see mounts/stack.py).
    """

    layers: Sequence[ListedLayer]
    image_id: Digest | None = None
    file_system: FileSystem = FileSystem()
    notes: Sequence[tuple[bytes, bytes]] = ()

    @property
    def diff_ids(self) -> list[Digest]:
        """The diff_ids of all layers, lowest first."""
        return [layer.diff_id for layer in self.layers]

    @property
    def covers(self) -> list[Digest]:
        """The digests of the image and the layers that the tree was made from, as in receipts."""
        return [*([self.image_id] if self.image_id else []), *self.diff_ids]

    def to_lines(self) -> Iterator[bytes]:
        """Yield the lines."""
        yield from (_MTREE + b'\n', _VERSION + b'\n')
        if self.image_id:
            yield b'#image %s\n' % self.image_id.encode()
        for layer in self.layers:
            yield b'#layer %s %d\n' % (layer.diff_id.encode(), layer.size)
        yield b'#filesystem %s\n' % self.file_system.to_words()
        for word, path in self.notes:
            yield b'#%s ./%s\n' % (word, escaped(path))

    @classmethod
    def read(cls, file: BinaryIO) -> Self:
        """Read the head of a list, leaving the file at the first line behind it; raises InvalidImage, OSError."""
        if [file.readline(100).rstrip(), file.readline(100).rstrip()] != [_MTREE, _VERSION]:
            raise OtherVersion('is a list of files of another version, which proves less: write the image again')
        image_id, layers, file_system, notes = None, list[ListedLayer](), FileSystem(), list[tuple[bytes, bytes]]()
        while True:
            before = file.tell()
            raw = next(raw_lines(file), b'')
            if not raw.startswith(b'#'):
                file.seek(before)
                return cls(layers, image_id, file_system, notes)
            word, _, rest = raw[1:].rstrip(b'\n').partition(b' ')
            if word == b'image':
                image_id = Digest(rest.decode('ascii', 'replace'))
            elif word == b'layer':
                layers.append(_layer(rest))
            elif word == b'filesystem':
                file_system = FileSystem.parse(rest)
            else:
                notes.append((word, unescaped(rest.removeprefix(b'./'))))


def _layer(words: bytes) -> ListedLayer:
    diff_id, _, size = words.decode('ascii', 'replace').partition(' ')
    if not size.isdigit():
        raise InvalidImage(f'the list of files has a malformed line of a layer: {words[:100]!r}')
    return ListedLayer(Digest(diff_id), int(size))


def lines_of(file: BinaryIO) -> Iterator[Line]:
    """Yield the lines that follow the head; raises OSError, InvalidImage."""
    for raw in raw_lines(file):
        yield Line.parse(raw)


def raw_lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of a list as they are; raises OSError, and InvalidImage for one that is too long to be ours."""
    while raw := file.readline(_LONGEST + 1):
        if len(raw) > _LONGEST:
            raise InvalidImage(f'the list of files has a line of more than {_LONGEST} bytes')
        yield raw
