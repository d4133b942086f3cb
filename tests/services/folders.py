"""A service's own folder: short, because a unix socket's path holds at most 107 bytes."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.services.requirements import require_program, require_root


@contextmanager
def service_folder(name: str) -> Iterator[Path]:
    """A new folder, removed at the end with all that the service left in it."""
    folder = Path(tempfile.mkdtemp(prefix=f'occystrap-{name}-'))
    try:
        yield folder
    finally:
        subprocess.run(['rm', '-rf', folder], check=True)  # folders in folders may be deeper than Python's stack


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A new folder that is a file system of its own, of such a size, as mount has it: `1m`."""
    require_root('a small file system')
    folder.mkdir()
    subprocess.run([require_program('mount'), '-t', 'tmpfs', '-o', f'size={size}', 'tmpfs', folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run([require_program('umount', 'mount'), folder], check=True)
