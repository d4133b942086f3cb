"""The rewriter keeps every unchanged byte, and other programs read its changes."""
import io
import subprocess
import tarfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from occystrap_core.errors import InvalidImage
from occystrap_core.files.stream import ByteStream
from occystrap_core.oci import Digest
from occystrap_core.tar import header as fields
from occystrap_core.tar.entry import TarEntry
from occystrap_core.tar.pax import _TEXTS, parse_records, write_records
from occystrap_core.tar.rewriter import RewrittenTar
from tests.unit.core.tar.raw import END, member, pax

FORMATS = [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]
LONG = 'a-long-name/' * 20 + 'file'
names = st.text(st.characters(codec='utf-8', exclude_characters='\0/'), min_size=1, max_size=300)


class Dribble(io.BytesIO):
    """A source that gives few bytes at a time."""

    def __init__(self, data: bytes, most: int) -> None:
        super().__init__(data)
        self._most = most

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        return super().readinto(memoryview(buffer)[:self._most])


def unchanged(entry: TarEntry) -> TarEntry:
    """Change nothing."""
    return entry


def timeless(entry: TarEntry) -> TarEntry:
    """Set all times to one moment."""
    entry.set_times(1_000_000_000)
    return entry


def rewrite(tar: bytes, *functions: Callable[[TarEntry], TarEntry | None], most: int = 1 << 20) -> bytes:
    """Return the tar, passed through the functions, having checked its reported digest."""
    rewritten = RewrittenTar(ByteStream(Dribble(tar, most)), functions)
    stream = ByteStream(rewritten, hashed=rewritten.digest.total)
    result = b''.join(bytes(chunk) for chunk in stream.chunks())
    assert stream.digest == Digest.of(result)
    return result


def sample_tar(tar_format: int) -> bytes:
    """Return a tar with everything odd that a format can hold."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode='w', format=tar_format) as tar:
        for number, (name, kind, content) in enumerate([
                ('plain', tarfile.REGTYPE, b'content' * 1000), ('empty', tarfile.REGTYPE, b''),
                ('directory', tarfile.DIRTYPE, b''), ('grüße', tarfile.REGTYPE, b'x'), ('null', tarfile.CHRTYPE, b''),
                ('pipe', tarfile.FIFOTYPE, b''), ('link', tarfile.SYMTYPE, b''), ('hard', tarfile.LNKTYPE, b'')]):
            member = tarfile.TarInfo(name)
            member.type, member.size, member.mtime = kind, len(content), 1_500_000_000 + number
            member.linkname = 'plain' if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE) else ''
            tar.addfile(member, io.BytesIO(content))
        if tar_format != tarfile.USTAR_FORMAT:
            member = tarfile.TarInfo(LONG)
            member.type, member.linkname, member.mtime = tarfile.SYMTYPE, LONG * 2, 1_500_000_000
            tar.addfile(member)
        if tar_format == tarfile.PAX_FORMAT:
            member = tarfile.TarInfo('xattrs')
            member.mtime = 1_500_000_000.25
            member.pax_headers = {'SCHILY.xattr.security.capability': '\x01\x02', 'atime': '1500000000.5',
                                  'ctime': '1500000001'}
            tar.addfile(member)
    return target.getvalue()


@pytest.mark.parametrize('most', [1, 511, 513, 4096, 1 << 20])
@pytest.mark.parametrize('tar_format', FORMATS)
def test_an_unchanged_tar_stays_byte_for_byte_the_same(tar_format: int, most: int) -> None:
    tar = sample_tar(tar_format)
    assert rewrite(tar, unchanged, unchanged, most=most) == tar


def test_a_global_header_stays_even_if_a_function_leaves_it_out() -> None:
    tar = pax((b'comment', b'c'), kind=b'g') + member(b'a') + END
    assert rewrite(tar, lambda entry: None if entry.type == b'g' else entry, unchanged) == tar


@cache
def changed(tar: bytes, name: bytes, leaves: bool, most: int = 1 << 20) -> bytes:
    """Return the tar, its entry of a name with other times, or left out."""
    def change(entry: TarEntry) -> TarEntry | None:
        if entry.name.rstrip(b'/') == name:
            entry.set_times(1)
            return None if leaves else entry
        return entry
    return rewrite(tar, change, most=most)


@pytest.mark.parametrize('leaves', [False, True], ids=['is changed', 'is left out'])
@pytest.mark.parametrize('most', [1, 511, 512, 513, 700, 3000, 1 << 20])
@pytest.mark.parametrize('tar_format', FORMATS)
def test_any_entry_can_be_the_first_that_differs(tar_format: int, most: int, leaves: bool) -> None:
    """Byte by byte, which takes long, some of them are tried."""
    tar = sample_tar(tar_format)
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        names = [name.encode() for name in archive.getnames()]
    for name in names[leaves::5] if most == 1 else names:
        assert changed(tar, name, leaves, most) == changed(tar, name, leaves) != tar


@pytest.mark.parametrize('tar_format', FORMATS)
def test_times_are_set_and_nothing_else(tar_format: int) -> None:
    before = sample_tar(tar_format)
    after = rewrite(before, timeless)
    with tarfile.open(fileobj=io.BytesIO(before)) as old, tarfile.open(fileobj=io.BytesIO(after)) as new:
        for was, now in zip(old.getmembers(), new.getmembers(), strict=True):
            assert now.mtime == 1_000_000_000
            for name in ('name', 'linkname', 'type', 'size', 'mode', 'uid', 'gid', 'uname', 'gname', 'devmajor'):
                assert getattr(was, name) == getattr(now, name)
            times = {'mtime', 'atime', 'ctime'}
            assert {k: v for k, v in was.pax_headers.items() if k not in times} == {
                k: v for k, v in now.pax_headers.items() if k not in times}
            assert all(float(now.pax_headers[k]) == 1_000_000_000 for k in times & set(now.pax_headers))
            if was.isreg():
                assert old.extractfile(was).read() == new.extractfile(now).read()  # type: ignore[union-attr]


@pytest.mark.parametrize('tar_format', FORMATS)
def test_rewriting_twice_has_the_result_of_once(tar_format: int) -> None:
    once = rewrite(sample_tar(tar_format), timeless)
    assert rewrite(once, timeless) == once == rewrite(once, unchanged)


@pytest.mark.parametrize('tar_format', FORMATS)
def test_gnu_tar_lists_the_result_without_a_complaint(tar_format: int, tmp_path: Path) -> None:
    (tmp_path / 'a.tar').write_bytes(rewrite(sample_tar(tar_format), timeless))
    listed = subprocess.run(['tar', 'tvf', tmp_path / 'a.tar', '--full-time', '--utc'], capture_output=True, text=True)
    assert listed.returncode == 0 and listed.stderr == ''
    assert all('2001-09-09 01:46:40' in line for line in listed.stdout.splitlines())


def test_entries_left_out_take_their_data_and_long_names_along() -> None:
    tar = rewrite(sample_tar(tarfile.GNU_FORMAT), lambda entry: None if entry.name.startswith(b'a-long') else entry,
                  lambda entry: None if entry.name == b'plain' else entry)
    with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
        assert archive.getnames() == ['empty', 'directory', 'grüße', 'null', 'pipe', 'link', 'hard']


def test_accessors_see_long_names_links_and_numbers() -> None:
    seen = {}

    def look(entry: TarEntry) -> TarEntry:
        seen[entry.name] = (entry.linkname, entry.type, entry.size, entry.mtime, entry.mode, entry.uid, entry.gid)
        return entry

    for tar_format in (tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        rewrite(sample_tar(tar_format), look)
        assert seen[LONG.encode()][0] == (LONG * 2).encode()
        assert seen[b'plain'] == (b'', b'0', 7000, 1_500_000_000, 0o644, 0, 0)
    assert seen[b'xattrs'][3] == 1_500_000_000.25


def test_old_gnu_sparse_files_are_kept(tmp_path: Path) -> None:
    with open(tmp_path / 'sparse', 'wb') as file:
        for index in range(40):
            file.seek(index * 100_000)
            file.write(b'data')
    versions = [['--format=posix', f'--sparse-version={version}'] for version in ('0.0', '0.1', '1.0')]
    for gnu_format in [['--format=gnu'], *versions]:
        subprocess.run(['tar', '-C', tmp_path, '-cSf', tmp_path / 'a.tar', *gnu_format, 'sparse'], check=True)
        tar = (tmp_path / 'a.tar').read_bytes()
        assert rewrite(tar, unchanged) == tar
        (tmp_path / 'b.tar').write_bytes(rewrite(tar, timeless))
        shown = subprocess.run(['tar', '-xOf', tmp_path / 'b.tar'], capture_output=True, check=True).stdout
        assert shown == (tmp_path / 'sparse').read_bytes()


def test_global_pax_headers_are_kept_and_normalised() -> None:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode='w', format=tarfile.PAX_FORMAT,
                      pax_headers={'comment': 'global', 'mtime': '5.5'}) as tar:
        tar.addfile(tarfile.TarInfo('file'))
    before = target.getvalue()
    assert rewrite(before, unchanged) == before
    with tarfile.open(fileobj=io.BytesIO(rewrite(before, timeless))) as archive:
        archive.getmembers()
        assert archive.pax_headers['comment'] == 'global'
        assert float(archive.pax_headers['mtime']) == 1_000_000_000


def damaged(position: int, value: bytes) -> bytes:
    """Return a tar with bytes of its first header replaced and, but for the checksum field itself, sealed again."""
    tar = bytearray(sample_tar(tarfile.USTAR_FORMAT))
    tar[position:position + len(value)] = value
    if position != 148:
        head = bytearray(tar[:512])
        fields.seal(head)
        tar[:512] = head
    return bytes(tar)


@pytest.mark.parametrize(('tar', 'words'), [
    (damaged(148, b'0000000\0'), 'checksum'),
    (damaged(124, b'\xff' * 12), 'bytes'),
    (damaged(124, b'\x80' + b'\x7f' * 11), '64 bits'),
    (damaged(124, b'12x45678901\0'), 'size'),
    (sample_tar(tarfile.USTAR_FORMAT)[:700], 'cut off'),
    (sample_tar(tarfile.USTAR_FORMAT)[:100], 'cut off'),
    (b'this is not a tar at all' * 100, 'checksum'),
], ids=['checksum', 'negative size', 'absurd size', 'garbled size', 'cut in data', 'cut in header', 'no tar'])
def test_damage_is_an_error(tar: bytes, words: str) -> None:
    with pytest.raises(InvalidImage, match=words):
        rewrite(tar, unchanged)


def test_huge_extended_headers_are_refused() -> None:
    member = tarfile.TarInfo('x' * (2 << 20))
    tar = member.tobuf(tarfile.GNU_FORMAT)
    with pytest.raises(InvalidImage, match='extended header'):
        rewrite(tar, unchanged)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(names, st.binary(max_size=2000), st.integers(0, 8 ** 11 - 1), st.sampled_from(FORMATS[1:])),
                max_size=8), st.integers(1, 3000))
def test_identity_on_any_tar(members: list[tuple[str, bytes, int, int]], most: int) -> None:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode='w') as tar:
        for name, content, mtime, tar_format in members:
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(content), mtime
            target.write(member.tobuf(tar_format, errors='surrogateescape'))
            target.write(content + bytes(-len(content) % 512))
            tar.offset = target.tell()
    before = target.getvalue()
    assert rewrite(before, unchanged, most=most) == before
    once = rewrite(before, timeless)
    assert rewrite(once, timeless) == once


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=30).filter(lambda key: not {*b'=\0'} & {*key}),
                          st.binary(max_size=12000)), max_size=5))
def test_pax_records_round_trip(records: list[tuple[bytes, bytes]]) -> None:
    records = [(key, value) for key, value in records if key not in _TEXTS or b'\0' not in value]  # Go refuses these
    assert parse_records(write_records(records)) == records


@pytest.mark.parametrize('data', [b'5 a=b\n', b'x a=b\n', b'99 a=b\n', b'6 ab\n\n', b'6 a=bc', b'0 a=b\n'])
def test_malformed_pax_records_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidImage):
        parse_records(data)
