"""The lines of a list of files, in the format of mtree(5): a path, then keywords with its attributes.

Beside the usual keywords there are `xattr.NAME` with a value in base 64, as gomtree writes it, and `inode`, a number
that hard links to one file share. Extended attributes and further links that are not listed must not exist. See head.py
for the first lines.
"""
import base64
import binascii
import os
import re
from collections.abc import Mapping
from typing import NamedTuple, Self

from occystrap_core import InvalidImage

_NONE: Mapping[bytes, bytes] = {}
_ODD = re.compile(rb'[^A-Za-z0-9/._+,:@%~^-]')
_ESCAPED = re.compile(rb'\\([0-3][0-7]{2})')
_LINE = re.compile(
    rb'\.(?:/([^ ]+))? type=([a-z]+)(?: link=([^ \n]*))?(?: device=native,([0-9]+),([0-9]+))?(?: mode=([0-7]+))?'
    rb'(?: uid=([0-9]+) gid=([0-9]+))?(?: time=(-?[0-9]+)\.([0-9]{9}))?((?: xattr\.[^ \n]+)*)(?: size=([0-9]+))?'
    rb'(?: sha256digest=([0-9a-f]+))?(?: nlink=([0-9]+) inode=([0-9]+))?'
    rb'(?(4)|(?: device=native,([0-9]+),([0-9]+))?)\n?')
"""Matches a line with all keywords, in the order in which they are written: one match is faster than a search for each.

The device is also accepted at the end, where earlier versions wrote that of whiteouts.
"""


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
        found = _LINE.fullmatch(raw)
        if not found:
            raise InvalidImage(f'the list of files has a malformed line: {os.fsdecode(raw[:100])!r}')
        (path, kind, target, major, minor, mode, uid, gid, seconds, fraction, xattrs, size, digest, names, inode,
         late_major, late_minor) = found.groups()
        major, minor = major or late_major, minor or late_minor
        return cls(
            unescaped(path or b''), kind.decode(), int(mode, 8) if mode else None, _number(uid), _number(gid),
            _number(size), int(seconds) * 10 ** 9 + int(fraction) if seconds else None, (digest or b'').decode(),
            unescaped(target or b''), (int(major), int(minor)) if major else None, int(names or b'1'),
            (inode or b'').decode(), _xattrs(xattrs) if xattrs else _NONE)


def _xattrs(words: bytes) -> Mapping[bytes, bytes]:
    try:
        pairs = [word.removeprefix(b'xattr.').partition(b'=') for word in words.split()]
        return {unescaped(name): base64.b64decode(value, validate=True) for name, _, value in pairs}
    except binascii.Error as error:
        raise InvalidImage(f'the list of files has a malformed line: {error}') from None


def _number(digits: bytes | None) -> int | None:
    return None if digits is None else int(digits)
