"""The file of receipts: only added to, shared by processes, never in place of something else."""
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from occystrap_core import OutputError, Receipt, UsageError, VerifyLevel
from occystrap_core.errors import InvalidReceipt
from occystrap_core.pipeline import receipt_file
from occystrap_core.pipeline.receipt_file import ReceiptFile, read_receipts
from occystrap_core.verification.receipt import RecordedVerdict
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


def test_the_proof_of_an_image_that_fails_now_stays(path: Path) -> None:
    write(path, receipt('one').with_verdict(VERIFIED), receipt('two').with_verdict(VERIFIED))
    offer('one')
    offer('two', image=broken)
    file = ReceiptFile(str(path))
    process('memory://one,two', receipts=file)
    file.close()
    assert verdicts(path) == {'one': 'verified', 'two': 'verified'}
    assert len(path.read_text().splitlines()) == 2, 'the line that a newer one replaces is still there'


@pytest.mark.parametrize('content', [b'#!/bin/sh\necho precious\n', b'precious', b'\0' * 512, b'{}\n', b'{"a": 1}'])
def test_what_is_no_receipt_file_is_left_alone(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(UsageError, match='holds no receipts: name another file, or give --force'):
        ReceiptFile(str(path))
    assert path.read_bytes() == content


def test_a_damaged_receipt_file_is_left_alone(path: Path) -> None:
    write(path, receipt('one'), receipt('two'))
    damaged = path.read_text().replace('"size": ', '"size": 1', 1)
    path.write_text(damaged)
    with pytest.raises(UsageError, match='its seal does not fit'):
        ReceiptFile(str(path))
    assert path.read_text() == damaged


def test_what_is_forced_is_replaced_when_there_is_something_to_say(path: Path) -> None:
    path.write_text('old')
    file = ReceiptFile(str(path), force=True)
    assert path.read_text() == 'old'
    file.add(receipt())
    file.close()
    assert verdicts(path) == {'one': ''}


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
    monkeypatch.setattr('occystrap_core.pipeline.receipt_file.os.fsync', refuse)
    offer('one', 'two')
    file = ReceiptFile(str(path))
    report = process('memory://one,two', receipts=file)
    assert not report.succeeded
    assert all('cannot write the receipt file' in image.failure for image in report.images)
    assert report.summary().endswith('0/2 verified, 2 FAILED')
    file.close()


WRITER = """
import sys
from occystrap_core import Receipt
from occystrap_core.pipeline import receipt_file
from occystrap_core.pipeline.receipt_file import ReceiptFile
from dataclasses import replace
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
