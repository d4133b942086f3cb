"""A destination of another user, in which links, pipes and names of other files are planted wherever this program
works: what they lead to is never read into the image, changed or removed, and nothing is waited for."""
import os
import signal
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import pytest

from tests.hostile.in_process import run_here
from tests.hostile.refusals import is_refused
from tests.hostile.writers.images import NEW, OLD
from tests.hostile.writers.places import DESTINATIONS, IN_DIRECTORIES, InDirectory, Place
from tests.services.command_line import CommandResult

DIRECTORIES = [name for name in IN_DIRECTORIES if 'tar' not in name]
UNLISTED = ['.occystrap', '.occystrap/temporary', '.occystrap/receipts', '.occystrap/active', '.occystrap/lock',
            '.occystrap/unpacking', '.occystrap/trees', '.occystrap/empty', '.occystrap/userxattr', 'blobs',
            'blobs/sha256', 'layers', 'manifest']
"""What a run makes and may have removed at its end."""
Copy = Callable[[str], CommandResult]


@pytest.fixture
def copy(place: Place, archives: dict[str, str]) -> Iterator[Copy]:
    """Copies an image to the place within 30 seconds."""
    def give_up(number: int, frame: FrameType | None) -> None:
        raise AssertionError('the run waits for something planted')
    before = signal.signal(signal.SIGALRM, give_up)

    def run(variant: str) -> CommandResult:
        signal.alarm(30)
        try:
            return run_here('process', archives[variant], place.uri)
        finally:
            signal.alarm(0)
    yield run
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def out(place: Place) -> Path:
    """The directory that is written to."""
    assert isinstance(place, InDirectory)
    return place.path


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A directory of the user, with something of each kind that a run looks for."""
    home = tmp_path / 'home'
    for name in ('docs', 'x.run', '.image.occystrap-0123456789abcdef', '.layer.occystrap-0123456789abcdef', 'sha256'):
        (home / name).mkdir(parents=True)
        (home / name / 'thesis.txt').write_text('a thesis')
    (home / 'id_rsa').write_text('a key')
    return home


def state(directory: Path) -> dict[str, object]:
    """All that is in a directory: kinds, modes, owners, times of change, contents."""
    found = {}
    for path in [directory, *sorted(directory.rglob('*'))]:
        status = path.lstat()
        content = path.read_bytes() if stat.S_ISREG(status.st_mode) else b''
        found[str(path)] = (status.st_mode, status.st_uid, status.st_ino, status.st_mtime_ns, content)
    return found


def ours(directory: Path) -> list[str]:
    """The names that a run uses in a directory: no content of trees, which is the image's own."""
    names = [str(path.relative_to(directory)) for path in sorted(directory.rglob('*'))]
    trees = ('rootfs/', 'layers/', 'manifest/')
    return [name for name in names if not name.startswith(trees) or name.count('/') < name.startswith('layers/') + 1]


@pytest.mark.parametrize('destination', DIRECTORIES, indirect=True)
@pytest.mark.parametrize('planted', UNLISTED)
def test_a_link_where_a_run_makes_a_directory(planted: str, out: Path, copy: Copy, outside: Path) -> None:
    (out / planted).parent.mkdir(parents=True)
    if not planted.startswith('.occystrap'):
        (out / '.occystrap').mkdir()
    (out / planted).symlink_to(os.path.relpath(outside, (out / planted).parent))
    before = state(outside)
    result = copy(OLD)
    assert state(outside) == before
    if result.code or planted in ('.occystrap', '.occystrap/temporary', '.occystrap/receipts'):
        is_refused(result, str(out))


@pytest.mark.parametrize('destination', DIRECTORIES, indirect=True)
def test_a_link_instead_of_each_name_in_turn(out: Path, copy: Copy, tmp_path: Path) -> None:
    copy(OLD).assert_success()
    whole, kept = tmp_path / 'whole', tmp_path / 'kept'
    subprocess.run(['cp', '-a', out, whole], check=True)
    for name in ours(whole):
        for path in (out, kept):
            subprocess.run(['rm', '-rf', path], check=True)
        subprocess.run(['cp', '-a', whole, out], check=True)
        is_directory = (out / name).is_dir()
        (out / name).rename(kept)
        (out / name).symlink_to(kept)
        if is_directory:
            (kept / 'thesis.txt').write_text('a thesis')
        before = state(kept)
        result = copy(NEW)
        assert state(kept) == before, f'{name} led out'
        is_used = name.startswith('.occystrap') and not name.startswith('.occystrap/trees/')  # these are of one image
        if result.code or is_directory and is_used:
            is_refused(result, str(out))


@pytest.mark.parametrize('destination', DIRECTORIES, indirect=True)
@pytest.mark.parametrize('kind', ['pipe', 'device'])
def test_no_pipe_or_device_is_opened(kind: str, out: Path, copy: Copy) -> None:
    copy(OLD).assert_success()
    (out / '.occystrap/temporary').mkdir(exist_ok=True)
    names = [name for name in ours(out) if (out / name).is_file()]
    names += ['.occystrap/lock', '.occystrap/active', '.occystrap/temporary/x.run', '.occystrap/receipts/x.json']
    for name in names:
        (out / name).unlink(missing_ok=True)
        if (out / name).parent.is_dir():
            os.mkfifo(out / name) if kind == 'pipe' else os.mknod(out / name, stat.S_IFCHR | 0o600, os.makedev(1, 7))
    result = copy(NEW)
    if result.code:
        is_refused(result, str(out))


@pytest.mark.parametrize('destination', DIRECTORIES, indirect=True)
def test_no_file_is_written_to_that_has_another_name(out: Path, copy: Copy, outside: Path) -> None:
    copy(OLD).assert_success()
    for number, name in enumerate(ours(out)):
        if (out / name).is_file():
            os.link(out / name, outside / str(number))
    (out / '.occystrap/temporary').mkdir(exist_ok=True)
    os.link(outside / 'id_rsa', out / '.occystrap/temporary/x.run')
    before = {path: (path.read_bytes(), path.stat().st_mode) for path in outside.iterdir() if path.is_file()}
    copy(NEW).assert_success()
    assert {path: (path.read_bytes(), path.stat().st_mode) for path in before} == before


@pytest.mark.parametrize('destination', ['dir expanded'], indirect=True)
def test_a_directory_called_like_the_expanded_one(
        place: Place, out: Path, copy: Copy, archives: dict[str, str]) -> None:
    run_here('process', archives[OLD], f'dir://{out}').assert_success()
    (out / 'manifest').mkdir()
    (out / 'manifest/thesis.txt').write_text('a thesis')
    before = place.tree()
    is_refused(copy(NEW), f'{out}/manifest exists and was not written by occystrap: move it elsewhere')
    assert place.tree() == before


def test_directories_of_every_kind_are_tried() -> None:
    assert set(DIRECTORIES) == {name for name in DESTINATIONS if name not in ('tar', 'tar oci', 'registry', 'docker')}
