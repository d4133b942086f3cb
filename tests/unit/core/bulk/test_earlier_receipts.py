"""The file of --resume is closed when it was read, and when it cannot be."""
import os
from pathlib import Path

import pytest

from occystrap_core import OccystrapError
from occystrap_core.bulk.earlier_receipts import EarlierReceipts


def is_open(path: Path) -> bool:
    """Return whether this process has a file open."""
    return str(path) in {os.path.realpath(f'/proc/self/fd/{each}') for each in os.listdir('/proc/self/fd')}


def test_the_file_is_closed(tmp_path: Path) -> None:
    (path := tmp_path / 'receipts').write_bytes(b'')
    earlier = EarlierReceipts(str(path))
    assert is_open(path) and not earlier
    earlier.close()
    assert not is_open(path)


def test_the_file_is_closed_if_it_has_no_receipts(tmp_path: Path) -> None:
    (path := tmp_path / 'receipts').write_bytes(b'nothing\n')
    with pytest.raises(OccystrapError) as caught:
        EarlierReceipts(str(path))
    assert not is_open(path), caught.traceback  # which has the object, and so the file
