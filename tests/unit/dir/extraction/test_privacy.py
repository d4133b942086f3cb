"""Unpacked files are for those whom the receipts allow; what all users may change is reported."""
import os
from dataclasses import replace
from pathlib import Path

import pytest

from occystrap_core import CheckResults, Receipt, UsageError
from occystrap_core.testing.sample import sample_image
from occystrap_dir.extraction.privacy import check_privacy
from tests.services.requirements import require_root
from tests.unit.tar.archives import write


@pytest.fixture
def receipt(tmp_path: Path) -> Receipt:
    """The receipt of an unpacked image in `tmp_path/out`."""
    return write(sample_image(), f'mounts://{tmp_path}/out')


def findings(receipt: Receipt, keeps_out: str = 'layers', names: tuple[str, ...] = ()) -> list[str]:
    """Return what is reported."""
    results = CheckResults()
    check_privacy(receipt, keeps_out, names, results)
    return [str(each) for each in results.results]


@pytest.mark.parametrize(('mode', 'requested', 'is_right'), [
    (0o700, None, True), (0o600, None, True), (0o500, None, True), (0o000, None, True), (0o710, None, False),
    (0o701, None, False), (0o755, None, False), (0o755, '755', True), (0o750, '755', True), (0o751, '755', True),
    (0o775, '755', False), (0o757, '755', False), (0o1755, '755', False)])
def test_a_directory_keeps_others_out_as_requested(mode: int, requested: str | None, is_right: bool,
                                                   receipt: Receipt) -> None:
    receipt = replace(receipt, options={**receipt.options, 'mode': requested})
    os.chmod(f'{receipt.path}/layers', mode)
    expected = f'{int(requested or "700", 8):04o}'
    assert findings(receipt) == ([] if is_right else [
        f'layers: has mode {mode:04o} and lets other users in, expected {expected}: remove their permissions (chmod)'])


def test_other_images_in_the_directory_may_have_requested_more(receipt: Receipt, tmp_path: Path) -> None:
    write(sample_image('other:v1', variant='another'), f'mounts://{tmp_path}/out?mode=750')
    os.chmod(f'{receipt.path}/layers', 0o750)
    assert findings(receipt) == []
    os.chmod(f'{receipt.path}/layers', 0o751)
    assert findings(receipt) == [
        'layers: has mode 0751 and lets other users in, expected 0750: remove their permissions (chmod)']


def test_the_destination_itself_is_named_by_its_path(receipt: Receipt) -> None:
    os.chmod(receipt.path, 0o777)
    assert findings(receipt, '', ('',)) == [
        f'{receipt.path}: has mode 0777 and lets other users in, expected 0700: remove their permissions (chmod)',
        f'{receipt.path}: has mode 0777, so that all users may change it: remove that permission (chmod o-w)']


@pytest.mark.parametrize(('mode', 'is_open'), [(0o644, False), (0o664, False), (0o775, False), (0o646, True),
                                               (0o002, True)])
def test_files_that_all_users_may_change_are_reported(mode: int, is_open: bool, receipt: Receipt) -> None:
    os.chmod(f'{receipt.path}/mount.sh', mode)
    message = f'mount.sh: has mode {mode:04o}, so that all users may change it: remove that permission (chmod o-w)'
    assert findings(receipt, names=('mount.sh', 'none', 'mount.json')) == [message] * is_open


@pytest.mark.parametrize('name', ['', 'layers', 'mount.sh', 'mount.json'])
def test_files_of_other_users_are_reported(name: str, receipt: Receipt) -> None:
    require_root('another user')
    names = ('', 'layers', 'mount.sh', 'mount.json')
    os.chown(f'{receipt.path}/{name}', 1000, 1000)
    assert findings(receipt, names=names) == [
        f'{name or receipt.path}: belongs to user 1000, who may change it: give it to root, or to whoever wrote the '
        'rest (chown)']


def test_files_all_of_one_user_are_accepted(receipt: Receipt, monkeypatch: pytest.MonkeyPatch) -> None:
    require_root('another user')
    names = ('', 'layers', 'mount.sh', 'mount.json')
    for name in names:
        os.chown(f'{receipt.path}/{name}', 1000, 1000)
    assert findings(receipt, names=names) == []  # as root sees what user 1000 wrote
    os.chown(f'{receipt.path}/mount.sh', 0, 0)
    monkeypatch.setattr('os.geteuid', lambda: 1000)
    assert findings(receipt, names=names) == []  # as user 1000 sees what root added to
    monkeypatch.setattr('os.geteuid', lambda: 1001)
    assert len(findings(receipt, names=names)) == 3


def test_links_have_no_permissions_and_what_is_missing_is_not_reported_here(receipt: Receipt) -> None:
    os.symlink('x', f'{receipt.path}/link')
    assert findings(receipt, 'none', ('link',)) == [] and findings(receipt, 'link') == []


@pytest.mark.parametrize('before', [(), ('700',)])
def test_a_requested_mode_is_set_where_the_directory_exists(before: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / 'out').mkdir(0o700)
    for mode in (*before, '755'):
        write(sample_image(f'app:v{mode}'), f'mounts://{tmp_path}/out?mode={mode}')
    assert [os.stat(tmp_path / name).st_mode & 0o777 for name in ('out', 'out/layers')] == [0o755] * 2


def test_a_mode_for_a_directory_without_unpacked_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match='add expand=true'):
        write(sample_image(), f'dir://{tmp_path}/out?mode=0700')
