"""A service's own folder: short, because a unix socket's path holds at most 107 bytes."""

import shutil
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
        shutil.rmtree(folder)
