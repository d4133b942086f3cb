"""Who may get at unpacked images, and change what is written beside them, is verified at both levels."""
import os
import stat
import subprocess
from pathlib import Path

import pytest

from tests.hostile.extraction.stacks import file, layer, save_image
from tests.hostile.in_process import run_here
from tests.services.requirements import require_root

OPENED = {'oci://out': 'out', 'mounts://out': 'out/layers', 'dir://out?expand=true': 'out'}
CHANGED = {
    'oci://out': ['', 'config.json', '.occystrap', '.occystrap/rootfs.mtree', '.occystrap/receipts',
                  '.occystrap/receipts/bundle.json'],
    'mounts://out': ['', 'mount.json', 'mount.sh', 'layers', '.occystrap', '.occystrap/trees', '.occystrap/receipts',
                     '.occystrap/trees/*', '.occystrap/receipts/*'],
    'dir://out?expand=true': ['', 'manifest.json', 'catalog.json', '.occystrap/trees', '.occystrap/trees/*']}


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with two archives."""
    monkeypatch.chdir(tmp_path)
    for name in ('a', 'b'):
        save_image(tmp_path / f'{name}.tar', layer(file(name, b'f', mode=0o4755)))
    return tmp_path


@pytest.mark.parametrize('level', ['fast', 'full'])
@pytest.mark.parametrize('uri', OPENED)
def test_a_directory_that_lets_others_in_is_seen(uri: str, level: str, here: Path) -> None:
    run_here('process', 'tar://a.tar', uri).assert_success()
    for mode in (0o755, 0o711, 0o701, 0o750, 0o710):
        os.chmod(OPENED[uri], mode)
        result = run_here('verify', uri.partition('?')[0], f'--verify={level}')
        result.assert_code(1)
        assert f'has mode {mode:04o} and lets other users in, expected 0700' in result.err, result
    os.chmod(OPENED[uri], 0o700)
    run_here('verify', uri.partition('?')[0], f'--verify={level}').assert_success()


@pytest.mark.parametrize('uri', OPENED)
def test_requested_modes_are_accepted(uri: str, here: Path) -> None:
    joined = f'{uri}{"&" if "?" in uri else "?"}mode=0755'
    run_here('process', 'tar://a.tar', joined).assert_success()
    run_here('verify', uri.partition('?')[0], '--full').assert_success()
    os.chmod(OPENED[uri], 0o700)
    run_here('verify', uri.partition('?')[0]).assert_success()


def test_images_that_share_layers_may_ask_for_different_modes(here: Path) -> None:
    run_here('process', 'tar://a.tar', 'mounts://out').assert_success()
    save_image(here / 'c.tar', layer(file('c', b'c')))
    for source, mode in (('b', '0711'), ('c', '0700')):
        run_here('process', f'tar://{source}.tar', f'mounts://out?mode={mode}').assert_success()
        run_here('verify', 'mounts://out').assert_success()


@pytest.mark.parametrize('level', ['fast', 'full'])
@pytest.mark.parametrize(('uri', 'pattern'), [(uri, each) for uri, names in CHANGED.items() for each in names])
def test_files_writable_by_all_are_reported(uri: str, pattern: str, level: str, here: Path) -> None:
    run_here('process', 'tar://a.tar', uri).assert_success()
    paths = list((here / 'out').glob(pattern)) if pattern else [here / 'out']
    for path in paths:
        mode = path.stat().st_mode & 0o7777
        path.chmod(mode | 0o002)
        result = run_here('verify', uri.partition('?')[0], f'--verify={level}')
        result.assert_code(1)
        assert 'all users may change it' in result.err or 'lets other users in' in result.err, result
        path.chmod(mode)
    assert paths
    run_here('verify', uri.partition('?')[0], f'--verify={level}').assert_success()


@pytest.mark.parametrize('uri', OPENED)
def test_a_directory_of_another_user_becomes_root_s(uri: str, here: Path) -> None:
    require_root('another user')
    (here / 'out').mkdir()
    os.chown(here / 'out', 1000, -1)
    result = run_here('process', 'tar://a.tar', uri, '--verify=full').assert_success()
    assert (here / 'out').stat().st_uid == 0
    assert ('belongs to root now, since user 1000 could' in result.err) == (not uri.startswith('oci'))


@pytest.mark.parametrize('uri', OPENED)
def test_whatever_the_umask_is_the_result_is_right(uri: str, here: Path) -> None:
    if uri.startswith('mounts'):
        (here / 'out').mkdir()
        (here / 'out').chmod(0o777)
    before = os.umask(0)
    try:
        result = run_here('process', 'tar://a.tar', uri, '--verify=full').assert_success()
    finally:
        os.umask(before)
    assert ('is not writable for all users any more' in result.err) == uri.startswith('mounts')


@pytest.mark.parametrize('uri', OPENED)
def test_a_umask_that_takes_execution_away(uri: str, here: Path) -> None:
    before = os.umask(0o111)
    try:
        run_here('process', 'tar://a.tar', uri, '--verify=full').assert_success()
    finally:
        os.umask(before)


def test_a_script_that_cannot_be_executed(here: Path) -> None:
    run_here('process', 'tar://a.tar', 'mounts://out').assert_success()
    script = here / 'out/mount.sh'
    script.chmod(script.stat().st_mode & ~stat.S_IXUSR)
    assert 'mount.sh: is not executable' in run_here('verify', 'mounts://out').assert_code(1).err


def test_what_was_carried_to_a_file_system_without_execution(here: Path) -> None:
    require_root('a mount')
    (here / 'out').mkdir()
    subprocess.run(['mount', '-t', 'tmpfs', '-o', 'noexec,nosuid,nodev', 'tmpfs', here / 'out'], check=True)
    try:
        run_here('process', 'tar://a.tar', 'mounts://out', '--verify=full').assert_success()
    finally:
        subprocess.run(['umount', here / 'out'], check=True)
