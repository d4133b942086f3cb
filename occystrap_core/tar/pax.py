"""PAX extended headers (POSIX.1-2017, pax Extended Header): records of `length key=value`."""
from occystrap_core.errors import InvalidImage
from occystrap_core.tar.header import NUMBER_CAP, RECORD_COUNT, in_64_bits

_TEXTS = (b'path', b'linkpath', b'uname', b'gname')
Records = list[tuple[bytes, bytes]]
"""Keys and values, in order; GNU's sparse format 0.0 repeats keys."""


def parse_records(data: bytes) -> Records:
    """Return the records, in order; raises InvalidImage for malformed ones, as Go's archive/tar does."""
    records: Records = []
    position, has_zeros = 0, b'\0' in data
    while position < len(data):
        space = data.find(b' ', position, position + 21)
        length = data[position:space] if space > position else b''
        end = position + int(length) if length.isdigit() else -1
        record = data[space + 1:end] if position < end <= len(data) else b''
        key, equals, value = record.partition(b'=')
        if not (key and equals and value.endswith(b'\n')) or has_zeros and b'\0' in (value if key in _TEXTS else key):
            raise InvalidImage(f'a tar has a malformed PAX record: {data[position:position + 40]!r}')
        records.append((key, value[:-1]))
        position = end
    if len(records) > RECORD_COUNT:
        raise InvalidImage(f'a tar entry has more than {RECORD_COUNT} PAX records')
    return records


def counting_records(records: Records) -> dict[bytes, bytes]:
    """Return the effective records: of several with one key the last, none whose value is empty, which deletes a record
    (POSIX pax).

    An extended attribute may be empty.
    """
    counting = dict(records)
    if b'' in counting.values():
        return {key: value for key, value in counting.items() if value or b'.xattr.' in key}
    return counting


def record_number(value: bytes, what: str) -> int:
    """Return the number in a record; raises InvalidImage for anything else."""
    if not value.isdigit() or len(value) > NUMBER_CAP:
        raise InvalidImage(f'a tar entry has the malformed {what} {value[:40]!r}', 'pax-value')
    return in_64_bits(int(value), what)


def write_records(records: Records) -> bytes:
    """Return the records as the data of an extended header."""
    return b''.join(_record(key, value) for key, value in records)


def _record(key: bytes, value: bytes) -> bytes:
    """Return one record; its length includes its own digits."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    length = rest + len(str(length))
    return b'%d %s=%s\n' % (length, key, value)
