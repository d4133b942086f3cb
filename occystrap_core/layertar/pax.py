"""PAX extended headers (POSIX.1-2017, pax Extended Header): records of `length key=value`."""
from occystrap_core.errors import InvalidImage

Records = list[tuple[bytes, bytes]]
"""Keys with values, in order; GNU's sparse format 0.0 repeats keys."""


def parse_records(data: bytes) -> Records:
    """Return the records, in order; raises InvalidImage for malformed ones."""
    records: Records = []
    position = 0
    while position < len(data) and data[position:position + 1] != b'\0':
        space = data.find(b' ', position, position + 21)
        length = data[position:space] if space > 0 else b''
        end = position + int(length) if length.isdigit() else -1
        record = data[space + 1:end] if position < end <= len(data) else b''
        key, equals, value = record.partition(b'=')
        if not equals or not value.endswith(b'\n'):
            raise InvalidImage('a tar has a malformed PAX record')
        records.append((key, value[:-1]))
        position = end
    return records


def write_records(records: Records) -> bytes:
    """Return the records as the data of an extended header."""
    return b''.join(_record(key, value) for key, value in records)


def _record(key: bytes, value: bytes) -> bytes:
    """Return one record; its length counts its own digits."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    length = rest + len(str(length))
    return b'%d %s=%s\n' % (length, key, value)
