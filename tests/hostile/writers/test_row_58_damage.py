"""HOSTILE 58: of what was written no byte can change without `--verify=full`, nothing be cut or gone without `--verify`
seeing it."""
import os
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from occystrap_core.errors import InvalidReceipt, UsageError
from occystrap_core.receipts.destination_check import verify_receipt
from occystrap_core.receipts.receipt_lines import read_receipts
from occystrap_core.settings import Settings, VerifyLevel
from occystrap_core.verification.receipt import Receipt
from occystrap_core.verification.results import Outcome
from tests.hostile.in_process import run_here
from tests.hostile.writers.images import OLD
from tests.hostile.writers.places import DESTINATIONS, InDirectory, Place
from tests.services.installed import installed_plugins

FAST, FULL = VerifyLevel.FAST, VerifyLevel.FULL
REACHABLE = [name for name in DESTINATIONS if name != 'docker']
KEEPING = [name for name in DESTINATIONS if name.startswith('dir')]
IN_EACH_FILE = 4
BLOCK = 512
PLUGINS = installed_plugins()
pytestmark = pytest.mark.parametrize('destination', REACHABLE, indirect=True)


def outcome(receipt: Receipt, level: VerifyLevel) -> Outcome:
    """What `occystrap verify` says."""
    return verify_receipt(PLUGINS, receipt, level, Settings(retries=0, jobs=2)).outcome


@pytest.fixture
def receipt(place: Place, archives: dict[str, str], tmp_path: Path) -> Receipt:
    """The receipt of an image that was just written to the place, and is all right."""
    run_here('process', archives[OLD], place.uri, '--receipt', tmp_path / 'receipt').assert_success()
    written, = read_receipts(str(tmp_path / 'receipt'))
    assert outcome(written, FAST) is outcome(written, FULL) is Outcome.VERIFIED and place.files()
    return written


def flips(path: Path, chances: random.Random) -> Iterator[tuple[int, int]]:
    """Yield places in a file, its first and last byte among them, and the bits to turn over there."""
    size = path.stat().st_size
    anywhere = {0, size - 1, *(chances.randrange(size) for _ in range(IN_EACH_FILE))}
    if path.name == 'out':  # an archive: any byte of any block of headers, padding and end
        blocks = [start for start in range(0, size, BLOCK)
                  if start + BLOCK > size - 3 * BLOCK or _is_header(path, start)]
        anywhere |= {start + chances.randrange(BLOCK) for start in blocks for _ in range(IN_EACH_FILE)}
        anywhere |= {start + place for start in blocks for place in range(148, 156)}
    for place in sorted(anywhere):
        yield place, chances.choice([0xff, *(1 << bit for bit in range(8))])


def _is_header(path: Path, start: int) -> bool:
    with path.open('rb') as file:
        file.seek(start)
        return file.read(BLOCK)[257:262] == b'ustar'


@contextmanager
def with_old_times(*paths: Path) -> Iterator[None]:
    """Give files and directories, once they were changed, the times that they had before."""
    before = {path: path.stat() for path in paths}
    yield
    for path, was in before.items():
        os.utime(path, ns=(was.st_atime_ns, was.st_mtime_ns))


def flip(path: Path, place: int, mask: int) -> None:
    with with_old_times(path), path.open('r+b') as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ mask]))


def test_58_any_flipped_byte_is_seen(place: Place, receipt: Receipt) -> None:
    chances = random.Random(58)
    for path in place.files():
        for position, mask in flips(path, chances):
            flip(path, position, mask)
            found = outcome(receipt, FULL)
            flip(path, position, mask)
            assert found is Outcome.FAILED, f'byte {position} of {path} ^ {mask:#04x} was not seen'
    assert outcome(receipt, FULL) is Outcome.VERIFIED


@pytest.mark.parametrize('cut', [lambda size: 0, lambda size: size // 2, lambda size: size - 1],
                         ids=['emptied', 'half of it', 'the last byte'])
def test_58_whatever_is_cut_is_seen_fast(cut: Callable[[int], int], place: Place, receipt: Receipt) -> None:
    for path in place.files():
        content = path.read_bytes()
        with with_old_times(path):
            path.write_bytes(content[:cut(len(content))])
        assert outcome(receipt, FAST) is Outcome.FAILED, f'{path} was cut and that was not seen'
        with with_old_times(path):
            path.write_bytes(content)
    assert outcome(receipt, FULL) is Outcome.VERIFIED


def test_58_fast_verification_finds_every_missing_file(place: Place, receipt: Receipt, tmp_path: Path) -> None:
    for path in place.files():
        with with_old_times(path.parent):
            path.rename(tmp_path / 'aside')
        assert outcome(receipt, FAST) is Outcome.FAILED, f'{path} is gone and that was not seen'
        with with_old_times(path.parent):
            (tmp_path / 'aside').rename(path)
    assert outcome(receipt, FULL) is Outcome.VERIFIED


def test_58_fast_verification_finds_a_missing_directory(place: Place, receipt: Receipt, tmp_path: Path) -> None:
    for directory in {path.parent for path in place.files()}:
        with with_old_times(directory.parent):
            directory.rename(tmp_path / 'aside')
        assert outcome(receipt, FAST) is not Outcome.VERIFIED, f'{directory} is gone and was not seen'
        with with_old_times(directory.parent):
            (tmp_path / 'aside').rename(directory)
    assert outcome(receipt, FULL) is Outcome.VERIFIED


def test_58_an_archive_cut_anywhere_is_seen_fast(place: Place, receipt: Receipt) -> None:
    path = place.files()[0]
    if path.name == 'out':
        whole, chances = path.read_bytes(), random.Random(58)
        for size in sorted({*range(0, len(whole), 4096), *(chances.randrange(len(whole)) for _ in range(50))}):
            path.write_bytes(whole[:size])
            assert outcome(receipt, FAST) is Outcome.FAILED, f'cut to {size} bytes'


def test_58_the_receipt_that_a_directory_keeps(destination: str, place: Place, receipt: Receipt) -> None:
    if destination not in KEEPING:
        return
    assert isinstance(place, InDirectory)
    kept, = (place.path / '.occystrap/receipts').glob('*.json')
    whole, chances = kept.read_bytes(), random.Random(58)
    for size in (0, 1, len(whole) // 2, len(whole) - 2):
        kept.write_bytes(whole[:size])
        run_here('verify', f'dir://{place.path}').assert_code(1)
    for position in [chances.randrange(len(whole) - 1) for _ in range(60)]:
        kept.write_bytes(whole[:position] + bytes([whole[position] ^ 1 << chances.randrange(8)]) + whole[position + 1:])
        assert of_kept(kept, place.path) is not Outcome.VERIFIED, f'byte {position} of the receipt was not seen'
    kept.unlink()
    run_here('verify', f'dir://{place.path}').assert_code(1)


def of_kept(kept: Path, path: Path) -> Outcome:
    """What `occystrap verify dir://…` makes of a kept receipt."""
    try:
        receipt, = read_receipts(str(kept))
    except (InvalidReceipt, UsageError):
        return Outcome.FAILED
    return outcome(replace(receipt, path=str(path)), FULL)
