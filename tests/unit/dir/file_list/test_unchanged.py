"""What was changed since it was written is not replaced, unless the user insists."""
import os
import shutil
from pathlib import Path

import pytest

from occystrap_core import CheckResults, Expectation, OutputError, Receipt, Settings
from occystrap_core.files import hash_file
from occystrap_core.oci import Digest
from occystrap_core.testing.sample import sample_image
from occystrap_dir.file_list.files_check import check_files, check_tree, read_head
from occystrap_dir.file_list.unchanged import require_documents, require_unchanged
from tests.unit.tar.archives import write

LIST = '.occystrap/rootfs.mtree'
FORCE = Settings(force=True)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """An unpacked image."""
    write(sample_image(), f'oci://{tmp_path}/out')
    return tmp_path / 'out'


def require(bundle: Path, *lists: str, settings: Settings = Settings()) -> None:
    require_unchanged(str(bundle), 'rootfs', settings, *(lists or [LIST]))


def test_unchanged_trees_may_be_replaced(bundle: Path) -> None:
    require(bundle)
    (bundle / 'rootfs/etc/hostname').unlink()  # no loss
    content = (bundle / 'rootfs/usr/bin/hello').read_bytes()
    found = (bundle / 'rootfs/usr/bin/hello').stat()
    (bundle / 'rootfs/usr/bin/hello').write_bytes(content[::-1])  # contents are not compared
    os.utime(bundle / 'rootfs/usr/bin/hello', ns=(found.st_atime_ns, found.st_mtime_ns))
    require(bundle)


def test_a_list_that_ends_in_gigabytes_of_zeros_is_not_read_whole(bundle: Path) -> None:
    os.truncate(bundle / LIST, 1 << 34)
    with pytest.raises(OutputError, match='has no readable list of the files that were written'):
        require(bundle)


def test_changed_files_are_named(bundle: Path) -> None:
    (bundle / 'rootfs/etc/mine').touch()
    with pytest.raises(OutputError,
                       match=r'out was changed since it was written \(rootfs/etc/mine: exists, but no layer has '
                             r'it\): move it away, or use --force'):
        require(bundle)
    require(bundle, settings=FORCE)


@pytest.mark.parametrize('make', [lambda path: None, Path.mkdir])
def test_an_empty_place_or_none_needs_no_list(make: object, bundle: Path) -> None:
    shutil.rmtree(bundle / 'rootfs')
    make(bundle / 'rootfs')  # type: ignore[operator]
    (bundle / LIST).unlink()
    require(bundle)


def test_a_file_in_the_place_of_the_tree_is_a_change(bundle: Path) -> None:
    shutil.rmtree(bundle / 'rootfs')
    (bundle / 'rootfs').touch()
    with pytest.raises(OutputError, match='rootfs: is missing'):
        require(bundle)


@pytest.mark.parametrize('damage', [lambda path: path.unlink(), lambda path: path.write_bytes(b'#mtree v2.0\n'),
                                    lambda path: path.write_bytes(path.read_bytes() + b'./a type=file mode=9\n')])
def test_without_a_readable_list_changes_cannot_be_detected(damage: object, bundle: Path) -> None:
    damage(bundle / LIST)  # type: ignore[operator]
    with pytest.raises(OutputError,
                       match=r'out/rootfs has no readable list of the files that were written \(.occystrap/rootfs.mtree'
                             r'\), so that changes cannot be detected: move it away'):
        require(bundle)
    require(bundle, settings=FORCE)


def test_of_several_lists_one_must_match(bundle: Path) -> None:
    require(bundle, 'none', LIST)
    require(bundle, LIST, 'none')
    with pytest.raises(OutputError, match=r'\(none\), so that changes cannot be detected'):
        require(bundle, 'none', 'nor this')


def test_documents_are_held_against_their_digests(tmp_path: Path) -> None:
    (tmp_path / 'a').write_bytes(b'a')
    (tmp_path / 'b').write_bytes(b'b')
    right, wrong = ('a', Digest.of(b'a')), ('b', Digest.of(b'x'))
    require_documents(str(tmp_path), [right, ('none', Digest.of(b''))], Settings())
    with pytest.raises(OutputError, match=r'was changed since it was written \(b\): move it away, or use --force'):
        require_documents(str(tmp_path), [right, wrong], Settings())
    require_documents(str(tmp_path), [right, wrong], FORCE)


def expected_list(bundle: Path) -> Expectation:
    return Expectation('files', LIST, *hash_file(str(bundle / LIST)))


def checked(bundle: Path, expected: Expectation, full: bool = False, name: str = 'rootfs') -> CheckResults:
    results = CheckResults()
    check_files(expected, str(bundle), name, full, Settings(), results)
    return results


@pytest.mark.parametrize('full', [False, True])
def test_a_list_that_is_right_is_walked(full: bool, bundle: Path, tmp_path: Path) -> None:
    expected = expected_list(bundle)
    found, walked = checked(bundle, expected, full).observations
    assert (found.size, found.digest) == (expected.size, expected.digest)
    assert walked.contents is full and walked.covers == read_head(str(bundle), LIST).covers != []


def test_a_list_of_another_size_is_not_read(bundle: Path) -> None:
    expected = expected_list(bundle)
    (bundle / LIST).write_bytes((bundle / LIST).read_bytes() + b'\n')
    found, = checked(bundle, expected).observations
    assert (found.size, found.digest) == (expected.size + 1, None)


def test_a_list_of_another_digest_proves_nothing(bundle: Path) -> None:
    expected = expected_list(bundle)
    raw = (bundle / LIST).read_bytes()
    (bundle / LIST).write_bytes(raw[:-2] + b'!' + raw[-1:])
    found, = checked(bundle, expected).observations
    assert found.size == expected.size and found.digest not in (None, expected.digest)


def test_differences_are_of_the_list_and_name_their_entry(bundle: Path) -> None:
    (bundle / 'rootfs/etc/hostname').chmod(0o600)
    _, differs, walked = checked(bundle, expected_list(bundle)).observations
    assert (differs.item, differs.reason) == ('rootfs/etc/hostname', 'mode is 0600, expected 0644')
    assert walked.contents is False


def test_a_tree_that_is_not_there_is_missing(bundle: Path) -> None:
    results = CheckResults()
    head = check_tree(str(bundle), LIST, 'none', True, Settings(), results)
    assert [str(each) for each in results.results] == ['none: is missing'] and head == read_head(str(bundle), LIST)


def test_receipts_name_the_list(tmp_path: Path) -> None:
    receipt: Receipt = write(sample_image(), f'oci://{tmp_path}/out')
    assert [each.locator for each in receipt.of_kind('files')] == [LIST]
