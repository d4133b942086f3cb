"""Layers made entry by entry, with every byte of a header at hand, and images of them as `docker save` writes them."""
import io
import json
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any

from occystrap_core.testing.sample import sample_config
from tests.unit.tar.archives import gzipped, hex_of

TIME = 1_500_000_000
USTAR, GNU = b'ustar\x0000', b'ustar  \0'
_FIELDS = {'name': (0, 100), 'mode': (100, 8), 'uid': (108, 8), 'gid': (116, 8), 'size': (124, 12), 'mtime': (136, 12),
           'type': (156, 1), 'link': (157, 100), 'magic': (257, 8), 'major': (329, 8), 'minor': (337, 8),
           'prefix': (345, 155), 'sparse': (386, 109)}


@dataclass(frozen=True, repr=False)
class Entry:
    """One entry of a tar.

    `pax` are records of an extended header before it; `fields` are header fields as they stand there, whatever they
    mean; names and targets that a header has no room for go into `pax` by themselves.
    """

    name: str | bytes
    kind: bytes = tarfile.REGTYPE
    content: bytes = b''
    link: str | bytes = ''
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    mtime: int = TIME
    device: tuple[int, int] = (0, 0)
    pax: Mapping[str, bytes] = field(default_factory=dict)
    fields: Mapping[str, bytes] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Return what is not as usual."""
        given = {each.name: getattr(self, each.name) for each in fields(self)[1:] if self._is_unusual(each)}
        return f'Entry({", ".join([repr(self.name), *(f"{name}={value!r}" for name, value in given.items())])})'

    def _is_unusual(self, each: 'Field[Any]') -> bool:
        return getattr(self, each.name) not in (each.default, {})

    def tobytes(self) -> bytes:
        """Return the entry as it stands in a tar."""
        name, link = _bytes(self.name), _bytes(self.link)
        too_long = {key: value for key, value in (('path', name), ('linkpath', link)) if len(value) > 100}
        records = {**too_long, **self.pax}
        header = _header({
            'name': name[:100], 'mode': b'%07o\0' % self.mode, 'uid': _number(self.uid, 8), 'gid': _number(self.gid, 8),
            'size': _number(len(self.content), 12), 'mtime': _number(self.mtime, 12), 'type': self.kind,
            'link': link[:100], 'magic': USTAR, 'major': _number(self.device[0], 8),
            'minor': _number(self.device[1], 8), **self.fields})
        return (extended(records) if records else b'') + header + _padded(self.content)


@dataclass(frozen=True)
class Raw:
    """Bytes that stand in a tar between entries."""

    data: bytes

    def tobytes(self) -> bytes:
        """Return the bytes."""
        return self.data


Part = Entry | Raw


def file(name: str | bytes, content: bytes | str = b'', **attributes: Any) -> Entry:
    """Return a regular file."""
    return Entry(name, content=_bytes(content), **attributes)


def directory(name: str | bytes, mode: int = 0o755, **attributes: Any) -> Entry:
    """Return a directory; its name gets the slash that tars have."""
    return Entry(_bytes(name) + b'/', tarfile.DIRTYPE, mode=mode, **attributes)


def symlink(name: str | bytes, target: str | bytes, **attributes: Any) -> Entry:
    """Return a symbolic link."""
    return Entry(name, tarfile.SYMTYPE, link=target, **{'mode': 0o777, **attributes})


def hardlink(name: str | bytes, target: str | bytes, **attributes: Any) -> Entry:
    """Return a hard link to a path of the image."""
    return Entry(name, tarfile.LNKTYPE, link=target, **attributes)


def fifo(name: str, **attributes: Any) -> Entry:
    """Return a named pipe."""
    return Entry(name, tarfile.FIFOTYPE, **attributes)


def device(name: str, major: int, minor: int, kind: bytes = tarfile.CHRTYPE, **attributes: Any) -> Entry:
    """Return a character device, or a block device."""
    return Entry(name, kind, device=(major, minor), **attributes)


def whiteout(name: str) -> Entry:
    """Return the mark that deletes `name` of lower layers."""
    parent, slash, last = name.rpartition('/')
    return file(f'{parent}{slash}.wh.{last}')


def opaque(name: str = '') -> Entry:
    """Return the mark that hides what lower layers have in a directory, or, without name, in the root."""
    return file(f'{name}/.wh..wh..opq' if name else '.wh..wh..opq')


def with_xattrs(**xattrs: bytes) -> dict[str, bytes]:
    """Return PAX records for extended attributes; `__` in a keyword stands for a dot."""
    return {f'SCHILY.xattr.{name.replace("__", ".")}': value for name, value in xattrs.items()}


def extended(records: Mapping[str, bytes] | Iterable[tuple[str, bytes]], kind: bytes = b'x') -> bytes:
    """Return an extended header of PAX records, of the next entry or (`g`) of all that follow."""
    pairs = records.items() if isinstance(records, Mapping) else records
    data = b''.join(record(key.encode(), value) for key, value in pairs)
    return Entry('PaxHeader', kind, data).tobytes()


def record(key: bytes, value: bytes) -> bytes:
    """Return a PAX record; its length counts its own digits."""
    line = b' %s=%s\n' % (key, value)
    length = len(line) + 1
    while length != len(line) + len(str(length)):
        length = len(line) + len(str(length))
    return b'%d%s' % (length, line)


def gnu_long(kind: bytes, value: bytes) -> Raw:
    """Return GNU's header for a long name (`L`) or a long link target (`K`) of the next entry."""
    return Raw(Entry('././@LongLink', kind, value + b'\0', fields={'magic': GNU}).tobytes())


def layer(*parts: Part) -> bytes:
    """Return a layer of these parts, in their order."""
    return b''.join(part.tobytes() for part in parts) + bytes(1024)


def save_image(path: Path, *layers: bytes) -> Path:
    """Write an image of these layers, lowest first, as a docker archive, and return its path."""
    return save_blobs(path, layers, sample_config(layers))


def save_blobs(path: Path, blobs: Sequence[bytes], config: bytes) -> Path:
    """Write a docker archive whose layers are these bytes, compressed or not, whatever the config says of them."""
    names = [f'{index}/layer.tar' for index in range(len(blobs))]
    entry = {'Config': f'{hex_of(config)}.json', 'RepoTags': ['hostile:v1'], 'Layers': names}
    members = [*zip(names, blobs, strict=True), (f'{hex_of(config)}.json', config),
               ('manifest.json', json.dumps([entry]).encode())]
    return _write(path, members)


def save_oci_archive(path: Path, tar: bytes, size_error: int) -> Path:
    """Write an OCI archive of one gzipped layer, whose descriptor's size is wrong by `size_error` bytes."""
    blob, config = gzipped(tar), sample_config([tar])

    def pointer(kind: str, data: bytes, error: int = 0) -> dict[str, Any]:
        media_type = f'application/vnd.oci.image.{kind}'
        return {'mediaType': media_type, 'digest': f'sha256:{hex_of(data)}', 'size': len(data) + error}

    manifest = json.dumps({'schemaVersion': 2, 'mediaType': 'application/vnd.oci.image.manifest.v1+json',
                           'config': pointer('config.v1+json', config),
                           'layers': [pointer('layer.v1.tar+gzip', blob, size_error)]}).encode()
    index = json.dumps({'schemaVersion': 2, 'manifests': [pointer('manifest.v1+json', manifest)]}).encode()
    blobs = [(f'blobs/sha256/{hex_of(data)}', data) for data in (manifest, config, blob)]
    return _write(path, [('oci-layout', b'{"imageLayoutVersion": "1.0.0"}'), ('index.json', index), *blobs])


def _write(path: Path, members: Iterable[tuple[str, bytes]]) -> Path:
    with tarfile.open(path, 'w') as archive:
        for name, content in members:
            header = tarfile.TarInfo(name)
            header.size = len(content)
            archive.addfile(header, io.BytesIO(content))
    return path


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode('utf-8', 'surrogateescape')


def _number(value: int, width: int) -> bytes:
    """Return a number as octal digits or, where they have no room for it, in GNU's base 256."""
    if 0 <= value < 8 ** (width - 1):
        return b'%0*o\0' % (width - 1, value)
    return (b'\x80' if value >= 0 else b'\xff') + (value % 256 ** (width - 1)).to_bytes(width - 1, 'big')


def _header(fields: Mapping[str, bytes]) -> bytes:
    block = bytearray(512)
    for name, value in fields.items():
        start, length = _FIELDS[name]
        block[start:start + length] = value.ljust(length, b'\0')
    block[148:156] = b'%06o\0 ' % (sum(block) + 8 * 32)
    return bytes(block)


def _padded(content: bytes) -> bytes:
    return content + bytes(-len(content) % 512)
