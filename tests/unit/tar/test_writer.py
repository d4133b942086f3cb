"""Archives come out the same whatever the hints of sizes said, whole or not at all."""
import io
import os
import stat
import tarfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from occystrap_core.errors import Cancelled, OutputError, UsageError
from occystrap_core.settings import Settings
from occystrap_core.tar import file_header
from occystrap_core.testing.sample import sample_image, sample_layers
from occystrap_core.verification.results import Outcome
from occystrap_tar.new_archive.archive_builder import ArchiveBuilder
from occystrap_tar.new_archive.archive_file import ArchiveFile
from tests.unit.tar.archives import copy, verify, write
from tests.unit.tar.images import ArrivingImage, image_of, tar_of_time, with_same_times

HINTS: dict[str, Callable[[int], int | None]] = {
    'none': lambda size: None, 'right': lambda size: size, 'too small': lambda size: size - 700,
    'too large': lambda size: size + 5000, 'zero': lambda size: 0, 'absurd': lambda size: 1 << 50}


@pytest.mark.parametrize('jobs', [1, 4])
@pytest.mark.parametrize('name', HINTS)
def test_same_bytes_whatever_the_hints(name: str, jobs: int, tmp_path: Path) -> None:
    right = write(image_of(sample_layers()), f'tar://{tmp_path}/right.tar')
    hinted = image_of(sample_layers(), HINTS[name])
    receipt = write(hinted, f'tar://{tmp_path}/hinted.tar', Settings(jobs=jobs))
    assert (tmp_path / 'hinted.tar').read_bytes() == (tmp_path / 'right.tar').read_bytes()
    assert verify(right).outcome is verify(receipt).outcome is Outcome.VERIFIED
    assert sorted(os.listdir(tmp_path)) == ['hinted.tar', 'right.tar']


def test_oci_archive_keeps_manifest_and_blobs_there_and_back(tmp_path: Path) -> None:
    image = sample_image()
    assert image.manifest
    first = write(image, f'tar://{tmp_path}/a.tar?format=oci')
    second = copy(f'tar://{tmp_path}/a.tar', f'tar://{tmp_path}/b.tar?format=oci')
    assert first.manifest_digest == second.manifest_digest == image.manifest.digest
    assert (tmp_path / 'a.tar').read_bytes() == (tmp_path / 'b.tar').read_bytes()


@pytest.mark.parametrize('compression', ['gzip', 'gzip-fast', 'zstd'])
def test_layers_without_blobs_are_compressed(compression: str, tmp_path: Path) -> None:
    for name in ('a', 'b'):
        receipt = write(sample_image(stored=False), f'tar://{tmp_path}/{name}.tar?format=oci&compression={compression}')
        assert verify(receipt).outcome is Outcome.VERIFIED
    assert (tmp_path / 'a.tar').read_bytes() == (tmp_path / 'b.tar').read_bytes()
    assert copy(f'tar://{tmp_path}/a.tar', f'tar://{tmp_path}/c.tar').image_id == sample_image().config.digest


@pytest.mark.parametrize('option', ['', '?format=oci'])
@pytest.mark.parametrize('filtered', [False, True])
def test_layer_listed_twice_is_written_once(filtered: bool, option: str, tmp_path: Path) -> None:
    tars = sample_layers()
    image = image_of([tars[0], tars[1], tars[0]])
    receipt = write(with_same_times(image) if filtered else image, f'tar://{tmp_path}/a.tar{option}')
    assert len(receipt.of_kind('layer')) == 2
    assert verify(receipt).outcome is Outcome.VERIFIED
    assert copy(f'tar://{tmp_path}/a.tar', f'tar://{tmp_path}/b.tar').image_id == receipt.image_id


@pytest.mark.parametrize('option', ['', '?format=oci'])
def test_layers_that_a_filter_makes_the_same_give_the_same_archive_whichever_comes_first(option: str, tmp_path: Path,
                                                                                         ) -> None:
    tars = [tar_of_time(5), sample_layers()[1], tar_of_time(6)]
    for slow in (0, 2):
        image = with_same_times(image_of(tars, slow=slow))
        assert verify(write(image, f'tar://{tmp_path}/{slow}.tar{option}')).outcome is Outcome.VERIFIED
    assert (tmp_path / '0.tar').read_bytes() == (tmp_path / '2.tar').read_bytes()


@pytest.mark.parametrize('option', ['', '?format=oci'])
@pytest.mark.parametrize('hint', [None, 0, 700])
@pytest.mark.parametrize('place', [0, 1, 3])
def test_an_empty_layer_has_its_place(place: int, hint: int | None, option: str, tmp_path: Path) -> None:
    tars = sample_layers()
    tars.insert(place, b'')
    receipt = write(image_of(tars, lambda size: size or hint), f'tar://{tmp_path}/a.tar{option}')
    assert verify(receipt).outcome is Outcome.VERIFIED
    assert copy(f'tar://{tmp_path}/a.tar', f'tar://{tmp_path}/b.tar').image_id == receipt.image_id


@pytest.mark.parametrize('option', ['', '?format=oci'])
@pytest.mark.parametrize('order', [[0, 1, 2], [2, 0, 1], [1, 1, 2, 0, 2]])
def test_layers_that_arrive_one_at_a_time(order: list[int], option: str, tmp_path: Path) -> None:
    receipt = write(ArrivingImage(sample_layers(), order), f'tar://{tmp_path}/a.tar{option}')
    assert len(receipt.of_kind('layer')) == 3 and os.listdir(tmp_path) == ['a.tar']
    assert verify(receipt).outcome is Outcome.VERIFIED
    assert copy(f'tar://{tmp_path}/a.tar', f'tar://{tmp_path}/b.tar').image_id == receipt.image_id


def test_headers_are_the_same_everywhere(tmp_path: Path) -> None:
    write(sample_image(), f'tar://{tmp_path}/a.tar')
    with tarfile.open(tmp_path / 'a.tar') as archive:
        for member in archive:
            assert (member.mtime, member.uid, member.gid, member.mode) == (0, 0, 0, 0o644)
            assert (member.uname, member.gname, member.type) == ('', '', tarfile.REGTYPE)
        assert member.name == 'manifest.json'


def test_sizes_from_eight_gib_on_are_kept() -> None:
    for size in (8 << 30, (8 << 30) - 1, 1 << 40):
        assert tarfile.TarInfo.frombuf(file_header('x', size), 'utf-8', 'strict').size == size


def unread(size: int) -> int | None:
    raise AssertionError('a layer was read')


def test_unwritable_places_are_refused_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / 'directory').mkdir()
    (tmp_path / 'file').touch()
    (tmp_path / 'link').symlink_to('file')
    (tmp_path / 'dead').symlink_to('nothing')
    os.mkfifo(tmp_path / 'pipe')
    for target, words in [('directory', 'is a directory'), ('missing/a.tar', 'no directory'),
                          ('file/a.tar', 'no directory'), ('link', 'symbolic link'), ('dead', 'symbolic link'),
                          ('pipe', 'not a regular file')]:
        with pytest.raises(OutputError, match=words):
            write(image_of(sample_layers(), unread), f'tar://{tmp_path}/{target}')
    assert (tmp_path / 'file').read_bytes() == b'' and not (tmp_path / 'nothing').exists()
    assert len(os.listdir(tmp_path)) == 5


def test_places_without_permission_are_refused_before_anything_is_read(tmp_path: Path,
                                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / 'kept.tar').touch()
    monkeypatch.setattr(os, 'access', lambda path, mode: path != str(tmp_path / 'kept.tar'))
    with pytest.raises(OutputError, match='read-only'):
        write(image_of(sample_layers(), unread), f'tar://{tmp_path}/kept.tar')
    monkeypatch.setattr(os, 'access', lambda path, mode: False)
    with pytest.raises(OutputError, match='not writable'):
        write(image_of(sample_layers(), unread), f'tar://{tmp_path}/a.tar')


def test_the_name_in_the_archive_is_a_name(tmp_path: Path) -> None:
    write(sample_image(), f'tar://{tmp_path}/a.tar?tag=other/app')
    assert copy(f'tar://{tmp_path}/a.tar', f'tar://{tmp_path}/b.tar').reference == 'other/app:latest'
    for tag in ('UPPER', 'app:', f'app@sha256:{64 * "a"}'):
        with pytest.raises(UsageError, match=tag):
            write(sample_image(), f'tar://{tmp_path}/c.tar?tag={tag}')


@pytest.mark.parametrize('name', ['n' * 255, 'ü' * 127, '%25.tar', 'a b.tar'])
def test_any_file_name_can_be_written(name: str, tmp_path: Path) -> None:
    assert verify(write(sample_image(), f'tar://{tmp_path}/{name}')).outcome is Outcome.VERIFIED
    assert len(os.listdir(tmp_path)) == 1


def test_a_source_that_cannot_be_read_is_not_blamed_on_the_destination(tmp_path: Path) -> None:
    class Failing(io.BytesIO):
        def readinto(self, buffer: object, /) -> int:
            raise OSError(5, 'Input/output error', 'the source')
    image = image_of(sample_layers())
    image.layers[0]._opener = Failing  # type: ignore[attr-defined]
    with pytest.raises(OSError, match='the source'):
        write(image, f'tar://{tmp_path}/a.tar')
    assert not os.listdir(tmp_path)


def test_leftovers_of_killed_runs_are_removed_and_files_in_use_are_not(tmp_path: Path) -> None:
    for name in ('.a.tar.0123abcd.partial', '.b.tar.0123abcd.partial', '.a.tar.notours.partial'):
        (tmp_path / name).touch()
    at_work = ArchiveFile(str(tmp_path / 'a.tar'), sync=False)
    write(sample_image(), f'tar://{tmp_path}/a.tar')
    left = set(os.listdir(tmp_path))
    assert left >= {'a.tar', '.b.tar.0123abcd.partial', '.a.tar.notours.partial'} and len(left) == 4
    at_work.complete(0)
    assert (tmp_path / 'a.tar').read_bytes() == b''


def test_other_files_under_such_a_name_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / 'key').write_text('a key')
    planted = [tmp_path / f'.a.tar.0123456{number}.partial' for number in range(3)]
    planted[0].symlink_to('key')
    os.mkfifo(planted[1])
    os.mknod(planted[2], stat.S_IFCHR | 0o600, os.makedev(1, 7))
    # as if the next names had been guessed
    guessed, random = [bytes.fromhex(f'0123456{number}') for number in range(3)], os.urandom
    monkeypatch.setattr(os, 'urandom', lambda size: guessed.pop(0) if size == 4 and guessed else random(size))
    opened, open_file = [], os.open

    def watched(path: str, *how: int, **where: int) -> int:
        descriptor = open_file(path, *how, **where)
        opened.append(Path(path))
        return descriptor
    monkeypatch.setattr('occystrap_tar.new_archive.archive_file.os.open', watched)
    write(sample_image(), f'tar://{tmp_path}/a.tar')
    assert (tmp_path / 'key').read_text() == 'a key' and not guessed
    assert opened and not {*planted} & {*opened}
    assert sorted(os.listdir(tmp_path)) == sorted(['a.tar', 'key', *(path.name for path in planted)])


def test_a_thread_that_is_late_writes_nowhere(tmp_path: Path) -> None:
    """Its descriptor must not be closed under its feet: the next file opened would get the number."""
    builder = ArchiveBuilder(str(tmp_path / 'a.tar'), Settings())
    builder.begin([([0], 100, ''), ([1], 100, '')])
    waiting, over = threading.Event(), threading.Event()

    def chunks() -> Iterator[memoryview]:
        waiting.set()
        over.wait(10)
        yield memoryview(b'late' * 100)

    late = threading.Thread(target=builder.write, args=(0, chunks()))
    late.start()
    waiting.wait(10)
    builder.discard()
    assert not os.listdir(tmp_path)
    others = [open(tmp_path / f'other-{number}', 'w+b') for number in range(5)]
    over.set()
    late.join()
    assert not any(os.fstat(other.fileno()).st_size for other in others)
    for other in others:
        other.close()
    with pytest.raises(Cancelled):
        builder.write(1, iter([memoryview(b'x')]))


def test_a_thread_that_is_late_writes_over_no_other_member(tmp_path: Path) -> None:
    """Of an image that failed, while the others are made visible."""
    builder = ArchiveBuilder(str(tmp_path / 'a.tar'), Settings())
    builder.begin([])
    lost, kept = builder.reserve('lost', 3000), builder.reserve('kept', 3000)
    waiting, over = threading.Event(), threading.Event()
    raised: list[BaseException] = []

    def chunks() -> Iterator[memoryview]:
        waiting.set()
        over.wait(10)
        yield memoryview(b'late' * 700)

    def write_late() -> None:
        try:
            builder.fill(lost, chunks())
        except Cancelled as error:
            raised.append(error)

    late = threading.Thread(target=write_late)
    late.start()
    waiting.wait(10)
    builder.fill(kept, iter([memoryview(b'k' * 3000)]))
    kept.name = 'kept'
    builder.finish([], [kept])
    over.set()
    late.join()
    assert raised and builder.reread(lost) is None
    with tarfile.open(tmp_path / 'a.tar') as archive:
        content = archive.extractfile('kept')
        assert archive.getnames() == ['kept'] and content and content.read() == b'k' * 3000
