"""Entries read with their data are what other programs find in the same tar, sparse files in every format included."""
import io
import os
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from occystrap_core.errors import InvalidImage
from occystrap_core.tar.reader import TarReader

PIECES = [(0, b'first' * 500), (1 << 20, b'second' * 3000), (5 << 20, b'third')]
SIZE = 6 << 20


def dribbled(tar: bytes, most: int) -> Iterator[memoryview]:
    """Give a tar in small chunks."""
    return (memoryview(tar[place:place + most]) for place in range(0, len(tar), most))


def contents(tar: bytes, most: int = 1 << 19) -> dict[str, bytes]:
    """Return the content of every file, holes filled with zeros."""
    reader = TarReader(dribbled(tar, most))
    found = {}
    for entry in reader.entries():
        sparse = reader.sparse()
        data = b''.join(map(bytes, reader.data()))
        if sparse:
            whole = bytearray(sparse.size)
            for offset, length in sparse.extents:
                whole[offset:offset + length], data = data[:length], data[length:]
            assert not data
            data = bytes(whole)
        if entry.type != b'5':
            found[os.fsdecode(entry.name)] = data
    return found


def tar_of(directory: Path, *options: str) -> bytes:
    """Return what GNU tar makes of a directory with a sparse file of many pieces."""
    (directory / 'plain').write_bytes(b'plain' * 1000)
    with (directory / 'sparse').open('wb') as file:
        for offset, data in PIECES:
            file.seek(offset)
            file.write(data)
        for place in range(40):
            file.seek((2 << 20) + place * 65536)
            file.write(b'many')
        file.truncate(SIZE)
    return subprocess.run(['tar', '-cS', *options, '-C', directory, 'plain', 'sparse'], check=True,
                          capture_output=True).stdout


@pytest.mark.parametrize('most', [100, 512, 1 << 19])
@pytest.mark.parametrize('options', [['--format=gnu'], *(['--format=pax', f'--sparse-version={version}']
                                                         for version in ('0.0', '0.1', '1.0'))], ids=' '.join)
def test_sparse_files_of_every_format(options: list[str], most: int, tmp_path: Path) -> None:
    tar = tar_of(tmp_path, *options)
    assert b'second' in tar and len(tar) < SIZE
    found = contents(tar, most)
    assert list(found.values()) == [(tmp_path / name).read_bytes() for name in ('plain', 'sparse')]


@pytest.mark.parametrize('options', [['--format=gnu'], ['--format=pax', '--sparse-version=1.0']], ids=' '.join)
def test_an_invalid_map_is_refused(options: list[str], tmp_path: Path) -> None:
    tar = bytearray(tar_of(tmp_path, *options))
    place = tar.index(b'00004000000') if options == ['--format=gnu'] else tar.index(b'\n1048576\n') + 1
    tar[place:place + 7] = b'9' * 7 if options != ['--format=gnu'] else b'7777777'
    header = place - place % 512
    if options == ['--format=gnu']:
        others = sum(tar[header:header + 148]) + sum(tar[header + 156:header + 512])
        tar[header + 148:header + 156] = b'%06o\0 ' % (others + 8 * 32)
    with pytest.raises(InvalidImage, match='sparse file'):
        contents(bytes(tar))


@pytest.mark.parametrize('tar_format', [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize('most', [1, 700, 1 << 19])
def test_content_equals_what_tarfile_reads(tar_format: int, most: int) -> None:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode='w', format=tar_format) as tar:
        for name, content in (('a', b''), ('b' * 90, b'x' * 511), ('c' * 60 + '/' + 'd' * 60, b'y' * 513)):
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(content), 1234567890
            tar.addfile(member, io.BytesIO(content))
    assert contents(target.getvalue(), most) == {
        'a': b'', 'b' * 90: b'x' * 511, 'c' * 60 + '/' + 'd' * 60: b'y' * 513}


def test_unread_data_is_skipped_and_truncation_is_found() -> None:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode='w') as tar:
        for name in ('a', 'b'):
            member = tarfile.TarInfo(name)
            member.size = 5000
            tar.addfile(member, io.BytesIO(bytes(5000)))
    whole = target.getvalue()
    assert [entry.name for entry in TarReader(dribbled(whole, 999)).entries()] == [b'a', b'b']
    with pytest.raises(InvalidImage, match='cut off'):
        list(TarReader(dribbled(whole[:9000], 999)).entries())


def test_times_are_exact_to_the_nanosecond() -> None:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode='w', format=tarfile.PAX_FORMAT) as tar:
        for name, time in (('a', '1700000000.123456789'), ('b', '-1.5'), ('c', '12')):
            member = tarfile.TarInfo(name)
            member.pax_headers = {'mtime': time}
            tar.addfile(member)
    times = {entry.name: entry.mtime_ns for entry in TarReader(dribbled(target.getvalue(), 512)).entries()}
    assert times == {b'a': 1700000000123456789, b'b': -1500000000, b'c': 12 * 10 ** 9}
