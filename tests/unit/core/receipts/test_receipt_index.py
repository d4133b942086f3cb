"""Receipts of --resume stay in their file: each is read when it is asked for, and costs little memory before."""
import json
import os
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest

from occystrap_core import Location, Settings, VerifyLevel
from occystrap_core.errors import UsageError
from occystrap_core.pipeline.run import Run
from occystrap_core.receipts.receipt_index import ReceiptIndex
from occystrap_core.report.progress import Progress
from occystrap_core.tasks.earlier_run import EarlierRun, receipt_key
from occystrap_core.verification.receipt import Receipt
from tests.unit.core.pipeline.memory import memory_plugins, offer


@pytest.fixture(scope='module')
def receipt() -> Receipt:
    """A verified receipt."""
    run = Run(memory_plugins(), Settings(), VerifyLevel.FAST, Progress())
    found = run.process(offer('one'), 'memory://shelf').images[0].recorded
    assert found
    return found


def place(number: int) -> Location:
    return Location('memory', f'shelf-{number}', {}, {})


def at(receipt: Receipt, number: int, digest: str = '') -> str:
    """Return a line for another destination."""
    moved = replace(receipt, path=place(number).path, place=f'/shelf-{number}')
    return f'{(replace(moved, reference=digest) if digest else moved).to_json()}\n'


def test_a_receipt_is_found_by_source_and_destination(receipt: Receipt, tmp_path: Path) -> None:
    (path := tmp_path / 'receipts').write_text(at(receipt, 1, 'old') + at(receipt, 2) + at(receipt, 1, 'new'))
    earlier = EarlierRun(index=ReceiptIndex(str(path), receipt_key))
    found = earlier.find(receipt.source, place(1))
    assert earlier and found and found.reference == 'new'
    assert not earlier.find('memory://two', place(1)) and not earlier.find(receipt.source, place(3))
    earlier.close()


def test_a_formatted_receipt_is_one(receipt: Receipt, tmp_path: Path) -> None:
    (path := tmp_path / 'receipt').write_text(json.dumps(json.loads(at(receipt, 1)), indent=2))
    earlier = EarlierRun(index=ReceiptIndex(str(path), receipt_key))
    assert earlier.find(receipt.source, place(1)) == Receipt.from_json(at(receipt, 1))
    earlier.close()


def test_an_incomplete_last_line_is_none(receipt: Receipt, tmp_path: Path) -> None:
    (path := tmp_path / 'receipts').write_text(at(receipt, 1) + at(receipt, 2)[:-1])
    earlier = EarlierRun(index=ReceiptIndex(str(path), receipt_key))
    assert earlier.find(receipt.source, place(1)) and not earlier.find(receipt.source, place(2))
    earlier.close()


@pytest.mark.parametrize('content', [b'0123.json\0without a line', b'[]', b'\n[1]'])
def test_something_else_without_a_line_is_refused(content: bytes, tmp_path: Path) -> None:
    (path := tmp_path / 'receipts').write_bytes(content)
    with pytest.raises(UsageError, match='is not a file of receipts'):
        ReceiptIndex(str(path), receipt_key)


def test_many_receipts_are_not_held(receipt: Receipt, tmp_path: Path) -> None:
    (path := tmp_path / 'receipts').write_text(''.join(at(receipt, number) for number in range(1000)))
    ReceiptIndex(str(path), receipt_key).close()  # what is imported and cached meanwhile does not count
    tracemalloc.start()
    try:
        with_index = EarlierRun(index=ReceiptIndex(str(path), receipt_key))
        assert tracemalloc.get_traced_memory()[0] < path.stat().st_size / 4
    finally:
        tracemalloc.stop()
    with_index.close()


def test_a_pipe_is_refused_when_it_would_be_read_again(receipt: Receipt) -> None:
    reading, writing = os.pipe()
    os.write(writing, at(receipt, 1).encode())
    os.close(writing)
    index = ReceiptIndex(f'/dev/fd/{reading}', receipt_key)
    with pytest.raises(UsageError, match='is a pipe'):
        index.line(receipt_key(Receipt.from_json(at(receipt, 1))))
    index.close()
    os.close(reading)
