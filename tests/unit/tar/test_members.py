"""Archives as other programs pack them: with holes, long tails, links; and what of their blocks is verified."""
import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from occystrap_core import InvalidImage
from occystrap_core.settings import VerifyLevel
from occystrap_core.tar import file_header
from occystrap_core.testing.sample import sample_image, sample_layers
from occystrap_core.verification.results import Outcome
from occystrap_tar.archive.members import Archive
from tests.unit.core.tar.raw import GNU, header, pax
from tests.unit.tar.archives import copy, docker_members, oci_members, verify, write, write_tar

FORMATS = {'gnu': ['--format=gnu'], **{version: ['--format=pax', f'--sparse-version={version}']
                                       for version in ('0.0', '0.1', '1.0')}}


def with_holes(directory: Path, members: list[tuple[str, bytes | str]], options: list[str], big: bytes) -> Path:
    """Return an archive of these members, and of a large one that has holes, packed by GNU tar."""
    tree = directory / 'tree'
    for name, content in [*members, ('big', big)]:
        assert isinstance(content, bytes)
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        subprocess.run(['fallocate', '--dig-holes', path], check=True)
    subprocess.run(['tar', '-cS', *options, '-f', directory / 'holes.tar', '-C', tree, *os.listdir(tree)], check=True)
    return directory / 'holes.tar'


BIG = bytes(100_000) + b'middle' * 5000 + bytes(300_000) + b'end' + bytes(200_000)


@pytest.mark.parametrize('form', FORMATS)
def test_members_with_holes_are_read(form: str, tmp_path: Path) -> None:
    archive = Archive(str(with_holes(tmp_path, docker_members(), FORMATS[form], BIG)))
    member = archive.find('big')
    assert member.holes and member.size == len(BIG) and len(Path(archive.path).read_bytes()) < len(BIG)
    places = ((0, len(BIG)), (0, 4), (len(BIG) - 4, 4), (99_998, 10), (129_990, 20), (430_001, 9), (0, 1 << 20))
    for start, count in places:
        assert archive.part(member, start, count) == BIG[start:start + count]
    for step in (7, 1 << 16):
        source, read = archive.open(member), bytearray()
        buffer = memoryview(bytearray(step))
        while more := source.readinto(buffer):
            read += buffer[:more]
        assert read == BIG


@pytest.mark.parametrize('form', FORMATS)
@pytest.mark.parametrize('members', [docker_members, oci_members])
def test_a_repacked_archive_with_holes_is_copied(members: Callable[[], list[tuple[str, bytes | str]]], form: str,
                                                 tmp_path: Path) -> None:
    receipt = copy(f'tar://{with_holes(tmp_path, members(), FORMATS[form], BIG)}', f'dir://{tmp_path}/out')
    assert verify(receipt).outcome is Outcome.VERIFIED
    assert sorted(path.read_bytes() for path in (tmp_path / 'out').rglob('*.tar')) == sorted(sample_layers())


def test_a_longer_tail_of_zeros_is_read_and_its_holes_are_not(tmp_path: Path) -> None:
    path = write_tar(tmp_path / 'a.tar', docker_members())
    os.truncate(path, path.stat().st_size + (5 << 20))
    copy(f'tar://{path}', f'dir://{tmp_path}/out')
    os.truncate(path, 1 << 42)
    assert Archive(str(path)).has_end
    with path.open('r+b') as file:
        file.seek(1 << 41)
        file.write(b'x')
    assert not Archive(str(path)).has_end


def test_links_over_links_lead_to_the_file(tmp_path: Path) -> None:
    """However many names lead through one link, it is followed once: else this would take minutes."""
    links: list[tuple[str, bytes | str]] = [(f'l{number}', f'l{number - 1}') for number in range(1, 20_000)]
    archive = Archive(str(write_tar(tmp_path / 'a.tar', [*links, ('l0', b'content'), ('c', 'd'), ('d', 'c')])))
    assert {archive.find(f'l{number}').name for number in reversed(range(20_000))} == {'l0'}
    assert archive.read('l19999', 100) == b'content'
    with pytest.raises(InvalidImage, match='the link c leads back to itself'):
        archive.find('c')


def test_a_link_to_one_of_two_members_is_ambiguous(tmp_path: Path) -> None:
    archive = Archive(str(write_tar(tmp_path / 'a.tar', [('one', b'1'), ('one', b'2'), ('to', 'one'), ('via', 'to')])))
    for name in ('via', 'to', 'one'):
        with pytest.raises(InvalidImage, match=f'has two members {name}'):
            archive.read(name, 100)


def test_a_part_of_an_archive_is_none(tmp_path: Path) -> None:
    path = write_tar(tmp_path / 'a.tar', docker_members())
    whole = path.read_bytes()
    for cut in (*range(0, len(whole.rstrip(b'\0')), 509), len(whole.rstrip(b'\0'))):
        path.write_bytes(whole[:cut])
        with pytest.raises(InvalidImage, match='a.tar'):
            copy(f'tar://{path}', f'dir://{tmp_path}/out')


@pytest.mark.parametrize('size', [0, 1, 511, 512, (8 << 30) - 1, 8 << 30, 1 << 40])
@pytest.mark.parametrize('name', ['manifest.json', 'n' * 100, 'grüße'])
def test_headers_are_those_that_gnu_tar_and_the_standard_library_write(name: str, size: int) -> None:
    member = tarfile.TarInfo(name)
    member.size = size
    assert file_header(name, size) == member.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize('length', [100, 101, 109, 110, 141, 255, 985, 986, 4000])
def test_a_long_name_is_read_as_it_was_written(length: int) -> None:
    """The lengths are those at which the record's own length gets another digit."""
    data = file_header('n' * (length - 2) + 'é', 5) + b'12345'.ljust(1024, b'\0')
    with tarfile.open(fileobj=io.BytesIO(data), mode='r:') as archive:
        member, = archive.getmembers()
        content = archive.extractfile(member)
        assert content and content.read() == b'12345' and len(member.name.encode()) == length
    assert len(data) % 512 == 0 and (len(data) == 1536) == (length == 100)


CHANGES: dict[str, Callable[[bytes, str, int], bytes]] = {
    'the type of a sparse file': lambda old, name, size: header(
        name.encode(), size, b'S', GNU, sparse=b'%011o\0%011o\0' % (0, size),
        real_size=b'%011o\0' % size),
    'a type of old': lambda old, name, size: header(name.encode(), size, b'7', GNU, mtime=b'00000000000\0'),
    'a zero byte as type': lambda old, name, size: header(name.encode(), size, b'\0', GNU, mtime=b'00000000000\0'),
    'another time': lambda old, name, size: header(name.encode(), size, b'0', GNU),
    'another mode': lambda old, name, size: header(name.encode(), size, b'0', GNU, mtime=b'0' * 11, mode=b'0040755\0'),
    'another magic': lambda old, name, size: header(name.encode(), size, mtime=b'00000000000\0'),
    'a record': lambda old, name, size: pax((b'comment', b'x')) + old,
    'a record of its name': lambda old, name, size: pax((b'path', name.encode())) + old,
    'a map of holes': lambda old, name, size: pax(
        (b'GNU.sparse.size', b'%d' % size), (b'GNU.sparse.numblocks', b'1'), (b'GNU.sparse.map', b'0,%d' % size)) + old,
    'a global header before it': lambda old, name, size: pax((b'comment', b'x'), kind=b'g') + old,
}


@pytest.mark.parametrize('level', [VerifyLevel.FAST, VerifyLevel.FULL])
@pytest.mark.parametrize('form', ['docker', 'oci'])
@pytest.mark.parametrize('what', CHANGES)
def test_any_other_header_than_was_written_is_damage(what: str, form: str, level: VerifyLevel, tmp_path: Path) -> None:
    path = tmp_path / 'a.tar'
    receipt = write(sample_image(), f'tar://{path}?format={form}')
    assert verify(receipt, level).outcome is Outcome.VERIFIED
    whole = path.read_bytes()
    with tarfile.open(path) as archive:
        members = [(member.name, member.offset, member.size) for member in archive]
    for name, offset, size in members:
        changed = CHANGES[what](whole[offset:offset + 512], name, size)
        path.write_bytes(whole[:offset] + changed + whole[offset + 512:])
        assert verify(receipt, level).outcome is Outcome.FAILED, name


@pytest.mark.parametrize('tail', [b'', bytes(512), bytes(1536), bytes(1024) + b'x', bytes(10240),
                                  pax((b'comment', b'x'), kind=b'g') + bytes(1024)])
def test_any_other_end_than_was_written_is_damage(tail: bytes, tmp_path: Path) -> None:
    path = tmp_path / 'a.tar'
    receipt = write(sample_image(), f'tar://{path}')
    path.write_bytes(path.read_bytes()[:-1024] + tail)
    assert verify(receipt).outcome is Outcome.FAILED


def test_nothing_that_reads_or_writes_archives_relies_on_the_standard_library() -> None:
    program = ('import sys\nimport occystrap_tar.input, occystrap_tar.verifier, occystrap_tar.writer\n'
               'import occystrap_docker.export.export, occystrap_docker.load.archive_stream\n'
               'import occystrap_core.tar.rewriter\n'
               'print("tarfile" in sys.modules)')
    done = subprocess.run([sys.executable, '-c', program], capture_output=True, text=True, check=True)
    assert done.stdout == 'False\n'
