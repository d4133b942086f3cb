"""What takes minutes to build is built once per machine, outside of the checkout."""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def cache_folder() -> Path:
    """`OCCYSTRAP_TEST_CACHE`, else `~/.cache/occystrap-tests`; made if missing."""
    folder = Path(os.environ.get('OCCYSTRAP_TEST_CACHE') or Path.home() / '.cache/occystrap-tests')
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def built_once(name: str, version: str, build: Callable[[Path], None]) -> Path:
    """The cached folder `name-version`; if there is none, `build` fills it, and older versions go.

    One process builds, others wait. A folder of that name is always complete.
    """
    complete = cache_folder() / f'{name}-{version}'
    if complete.is_dir():
        return complete
    with _locked(cache_folder() / f'{name}.lock'):
        if not complete.is_dir():
            for old in cache_folder().glob(f'{name}-*'):
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
