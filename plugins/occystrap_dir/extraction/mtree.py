"""The lines of a list of files, in the format of mtree(5): a path, then keywords with its attributes.

Beside the usual keywords there are `xattr.NAME` with a value in base 64, as gomtree writes it, and `inode`, a number
that hard links to one file share. Extended attributes and further links that are not listed must not exist. See head.py
for the first lines.
"""
import base64
import binascii
import re
from collections.abc import Mapping
from typing import NamedTuple, Self

from occystrap_core import InvalidImage

_NONE: Mapping[bytes, bytes] = {}
_ODD = re.compile(rb'[^A-Za-z0-9/._+,:@%~^-]')
_ESCAPED = re.compile(rb'\\([0-3][0-7]{2})')


def escaped(name: bytes) -> bytes:
    """Return a name with special characters as a backslash and three octal digits (vis(3), VIS_OCTAL)."""
    return _ODD.sub(lambda match: b'\\%03o' % match[0][0], name)


def unescaped(name: bytes) -> bytes:
    """Return the name before it was escaped."""
    return _ESCAPED.sub(lambda match: bytes([int(match[1], 8)]), name) if b'\\' in name else name


def line(path: bytes, keywords: bytes) -> bytes:
    """Return the line for a path below the root; the root's own path is empty."""
    return b'./%s %s\n' % (escaped(path), keywords) if path else b'. %s\n' % keywords


def xattr_keywords(xattrs: Mapping[bytes, bytes]) -> bytes:
    """Return the keywords of extended attributes, each with a space before it."""
    return b''.join(b' xattr.%s=%s' % (escaped(name), base64.b64encode(value))
                    for name, value in sorted(xattrs.items()))


class Line(NamedTuple):
    """The attributes of a path; None or empty where the line has none."""

    path: bytes
    kind: str
    mode: int | None = None
    uid: int | None = None
    gid: int | None = None
    size: int | None = None
    time: int | None = None
    """Nanoseconds since 1970."""
    digest: str = ''
    target: bytes = b''
    device: tuple[int, int] | None = None
    names: int = 1
    """The number of hard links to the file, in this tree and elsewhere."""
    inode: str = ''
    xattrs: Mapping[bytes, bytes] = _NONE

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Parse a line that `line` made; raises InvalidImage if it is malformed."""
        try:
            path, *words = raw.split()
            pairs = dict([word.partition(b'=')[::2] for word in words])
            return cls(
                unescaped(path.removeprefix(b'.').removeprefix(b'/')), pairs[b'type'].decode(),
                _number(pairs, b'mode', 8), _number(pairs, b'uid'), _number(pairs, b'gid'), _number(pairs, b'size'),
                _time(pairs), pairs.get(b'sha256digest', b'').decode(), unescaped(pairs.get(b'link', b'')),
                _device(pairs), int(pairs.get(b'nlink', b'1')), pairs.get(b'inode', b'').decode(),
                _xattrs(pairs) if b' xattr.' in raw else _NONE)
        except (KeyError, ValueError, binascii.Error) as error:
            raise InvalidImage(f'the list of files has a malformed line: {error}') from None


def _xattrs(pairs: Mapping[bytes, bytes]) -> Mapping[bytes, bytes]:
    return {unescaped(key.removeprefix(b'xattr.')): base64.b64decode(value, validate=True)
            for key, value in pairs.items() if key.startswith(b'xattr.')}


def _number(pairs: Mapping[bytes, bytes], key: bytes, base: int = 10) -> int | None:
    return int(pairs[key], base) if key in pairs else None


def _time(pairs: Mapping[bytes, bytes]) -> int | None:
    if b'time' not in pairs:
        return None
    seconds, _, fraction = pairs[b'time'].partition(b'.')
    return int(seconds) * 10 ** 9 + int(fraction)


def _device(pairs: Mapping[bytes, bytes]) -> tuple[int, int] | None:
    if b'device' not in pairs:
        return None
    _, major, minor = pairs[b'device'].split(b',')
    return int(major), int(minor)
