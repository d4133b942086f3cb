"""Everything that the verifier claims to see, it sees, and names."""
import bz2
import gzip
import io
import lzma
import os
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import zstandard

from occystrap_core.oci import INDEX_FILE
from occystrap_core.plugins.resolver import destination_location
from occystrap_core.settings import VerifyLevel
from occystrap_core.testing.sample import sample_image
from occystrap_core.verification.expectation import Expectation
from occystrap_core.verification.receipt import Receipt
from occystrap_core.verification.results import Outcome
from occystrap_tar.archive.moved_receipt import moved
from tests.services.installed import installed_plugins
from tests.unit.tar.archives import verify, write

Change = Callable[[str, bytes], list[tuple[str, bytes]]]
FAST, FULL = VerifyLevel.FAST, VerifyLevel.FULL


@pytest.fixture(params=['docker', 'oci'])
def receipt(request: pytest.FixtureRequest, tmp_path: Path) -> Receipt:
    """The receipt of the sample image, written to out.tar."""
    return write(sample_image(), f'tar://{tmp_path}/out.tar?format={request.param}')


def rebuild(receipt: Receipt, change: Change) -> None:
    """Write the archive again with each member replaced by what `change` returns; ends just as ours do."""
    target = io.BytesIO()
    with tarfile.open(receipt.path) as before:
        for member in before.getmembers():
            reader = before.extractfile(member)
            for name, content in change(member.name, reader.read() if reader else b''):
                header = tarfile.TarInfo(name)
                header.size = len(content)
                target.write(header.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % 512))
    Path(receipt.path).write_bytes(target.getvalue() + bytes(1024))


@pytest.mark.parametrize(('name', 'compress'), [
    ('gzip', gzip.compress), ('zstd', zstandard.compress), ('xz', lzma.compress), ('bzip2', bz2.compress)])
@pytest.mark.parametrize('level', [FAST, FULL])
def test_an_archive_that_was_compressed_later_is_not_called_damaged(
        receipt: Receipt, name: str, compress: Callable[[bytes], bytes], level: VerifyLevel) -> None:
    Path(receipt.path).write_bytes(compress(Path(receipt.path).read_bytes()))
    results = verify(receipt, level)
    assert results.outcome is Outcome.UNVERIFIED
    assert f'is compressed with {name}: decompress it first' in str(results.findings)


def member(expectation: Expectation) -> str:
    """Return the name of the member that has what is expected."""
    return INDEX_FILE if expectation.kind == 'entry' else expectation.locator


def flipped(content: bytes) -> bytes:
    """Return the content with one bit changed in the middle."""
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 4]) + content[middle + 1:]


@pytest.mark.parametrize('level', [FAST, FULL])
def test_complete_archives_are_verified(receipt: Receipt, level: VerifyLevel) -> None:
    results = verify(receipt, level)
    assert results.outcome is Outcome.VERIFIED and not results.findings
    rebuild(receipt, lambda name, content: [(name, content)])
    assert verify(receipt, level).outcome is Outcome.VERIFIED


DAMAGES: dict[str, Callable[[str, bytes], list[tuple[str, bytes]]]] = {
    'missing': lambda name, content: [],
    'truncated': lambda name, content: [(name, content[:-1])],
    'longer': lambda name, content: [(name, content + b'\0')],
    'twice': lambda name, content: [(name, content), (name, content)],
    'renamed': lambda name, content: [(f'{name}x', content)],
    'empty': lambda name, content: [(name, b'')],
}


def headers(receipt: Receipt) -> dict[str, int]:
    """Return where the header of each member is."""
    with tarfile.open(receipt.path) as archive:
        return {member.name: member.offset for member in archive}


@pytest.mark.parametrize('flip', [1, 0x20])
def test_any_flipped_byte_of_a_header_is_seen(receipt: Receipt, flip: int) -> None:
    path = Path(receipt.path)
    whole = path.read_bytes()
    for start in headers(receipt).values():
        for position in (*range(start, start + 512, 37), *range(start + 148, start + 156)):
            path.write_bytes(whole[:position] + bytes([whole[position] ^ flip]) + whole[position + 1:])
            assert verify(receipt, FAST).outcome is Outcome.FAILED, f'a flipped byte at {position} was not seen'


def test_a_damaged_header_is_named(receipt: Receipt) -> None:
    path = Path(receipt.path)
    whole = path.read_bytes()
    for name, start in headers(receipt).items():
        for position in (start, start + 150, start + 155):
            path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1:])
            named = name if start or position == 155 else receipt.path  # without its first header it is no tar
            problems = verify(receipt, FAST).problems
            assert any(named in result.item or (named == INDEX_FILE and 'entry' in result.item) for result in problems)


@pytest.mark.parametrize('level', [FAST, FULL])
@pytest.mark.parametrize('damage', DAMAGES)
def test_each_member_damaged_is_named(receipt: Receipt, damage: str, level: VerifyLevel) -> None:
    whole = Path(receipt.path).read_bytes()
    for expectation in receipt.expectations:
        rebuild(receipt, lambda name, content: DAMAGES[damage](name, content) if name == member(expectation)
                else [(name, content)])
        results = verify(receipt, level)
        assert results.outcome is Outcome.FAILED
        assert any(expectation.locator in result.item or member(expectation) in result.item
                   for result in results.problems)
        Path(receipt.path).write_bytes(whole)


def test_flipped_bit_in_a_document_is_seen_by_both_and_in_a_layer_by_full(receipt: Receipt) -> None:
    whole = Path(receipt.path).read_bytes()
    for expectation in receipt.expectations:
        rebuild(receipt, lambda name, content: [(name, flipped(content) if name == member(expectation) else content)])
        fast, full = verify(receipt, FAST), verify(receipt, FULL)
        assert full.outcome is Outcome.FAILED
        assert any(expectation.locator in each.item or member(expectation) in each.item for each in full.problems)
        assert fast.outcome is (Outcome.VERIFIED if expectation.kind == 'layer' else Outcome.FAILED)
        Path(receipt.path).write_bytes(whole)


def test_any_flipped_byte_is_seen_by_full(receipt: Receipt) -> None:
    path = Path(receipt.path)
    whole = path.read_bytes()
    for position in range(0, len(whole), 397):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1:])
        assert verify(receipt, FULL).outcome is Outcome.FAILED, f'a flipped byte at {position} was not seen'


def test_two_layers_swapped(receipt: Receipt) -> None:
    names = [each.locator for each in receipt.of_kind('layer')]
    swap = {names[0]: names[1], names[1]: names[0]}
    rebuild(receipt, lambda name, content: [(swap.get(name, name), content)])
    assert verify(receipt, FAST).outcome is Outcome.FAILED


def test_something_extra(receipt: Receipt) -> None:
    rebuild(receipt, lambda name, content: [(name, content), (f'extra-{name}', b'x')])
    results = verify(receipt, FAST)
    assert results.outcome is Outcome.FAILED and 'extra-' in results.problems[0].item


@pytest.mark.parametrize('cut', [1, 512, 1024, 1025, 5000, 20000])
def test_cut_at_the_end(receipt: Receipt, cut: int) -> None:
    os.truncate(receipt.path, os.path.getsize(receipt.path) - min(cut, os.path.getsize(receipt.path)))
    results = verify(receipt, FAST)
    assert results.outcome is Outcome.FAILED and 'out.tar' in str(results.problems[0])
    assert 'is cut off' in ' '.join(map(str, results.problems))
    gone = [str(each) for each in results.problems if 'is not in' in str(each)]
    assert all('out.tar, which is cut off or damaged' in each for each in gone) and (gone or cut != 5000)


def test_a_missing_archive_or_a_directory_in_its_place(receipt: Receipt) -> None:
    path = Path(receipt.path)
    path.unlink()
    results = verify(receipt, FAST)
    assert results.outcome is Outcome.FAILED and 'does not exist' in str(results.problems[0])
    path.mkdir()
    results = verify(receipt, FAST)
    assert results.outcome is Outcome.FAILED and 'is not a regular file' in str(results.problems[0])
    path.rmdir()
    path.write_text('something else\n' * 100)
    results = verify(receipt, FAST)
    assert results.outcome is Outcome.FAILED and str(results.problems[0]).startswith(f'{path}: is not a tar archive')
    results = verify(replace(receipt, path=f'{path}/out.tar'), FAST)
    assert results.outcome is Outcome.FAILED
    assert str(results.problems[0]) == f'{path}/out.tar: is not an archive: Not a directory'


def test_an_archive_whose_index_is_damaged_is_no_oci_archive(tmp_path: Path) -> None:
    receipt = write(sample_image(), f'tar://{tmp_path}/out.tar?format=oci')
    rebuild(receipt, lambda name, content: [(name, b'{}' if name == INDEX_FILE else content)])
    location = destination_location(installed_plugins(), f'tar://{receipt.path}?tag=sample:v1')
    results = verify(moved(receipt, location), FAST)
    assert results.outcome is Outcome.FAILED
    assert f'{receipt.path}: is not an OCI archive: index.json: ' in '\n'.join(map(str, results.problems))


def test_a_link_in_place_of_a_member(receipt: Receipt) -> None:
    victim = receipt.of_kind('layer')[0].locator
    rebuild(receipt, lambda name, content: [(f'{name}.real', content) if name == victim else (name, content)])
    with tarfile.open(receipt.path, 'a') as archive:
        link = tarfile.TarInfo(victim)
        link.type, link.linkname = tarfile.SYMTYPE, f'{victim}.real'.rpartition('/')[2]
        archive.addfile(link)
    results = verify(receipt, FAST)
    assert results.outcome is Outcome.FAILED and any(victim in result.item for result in results.problems)


@pytest.mark.parametrize('level', [FAST, FULL])
def test_unreadable_files_are_unverified(receipt: Receipt, level: VerifyLevel, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise PermissionError(13, 'Permission denied')
    monkeypatch.setattr('occystrap_tar.verifier.hash_file', refuse)
    monkeypatch.setattr('occystrap_tar.verifier.DeviceFile', refuse)
    results = verify(receipt, level)
    hashed = [each for each in receipt.expectations
              if each.kind != 'entry' and (level is FULL or each.kind != 'layer')]
    assert results.outcome is Outcome.UNVERIFIED and len(results.problems) == len(hashed)
    monkeypatch.setattr('occystrap_tar.verifier.WrittenArchive', refuse)
    results = verify(receipt, level)
    assert results.outcome is Outcome.UNVERIFIED and 'Permission denied' in str(results.problems[0])
