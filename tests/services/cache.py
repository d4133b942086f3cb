"""What takes minutes to build is built once per machine, outside of the checkout."""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def cache_directory() -> Path:
    """`OCCYSTRAP_TEST_CACHE`, else `~/.cache/occystrap-tests`; made if missing."""
    directory = Path(os.environ.get('OCCYSTRAP_TEST_CACHE') or Path.home() / '.cache/occystrap-tests')
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def built_once(name: str, version: str, build: Callable[[Path], None]) -> Path:
    """The cached directory `name-version`; if there is none, `build` fills it, and older versions go.

    One process builds, others wait. A directory of that name is always complete.
    """
    complete = cache_directory() / f'{name}-{version}'
    if complete.is_dir():
        return complete
    with _locked(cache_directory() / f'{name}.lock'):
        if not complete.is_dir():
            for old in cache_directory().glob(f'{name}-*'):
                shutil.rmtree(old)
            partial = complete.with_name(f'{complete.name}.partial')
            partial.mkdir()
            build(partial)
            partial.rename(complete)
    return complete


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open('w') as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
