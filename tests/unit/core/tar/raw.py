"""Tars made byte by byte, also malformed ones."""
USTAR, GNU, V7 = b'ustar\x0000', b'ustar  \0', bytes(8)
END = bytes(1024)
FIELDS = {'mode': (100, 8), 'uid': (108, 8), 'gid': (116, 8), 'size': (124, 12), 'mtime': (136, 12),
          'checksum': (148, 8), 'type': (156, 1), 'uname': (265, 32), 'gname': (297, 32),
          'linkname': (157, 100), 'magic': (257, 8), 'major': (329, 8), 'minor': (337, 8), 'prefix': (345, 155),
          'star_prefix': (345, 131), 'atime': (476, 12), 'ctime': (488, 12), 'trailer': (508, 4),
          'gnu_atime': (345, 12), 'gnu_ctime': (357, 12),
          'sparse': (386, 96), 'is_extended': (482, 1), 'real_size': (483, 12)}


def header(name: bytes, count: int = 0, kind: bytes = b'0', magic: bytes = USTAR, **fields: bytes) -> bytes:
    """Return a header with a right checksum, for `count` bytes; `fields` are bytes as they are to stand there."""
    block = bytearray(512)
    block[:len(name)] = name
    usual = {'mode': b'0000644\0', 'uid': b'0000000\0', 'gid': b'0000000\0', 'size': b'%011o\0' % count,
             'mtime': b'00000001000\0', 'magic': magic}
    for field, text in {**usual, **fields}.items():
        place, width = FIELDS[field]
        block[place:place + width] = text.ljust(width, b'\0')
    block[156:157] = kind
    if 'checksum' not in fields:
        block[148:156] = b'%06o\0 ' % (sum(block[:148]) + sum(block[156:]) + 8 * 32)
    return bytes(block)


def member(name: bytes, data: bytes = b'x', kind: bytes = b'0', magic: bytes = USTAR, **fields: bytes) -> bytes:
    """Return a header with its data and padding."""
    return header(name, len(data), kind, magic, **fields) + data + bytes(-len(data) % 512)


def record(key: bytes, value: bytes) -> bytes:
    """Return a PAX record."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest + len(str(rest))))
    return b'%d %s=%s\n' % (length, key, value)


def pax(*records: tuple[bytes, bytes], kind: bytes = b'x') -> bytes:
    """Return an extended header of records."""
    return member(b'PaxHeaders/0', b''.join(record(*each) for each in records), kind)


def gnu_long(name: bytes, kind: bytes = b'L') -> bytes:
    """Return GNU's header for a long name, or of a long target of a link with `K`."""
    return member(b'././@LongLink', name + b'\0', kind, GNU)


def sparse(pieces: list[tuple[int, int]], whole: int, magic: bytes = GNU, **fields: bytes) -> bytes:
    """Return the header of an old GNU sparse file of at most four pieces, `whole` bytes large."""
    usual = {'sparse': b''.join(b'%011o\0%011o\0' % piece for piece in pieces), 'real_size': b'%011o\0' % whole}
    return header(b'a', sum(length for _, length in pieces), b'S', magic, **{**usual, **fields})


def base256(value: int, width: int = 12) -> bytes:
    """Return a number as GNU writes it where octal digits do not suffice."""
    return bytes([0x80 if value >= 0 else 0xff]) + (value % (1 << 8 * (width - 1))).to_bytes(width - 1, 'big')
