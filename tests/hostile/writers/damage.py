"""Every kind of damage to what was written, each as a function of one path; they keep the times of what they touch."""
import os
import stat
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from tests.services.requirements import ServiceUnavailable


class Damage(NamedTuple):
    """One kind: what it does to a path, to what kinds of path it can be done, whether it concerns bytes or names."""

    name: str
    do: Callable[[Path], None]
    kinds: Sequence[str]
    of_content: bool


@contextmanager
def _times_kept(path: Path) -> Iterator[None]:
    before = path.lstat()
    yield
    with suppress(FileNotFoundError):
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns), follow_symlinks=False)


def aside_of(path: Path) -> Path:
    """Return the directory beside the destination, on its file system, that takes what is moved away."""
    top = next(each for each in (path, *path.parents) if each.name in ('out', 'docker'))
    return top.parent / '.aside'


def _aside(path: Path) -> Path:
    aside_of(path).mkdir(exist_ok=True)
    return aside_of(path) / path.name


def remove(path: Path) -> None:
    with _times_kept(path.parent):
        path.rename(_aside(path))


def truncate(path: Path) -> None:
    with _times_kept(path):
        os.truncate(path, path.stat().st_size - 1)


def empty(path: Path) -> None:
    with _times_kept(path):
        os.truncate(path, 0)


def extend(path: Path) -> None:
    with _times_kept(path), path.open('ab') as file:
        file.write(b'\0')


def flip(path: Path) -> None:
    with _times_kept(path), path.open('r+b') as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(size // 2)
        byte = file.read(1)[0]
        file.seek(size // 2)
        file.write(bytes([byte ^ 1]))


def link_to_equal(path: Path) -> None:
    """Replace a file by a symbolic link to an equal one."""
    with _times_kept(path.parent):
        aside = _aside(path)
        path.rename(aside)
        path.symlink_to(aside)


def become_directory(path: Path) -> None:
    with _times_kept(path.parent):
        path.rename(_aside(path))
        path.mkdir()


def become_pipe(path: Path) -> None:
    with _times_kept(path.parent):
        path.rename(_aside(path))
        os.mkfifo(path)


def become_file(path: Path) -> None:
    with _times_kept(path.parent):
        path.rename(_aside(path))
        path.write_bytes(b'')


def add_file(path: Path) -> None:
    with _times_kept(path):
        (path / 'added').write_bytes(b'x')


def add_directory(path: Path) -> None:
    with _times_kept(path):
        (path / 'added').mkdir()


def retarget(path: Path) -> None:
    target = os.readlink(path)
    with _times_kept(path.parent):
        with _times_kept(path):
            path.unlink()
            path.symlink_to(f'{target}x')


def change_mode(path: Path) -> None:
    path.chmod(stat.S_IMODE(path.stat().st_mode) ^ 0o001)


def change_owner(path: Path) -> None:
    mode = path.lstat().st_mode
    os.chown(path, 4242, -1, follow_symlinks=False)
    if not stat.S_ISLNK(mode):
        path.chmod(stat.S_IMODE(mode))  # the kernel takes setuid away


def change_time(path: Path) -> None:
    os.utime(path, ns=(0, path.lstat().st_mtime_ns + 3_000_000_000), follow_symlinks=False)


def add_attribute(path: Path) -> None:
    os.setxattr(path, 'user.added', b'x')


def add_acl(path: Path) -> None:
    _run('setfacl', '-m', 'u:4242:r', str(path))


def add_default_acl(path: Path) -> None:
    _run('setfacl', '-d', '-m', 'u:4242:rwx', str(path))


def add_capability(path: Path) -> None:
    _run('setcap', 'cap_net_raw+ep', str(path))


def add_hard_link(path: Path) -> None:
    os.link(path, _aside(path))


def make_immutable_flag(path: Path) -> None:
    _run('chattr', '+d', str(path))  # "no dump": as good as any other flag, and easy to take back


def rewrite_equal(path: Path) -> None:
    """Write the same bytes again, so that they lie elsewhere on the disk, without the holes they may have had."""
    with _times_kept(path), path.open('r+b') as file:
        content = file.read()
        file.seek(0)
        file.write(content)


def _run(*command: str) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError:
        raise ServiceUnavailable(f'{command[0]} is not installed') from None


def let_all_change(path: Path) -> None:
    path.chmod(stat.S_IMODE(path.stat().st_mode) | stat.S_IWOTH)


def let_all_in(path: Path) -> None:
    path.chmod(0o755)


FILE, DIRECTORY, LINK = 'file', 'directory', 'link'
OURS, PRIVATE = 'of the program itself', 'keeps others out'
"""Not the image's own: documents and directories beside it, and the directory that is the caller's alone."""
DAMAGES = (
    Damage('removed', remove, (FILE, DIRECTORY, LINK), True),
    Damage('cut by a byte', truncate, (FILE,), True),
    Damage('emptied', empty, (FILE,), True),
    Damage('longer by a byte', extend, (FILE,), True),
    Damage('one bit flipped', flip, (FILE,), True),
    Damage('a link to an equal file instead', link_to_equal, (FILE,), False),
    Damage('a directory instead', become_directory, (FILE, LINK), True),
    Damage('a pipe instead', become_pipe, (FILE, LINK), True),
    Damage('a file instead', become_file, (DIRECTORY, LINK), True),
    Damage('link with another target', retarget, (LINK,), True),
    Damage('a file added', add_file, (DIRECTORY,), False),
    Damage('a directory added', add_directory, (DIRECTORY,), False),
    Damage('mode', change_mode, (FILE, DIRECTORY), False),
    Damage('owner', change_owner, (FILE, DIRECTORY, LINK), False),
    Damage('time of a file', change_time, (FILE,), False),
    Damage('time of a directory', change_time, (DIRECTORY,), False),
    Damage('time of a link', change_time, (LINK,), False),
    Damage('extended attribute added', add_attribute, (FILE, DIRECTORY), False),
    Damage('ACL added', add_acl, (FILE, DIRECTORY), False),
    Damage('default ACL added', add_default_acl, (DIRECTORY,), False),
    Damage('capability added', add_capability, (FILE,), False),
    Damage('hard link added', add_hard_link, (FILE,), False),
    Damage('file flag added', make_immutable_flag, (FILE,), False),
    Damage('what occystrap wrote beside the image made writable for all', let_all_change, (OURS,), False),
    Damage('what occystrap wrote beside the image given to another user', change_owner, (OURS,), False),
    Damage('the directory with mode 0700 opened to others', let_all_in, (PRIVATE,), False),
    Damage('the same bytes without holes', rewrite_equal, (FILE,), False),
)
