"""A service's own directory: short, because a unix socket's path holds at most 107 bytes."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.services.requirements import require_program, require_root


@contextmanager
def service_directory(name: str) -> Iterator[Path]:
    """A new directory, removed at the end with all that the service left in it."""
    directory = Path(tempfile.mkdtemp(prefix=f'occystrap-{name}-'))
    try:
        yield directory
    finally:
        subprocess.run(['rm', '-rf', directory], check=True)  # may be deeper than Python's stack


@contextmanager
def small_disk(directory: Path, size: str) -> Iterator[Path]:
    """A new directory that is a file system of its own, of such a size, as mount has it: `1m`."""
    require_root('a small file system')
    directory.mkdir()
    subprocess.run([require_program('mount'), '-t', 'tmpfs', '-o', f'size={size}', 'tmpfs', directory], check=True)
    try:
        yield directory
    finally:
        subprocess.run([require_program('umount', 'mount'), directory], check=True)
