"""HOSTILE section 2, headers of archives that claim what cannot be: refused unread, in bounded memory."""
import struct
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from occystrap_core.errors import InvalidImage
from tests.unit.core.tar.raw import sparse
from tests.unit.tar.archives import copy, docker_members, write_tar


def raw_member(name: str, kind: bytes = b'0', content: bytes = b'', size: bytes = b'') -> bytes:
    """Return a member whose header says what a good one never would; `size` is the field as it stands there."""
    header = tarfile.TarInfo(name)
    header.size, header.type = len(content), kind
    block = bytearray(header.tobuf(tarfile.GNU_FORMAT))
    if size:
        block[124:136] = size
    block[148:156] = b'%06o\0 ' % (sum(block[:148]) + sum(block[156:]) + 8 * 32)
    return bytes(block) + content + bytes(-len(content) % 512)


def record(name: str, value: str) -> bytes:
    """Return a PAX record of fewer than 100 bytes."""
    line = f' {name}={value}\n'.encode()
    return b'%d' % (len(line) + 2) + line


HUGE = struct.pack('>IQ', 0x80000000, (1 << 63) - 1)
HOSTILE = {
    'negative size': raw_member('x', size=b'\xff' * 12),
    'size beyond the end': raw_member('x', size=b'77777777777\0'),
    'absurd size': raw_member('x', size=HUGE),
    'no number as size': raw_member('x', size=b'eleventeen 1'),
    'PAX size that leads back': raw_member('p', b'x', record('size', '-1024')) + raw_member('x'),
    'PAX size that leads far back': raw_member('p', b'x', record('size', '-999999')) + raw_member('x'),
    'absurd PAX size': raw_member('p', b'x', record('size', '9' * 60)) + raw_member('x'),
    'malformed PAX': raw_member('p', b'x', b'99999999999999999999 a=b\n') + raw_member('x'),
    'a thousand PAX headers': raw_member('p', b'x', record('a', 'b')) * 2000 + raw_member('x'),
    'a thousand long names': raw_member('p', b'L', b'name\0') * 2000 + raw_member('x'),
    'absurd PAX header': raw_member('p', b'x', size=HUGE), 'absurd long name': raw_member('p', b'L', size=HUGE),
    'sparse file without a map': raw_member('x', b'S', size=HUGE),
    'sparse file of a petabyte': sparse([], 1 << 50, real_size=b'\x80' + (1 << 50).to_bytes(11)),
    'one block of zeros': bytes(512) + raw_member('x'),
    'bad checksum': b'x' * 512,
}


@pytest.mark.parametrize('name', HOSTILE)
@pytest.mark.parametrize('place', ['first', 'last'])
def test_hostile_headers_are_refused(name: str, place: str, tmp_path: Path) -> None:
    whole = write_tar(tmp_path / 'a.tar', docker_members()).read_bytes()
    content = whole[:(len(whole.rstrip(b'\0')) + 511) // 512 * 512]
    parts = [HOSTILE[name], content] if place == 'first' else [content, HOSTILE[name]]
    (tmp_path / 'a.tar').write_bytes(b''.join(parts) + bytes(1024))
    with pytest.raises(InvalidImage, match='a.tar'):
        copy(f'tar://{tmp_path}/a.tar', f'dir://{tmp_path}/out')
    assert not (tmp_path / 'out').exists()


def refused_within(path: Path) -> int:
    """Open the archive in a process of its own, see it refused, and return the memory that took, in MiB."""
    program = ('import sys; from occystrap_tar.archive.members import Archive\n'
               'try: Archive(sys.argv[1])\n'
               'except Exception as error: print(type(error).__name__)\n'
               'print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))')
    output, resident = subprocess.run([sys.executable, '-c', program, path], capture_output=True, text=True,
                                      check=True).stdout.split()
    assert output == 'InvalidImage'
    return int(resident) >> 10


@pytest.mark.parametrize('kind', [b'x', b'g', b'L', b'K'])
def test_a_header_of_three_gigabytes_is_refused_unread(kind: bytes, tmp_path: Path) -> None:
    with open(tmp_path / 'bomb.tar', 'wb') as file:
        file.write(raw_member('p', kind, size=b'%011o\0' % (3 << 30)))
        file.truncate((3 << 30) + 2048)
    assert refused_within(tmp_path / 'bomb.tar') < 80


def test_an_archive_of_countless_members_is_refused_in_bounded_memory(tmp_path: Path) -> None:
    (tmp_path / 'a.tar').write_bytes(raw_member('x') * 100_001 + bytes(1024))
    assert refused_within(tmp_path / 'a.tar') < 80
