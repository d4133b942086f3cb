"""The file of receipts: only added to, shared by processes, never in place of something else."""
import fcntl
import json
import os
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from occystrap_core import OutputError, Receipt, UsageError, VerifyLevel
from occystrap_core.errors import InvalidReceipt
from occystrap_core.receipts import receipt_file, receipt_lines
from occystrap_core.receipts.receipt_file import ReceiptFile
from occystrap_core.receipts.receipt_lines import read_receipts
from occystrap_core.verification.provenance import RecordedVerdict
from tests.unit.core.pipeline.memory import IMAGES, SHELVES, memory_plugins, offer
from tests.unit.core.pipeline.test_run import broken, process

VERIFIED = RecordedVerdict('verified', 'fast', '2026-01-02T03:04:05Z')


@pytest.fixture(autouse=True)
def empty_shelves() -> Iterator[None]:
    SHELVES.clear()
    IMAGES.clear()
    yield


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the file is expected."""
    return tmp_path / 'receipts'


def receipt(name: str = 'one') -> Receipt:
    """Return a receipt of an image of this name."""
    found = process(offer(name)).images[0].receipt
    assert found
    return found


def write(path: Path, *receipts: Receipt) -> None:
    file = ReceiptFile(str(path))
    for each in receipts:
        file.add(each)
    file.close()


def verdicts(path: Path) -> dict[str, str]:
    """Return the outcomes that a file has, by image."""
    return {each.reference: each.verdict.outcome if each.verdict else '' for each in read_receipts(str(path))}


def test_each_line_says_what_verification_said_and_when(path: Path) -> None:
    offer('one')
    file = ReceiptFile(str(path))
    process('memory://one', receipts=file)
    file.close()
    line = json.loads(path.read_text())
    assert line['verdict']['outcome'] == 'verified' and line['verdict']['level'] == 'fast'
    assert line['verdict']['time'].endswith('Z') and len(line['verdict']['time']) == 20


def test_an_image_that_was_not_verified_is_not_said_to_be(path: Path) -> None:
    offer('one')
    file = ReceiptFile(str(path))
    process('memory://one', level=VerifyLevel.NONE, receipts=file)
    process('memory://one', 'memory://other', plugins=memory_plugins(verifier=None), receipts=file)
    file.close()
    assert [each.verdict.outcome for each in read_receipts(str(path)) if each.verdict] == ['unverified'] * 2


def test_the_receipt_of_an_image_that_fails_now_is_kept(path: Path) -> None:
    write(path, receipt('one').with_verdict(VERIFIED), receipt('two').with_verdict(VERIFIED))
    offer('one')
    offer('two', image=broken)
    file = ReceiptFile(str(path))
    process('memory://one,two', receipts=file)
    file.close()
    assert verdicts(path) == {'one': 'verified', 'two': 'verified'}
    assert len(path.read_text().splitlines()) == 2, 'the line that a newer one replaces is still there'


@pytest.mark.parametrize('content', [b'#!/bin/sh\necho precious\n', b'precious', b'\0' * 512, b'{}\n', b'{"a": 1}'])
def test_other_files_are_not_overwritten(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(UsageError, match='holds no receipts: choose another file, or use --force'):
        ReceiptFile(str(path))
    assert path.read_bytes() == content


def test_a_damaged_receipt_file_is_left_alone(path: Path) -> None:
    write(path, receipt('one'), receipt('two'))
    damaged = path.read_text().replace('"size": ', '"size": 1', 1)
    path.write_text(damaged)
    with pytest.raises(UsageError, match='its seal does not match'):
        ReceiptFile(str(path))
    assert path.read_text() == damaged


def test_with_force_a_file_is_replaced_by_the_first_receipt(path: Path) -> None:
    path.write_text('old')
    file = ReceiptFile(str(path), force=True)
    assert path.read_text() == 'old'
    file.add(receipt())
    file.close()
    assert verdicts(path) == {'one': ''}


def test_with_force_another_name_of_the_file_keeps_its_content(path: Path, tmp_path: Path) -> None:
    (tmp_path / 'image').write_text('layers')
    os.link(tmp_path / 'image', path)
    file = ReceiptFile(str(path), force=True)
    file.add(receipt('one'))
    file.add(receipt('two'))
    file.close()
    assert (tmp_path / 'image').read_text() == 'layers'
    assert verdicts(path) == {'one': '', 'two': ''}


def test_with_force_two_processes_replace_a_file_once(path: Path) -> None:
    path.write_text('layers')
    first, second = (ReceiptFile(str(path), force=True) for _ in range(2))
    for file, name in ((first, 'one'), (second, 'two'), (first, 'three')):
        file.add(receipt(name))
    for file in (first, second):
        file.close()
    assert verdicts(path) == {'one': '', 'two': '', 'three': ''}


def test_a_link_that_leads_nowhere_is_refused(path: Path, tmp_path: Path) -> None:
    path.symlink_to(tmp_path / 'victim')
    with pytest.raises(UsageError, match='leads nowhere'):
        ReceiptFile(str(path))
    assert os.listdir(tmp_path) == ['receipts']


def test_a_link_to_a_receipt_file_stays_a_link(path: Path, tmp_path: Path) -> None:
    write(tmp_path / 'file', receipt('one'))
    path.symlink_to('file')
    write(path, receipt('one').with_verdict(VERIFIED))
    assert path.is_symlink() and verdicts(tmp_path / 'file') == {'one': 'verified'}


def test_a_disk_that_is_full_is_named_and_leaves_whole_lines(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(path, receipt('one'))
    before = path.read_bytes()
    full = receipt('two')
    really = os.write

    def half(descriptor: int, content: memoryview) -> int:
        if len(content) < 500:
            raise OSError(28, 'No space left on device')
        return really(descriptor, content[:300])
    file = ReceiptFile(str(path))
    with monkeypatch.context() as patch:
        patch.setattr('os.write', half)
        with pytest.raises(OutputError, match='cannot write the receipt file .*: No space left on device'):
            file.add(full)
    assert path.read_bytes() == before
    file.close()


def test_an_image_whose_receipt_is_lost_is_no_success(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(28, 'No space left on device')
    monkeypatch.setattr('occystrap_core.receipts.receipt_file.os.fsync', refuse)
    offer('one', 'two')
    file = ReceiptFile(str(path))
    report = process('memory://one,two', receipts=file)
    assert not report.succeeded
    assert all('cannot write the receipt file' in image.failure for image in report.images)
    assert report.summary().endswith('0/2 verified, 2 FAILED')
    file.close()


WRITER = """
import sys
import threading
import tracemalloc
from occystrap_core import Receipt
from occystrap_core.receipts import receipt_file
from occystrap_core.receipts.receipt_file import ReceiptFile
from dataclasses import replace
from functools import cache
receipt = Receipt.from_json(open(sys.argv[2]).read())
file = ReceiptFile(sys.argv[1])
for number in range(12):
    file.add(replace(receipt, reference=f'{sys.argv[3]}-{number % 6}'))
file.close()
"""


def test_processes_that_share_a_file_lose_nothing(path: Path, tmp_path: Path) -> None:
    (tmp_path / 'sample').write_text(receipt().to_json())
    writers = [subprocess.Popen([sys.executable, '-c', WRITER, path, tmp_path / 'sample', f'{number}'])
               for number in range(4)]
    assert [each.wait(60) for each in writers] == [0] * 4
    assert {each.reference for each in read_receipts(str(path))} == {
        f'{writer}-{number}' for writer in range(4) for number in range(6)}
    assert sorted(os.listdir(tmp_path)) == ['receipts', 'sample']


def test_a_receipt_waits_for_the_process_that_has_the_file_and_goes_into_what_it_leaves(path: Path) -> None:
    write(path, receipt('one'))
    file, two = ReceiptFile(str(path)), receipt('two')
    adding = threading.Thread(target=file.add, args=(two,))
    with path.open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        adding.start()
        adding.join(0.3)
        assert adding.is_alive()
        shorter = path.with_name('shorter')
        shorter.touch()
        shorter.rename(path)
    adding.join(10)
    file.close()
    assert [each.reference for each in read_receipts(str(path))] == ['two']


def test_images_in_two_places_are_kept_apart(path: Path) -> None:
    one = receipt()
    write(path, one, replace(one, place='elsewhere'), replace(one, place='', options={'tag': 'x'}))
    assert len(read_receipts(str(path))) == 3


def test_every_line_is_checked_when_it_is_read(path: Path) -> None:
    write(path, receipt('one'), receipt('two'))
    lines = path.read_text().splitlines()
    path.write_text('\n'.join([lines[0].replace('"size": ', '"size": 1', 1), lines[1]]))
    with pytest.raises(InvalidReceipt, match='receipts: the receipt was changed or damaged'):
        read_receipts(str(path))


def test_the_directory_of_a_new_file_is_flushed_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[str] = []
    monkeypatch.setattr(receipt_file, 'sync_directory', flushed.append)
    write(path, receipt('one'))
    assert flushed == [str(path.parent)]
    write(path, receipt('two'))
    write(path.with_name('other'), receipt('one'), receipt('two'))
    assert flushed == [str(path.parent)] * 2


# Files that are odd, shared, or long

@cache
def sample() -> Receipt:
    """Return a receipt of an image whose layers were all written."""
    SHELVES.clear()
    return receipt()


def named(name: str = 'one') -> Receipt:
    """Return the same for an image of another name."""
    return replace(sample(), reference=name)


def line(name: str, **changes: object) -> str:
    """Return the receipt of an image as a line."""
    return f'{replace(sample(), reference=name, **changes).to_json()}\n'  # type: ignore[arg-type]


@pytest.mark.parametrize('name', ['null', 'pipe'])
def test_a_device_or_pipe_gets_lines_and_is_not_locked_or_cut(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / 'pipe')
    reader = os.open(tmp_path / 'pipe', os.O_RDONLY | os.O_NONBLOCK)
    one = named()
    file = ReceiptFile('/dev/null' if name == 'null' else str(tmp_path / 'pipe'))
    file.add(one)
    file.add(one)
    file.close()
    found = os.read(reader, 1 << 16)
    os.close(reader)
    assert found == (f'{one.to_json()}\n'.encode() * 2 if name == 'pipe' else b'')


def test_a_closed_file_takes_nothing_and_can_be_closed_again(path: Path) -> None:
    file = ReceiptFile(str(path))
    file.close()
    file.close()
    with pytest.raises(OutputError, match='the receipt file .*/receipts is closed'):
        file.add(named())


@pytest.mark.parametrize(('umask', 'mode'), [(0o022, 0o644), (0o077, 0o600), (0, 0o666)])
def test_a_new_file_has_the_mode_of_the_umask(umask: int, mode: int, path: Path) -> None:
    before = os.umask(umask)
    try:
        write(path, named('one'), named('one'))  # the second replaces the first in a new file
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o7777 == mode and len(path.read_text().splitlines()) == 1


def test_a_compacted_file_keeps_its_mode(path: Path) -> None:
    write(path, named('one'))
    path.chmod(0o640)
    write(path, named('one'))
    assert path.stat().st_mode & 0o7777 == 0o640 and len(path.read_text().splitlines()) == 1


def test_a_file_without_duplicates_is_not_rewritten(path: Path) -> None:
    write(path, named('one'))
    before = path.stat().st_ino
    write(path, named('two'))
    assert path.stat().st_ino == before and len(path.read_text().splitlines()) == 2


def test_temporary_files_of_killed_processes_are_removed_and_no_others(path: Path) -> None:
    abandoned = [f'.receipts.{"0" * 16}.partial', f'.receipts.{"f" * 16}.partial']
    kept = [f'.receipts.{"0" * 15}.partial', f'.receipts.{"0" * 17}.partial', f'.other.{"0" * 16}.partial',
            f'.receipts.{"0" * 16}.partial2', f'receipts.{"0" * 16}.partial', f'.receipts.{"g" * 16}.partial',
            f'{"0" * 16}.partial']
    for name in (*abandoned, *kept):
        (path.parent / name).touch()
    write(path, named())
    assert sorted(os.listdir(path.parent)) == sorted([*kept, 'receipts'])


@pytest.mark.parametrize('failing', ['fsync', 'rename', 'open'])
def test_a_file_that_cannot_be_compacted_stays_as_it_is(failing: str, path: Path,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:
    file = ReceiptFile(str(path))
    for _ in range(2):
        file.add(named())

    def fail(*arguments: object, **options: object) -> None:
        raise OSError(5, 'Input/output error')
    with monkeypatch.context() as patch:
        patch.setattr(os, failing, fail)
        file.close()
    assert os.listdir(path.parent) == ['receipts'] and len(path.read_text().splitlines()) == 2


def test_compacting_flushes_the_new_file_and_its_directory(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(path, named('one'))
    done: list[str] = []
    rename, fsync = os.rename, os.fsync
    monkeypatch.setattr(os, 'fsync', lambda descriptor: done.append('data') or fsync(descriptor))
    monkeypatch.setattr(os, 'rename', lambda old, new: done.append('rename') or rename(old, new))
    monkeypatch.setattr(receipt_file, 'sync_directory', lambda above: done.append('directory'))
    write(path, named('one'))
    assert done == ['data', 'data', 'rename', 'directory']


def test_long_names_have_temporary_names_too(path: Path) -> None:
    long = path.with_name('n' * 250)
    write(long, named(), named())
    assert os.listdir(path.parent) == ['n' * 250] and len(long.read_text().splitlines()) == 1


def test_a_line_cut_by_a_killed_process_is_removed_before_the_next(path: Path) -> None:
    half = line('two')[:100]
    path.write_text(line('one') + half)
    file = ReceiptFile(str(path))
    file.add(named('three'))
    assert path.read_text() == line('one') + line('three')
    file.close()


@pytest.mark.parametrize('length', [1, 65_535, 65_536, 65_537, 200_000])
def test_however_long_the_cut_line_is(length: int, path: Path) -> None:
    path.write_text(line('one') + '{"receipt": '.ljust(length, 'x')[:length])
    file = ReceiptFile(str(path))
    file.add(named('three'))
    file.close()
    assert path.read_text() == line('one') + line('three')


def test_a_file_with_nothing_but_a_cut_line(path: Path) -> None:
    path.write_text('{"receipt": 2, "scheme')
    file = ReceiptFile(str(path))
    file.add(named('one'))
    file.close()
    assert path.read_text() == line('one')


def test_an_empty_file_that_was_there_stays(path: Path) -> None:
    path.touch()
    ReceiptFile(str(path)).close()
    assert path.exists()
    path.unlink()
    ReceiptFile(str(path)).close()
    assert not path.exists()


def test_a_file_that_another_process_replaces_is_opened_again(path: Path) -> None:
    first = ReceiptFile(str(path))
    first.add(named('one'))
    path.rename(path.with_name('old'))
    path.write_text(line('two'))
    first.add(named('three'))
    first.close()
    assert verdicts(path) == {'two': '', 'three': ''} and verdicts(path.with_name('old')) == {'one': ''}


def test_a_file_that_another_process_removes_is_made_again(path: Path) -> None:
    first = ReceiptFile(str(path))
    path.unlink()
    before = len(os.listdir('/proc/self/fd'))
    first.add(named('one'))
    assert len(os.listdir('/proc/self/fd')) == before
    first.close()
    assert verdicts(path) == {'one': ''} and len(os.listdir('/proc/self/fd')) == before - 1


def test_a_failed_line_leaves_what_was_there(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = ReceiptFile(str(path))
    file.add(named('one'))
    with monkeypatch.context() as patch:
        patch.setattr(os, 'fsync', lambda descriptor: (_ for _ in ()).throw(OSError(28, 'No space left on device')))
        with pytest.raises(OutputError, match='No space left on device'):
            file.add(named('two'))
    assert path.read_text() == line('one')
    file.add(named('three'))
    file.close()
    assert path.read_text() == line('one') + line('three')


def test_a_file_that_was_there_is_not_flushed_into_its_directory(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.touch()
    flushed: list[str] = []
    monkeypatch.setattr(receipt_file, 'sync_directory', flushed.append)
    write(path, named('one'))
    assert flushed == []
    monkeypatch.chdir(path.parent)
    write(Path('new'), named('one'))
    assert flushed == ['.']


def test_many_lines_are_read(path: Path) -> None:
    path.write_text(''.join(line(f'image-{number}') for number in range(1500)))  # more than is read at once
    assert path.stat().st_size > 1 << 20
    write(path, named('one'))
    assert len(read_receipts(str(path))) == 1501


@pytest.mark.parametrize(('content', 'words'), [
    ('', 'holds no receipt'), ('\n \n', 'holds no receipt'), ('text', 'is not a file of receipts'),
    ('[{"a": 1}]', 'is not a file of receipts'), ('{"receipt": 9}', 'has version 9')])
def test_files_without_receipts_are_refused(content: str, words: str, path: Path) -> None:
    path.write_text(content)
    with pytest.raises((UsageError, InvalidReceipt), match=words):
        read_receipts(str(path))


def test_without_a_whole_line_nothing_was_proved(path: Path) -> None:
    path.write_text(line('one')[:50])
    assert read_receipts(str(path), cut=True) == []
    path.write_text('')
    assert read_receipts(str(path), cut=True) == []


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for name, words in (('none', 'No such file or directory'), ('a\0b', 'embedded null byte')):
        with pytest.raises(UsageError, match=f'cannot read the receipt .*: {words}'):
            read_receipts(str(tmp_path / name))
    with pytest.raises(OutputError, match='cannot write the receipt file .*: No such file or directory; '
                                          f'create the directory {tmp_path}/none first'):
        ReceiptFile(str(tmp_path / 'none/receipts'))


def test_a_file_of_receipts_has_a_limit(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = line('one')
    path.write_text(one)
    monkeypatch.setattr(receipt_lines, '_CAP', len(one))
    assert len(read_receipts(str(path))) == 1
    monkeypatch.setattr(receipt_lines, '_CAP', len(one) - 1)
    with pytest.raises(UsageError, match=f'has more than {len(one) - 1} bytes, the limit'):
        read_receipts(str(path))


@pytest.mark.parametrize(('content', 'words'), [
    ('{"receipt": 2, "x": "' + 'a' * (17 << 20), 'a line has more than the 16777216 bytes that a receipt may have'),
    ('{"receipt": 2, "x": [' + '[],' * 1_000_000 + '0]}', 'more nested lists or objects than a receipt can have'),
    ('{"receipt": 2, "x": [' + '{},' * 1_000_000 + '0]}', 'more nested lists or objects than a receipt can have')])
def test_receipts_that_need_much_memory_are_refused(path: Path, content: str, words: str) -> None:
    path.write_text(content + '\n')
    with pytest.raises(InvalidReceipt, match=words):
        read_receipts(str(path))
    with pytest.raises(UsageError, match=f'{words}: choose another file'):
        ReceiptFile(str(path))


def test_a_file_of_many_receipts_is_checked_without_being_held(path: Path) -> None:
    path.write_text(line('one') * 400)
    tracemalloc.start()
    try:
        ReceiptFile(str(path))
        assert tracemalloc.get_traced_memory()[1] < path.stat().st_size / 2
    finally:
        tracemalloc.stop()


def test_of_several_receipts_for_one_image_the_last_counts(path: Path) -> None:
    path.write_text(line('one') + line('two') + line('one', verdict=VERIFIED))
    assert verdicts(path) == {'one': 'verified', 'two': ''}
