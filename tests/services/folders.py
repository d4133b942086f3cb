"""A service's own folder: short, because a unix socket's path holds at most 107 bytes."""

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def service_folder(name: str) -> Iterator[Path]:
    """A new folder, removed at the end with all that the service left in it."""
    folder = Path(tempfile.mkdtemp(prefix=f'occystrap-{name}-'))
    try:
        yield folder
    finally:
        subprocess.run(['rm', '-rf', folder], check=True)  # folders in folders may be deeper than Python's stack
