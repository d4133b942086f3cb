"""Programs that an image brings with setuid are not for other users of the host, unless they are let in."""
import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hostile.extraction.stacks import directory, file, layer, save_image, with_xattrs
from tests.hostile.extraction.test_access_lists import LIST, acl
from tests.hostile.in_process import run_here
from tests.services.requirements import require_program, require_root

OTHER = 1000
PLACES = {'oci': ('oci://{}', '', 'rootfs'), 'mounts': ('mounts://{}', 'layers', 'layers/*'),
          'dir': ('dir://{}?expand=true', '', 'manifest')}
"""For each kind of unpacked image its URI, the directory that keeps others out, and where the files are."""


@pytest.fixture(params=PLACES)
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of unpacked image."""
    return str(request.param)


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that is not there, in one that everybody may enter; the current one, as those above are private."""
    tmp_path.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    return tmp_path / 'out'


@pytest.fixture
def copy(kind: str, out: Path, tmp_path: Path) -> Callable[..., None]:
    """Copies an image with a setuid program; its root is another user's, and lets one in by a list."""
    require_root('another user')
    program = Path(require_program('id')).read_bytes()
    top = {'uid': OTHER, 'gid': OTHER, 'mode': 0o755, 'pax': with_xattrs(system__posix_acl_access=acl(*LIST))}
    source = save_image(tmp_path / 'image.tar', layer(directory('./', **top), directory('bin'),
                                                      file('bin/id', program, mode=0o4755)))

    def run(option: str = '') -> None:
        uri = PLACES[kind][0].format(out)
        joined = f'{uri}{"&" if "?" in uri else "?"}{option}' if option else uri
        run_here('process', f'tar://{source}', joined, '--verify=full').assert_success()
        run_here('verify', uri.partition('?')[0], '--full').assert_success()
    return run


def run_as_other(kind: str) -> 'subprocess.CompletedProcess[str]':
    """Run the image's setuid program as another user."""
    found, = Path('out').glob(f'{PLACES[kind][2]}/bin/id')
    words = [require_program('setpriv'), f'--reuid={OTHER}', f'--regid={OTHER}', '--clear-groups',
             'sh', '-c', 'exec "$0" -u', found]  # setpriv itself still has root's capabilities
    return subprocess.run(words, capture_output=True, text=True, timeout=30)


@pytest.mark.parametrize('is_there', [False, True])
def test_other_users_cannot_run_what_is_unpacked(is_there: bool, kind: str, out: Path, copy: Callable[..., None],
                                                 ) -> None:
    if is_there and kind != 'oci':
        out.mkdir(0o755)
    copy()
    private = (out / PLACES[kind][1]).stat()
    assert (stat.S_IMODE(private.st_mode), private.st_uid) == (0o700, 0)
    ran = run_as_other(kind)
    assert ran.returncode and 'Permission denied' in ran.stderr


def test_the_image_has_its_own_modes_within(kind: str, out: Path, copy: Callable[..., None]) -> None:
    copy()
    top, = out.glob(PLACES[kind][2])
    assert (stat.S_IMODE(top.stat().st_mode), top.stat().st_uid) == (0o755, OTHER)
    assert stat.S_IMODE((top / 'bin/id').stat().st_mode) == 0o4755


def test_others_are_let_in_on_demand(kind: str, out: Path, copy: Callable[..., None]) -> None:
    copy('mode=0755')
    assert stat.S_IMODE((out / PLACES[kind][1]).stat().st_mode) == 0o755
    assert run_as_other(kind).stdout == '0\n'
    copy()
    assert run_as_other(kind).returncode


def test_directories_left_open_by_an_earlier_version_are_closed(kind: str, out: Path,
                                                                copy: Callable[..., None]) -> None:
    copy()
    for name in (PLACES[kind][1], '.occystrap/unpacking'):
        if (out / name).exists():
            (out / name).chmod(0o755)
    copy()
    assert run_as_other(kind).returncode
    for name in ('.occystrap/unpacking', PLACES[kind][1]):
        assert not (out / name).exists() or stat.S_IMODE((out / name).stat().st_mode) == 0o700


@pytest.mark.parametrize('mode', ['755x', '0', '8', '0077', 'rwx'])
def test_invalid_modes(mode: str, kind: str, out: Path, tmp_path: Path) -> None:
    uri = PLACES[kind][0].format(out)
    result = run_here('process', f'tar://{tmp_path}/x', f'{uri}{"&" if "?" in uri else "?"}mode={mode}')
    assert result.code == 2 and 'expected an octal mode such as 0700, 0711 or 0755' in result.err
    assert not os.path.lexists(out)
