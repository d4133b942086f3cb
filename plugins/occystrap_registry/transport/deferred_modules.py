"""Modules whose code runs at their first use, although a library imports them when it is imported itself."""
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.abc import Loader
else:
    Loader = object  # importing it takes longer than what is saved here

_LOCK = threading.RLock()
"""Held while a module's code runs, since several threads may use it first."""


@contextmanager
def deferred(*packages: str) -> Iterator[None]:
    """Within this block, imports of modules in these packages succeed without running the modules' code.

    The code runs when a name of the module is first used (PEP 562). Modules imported before are left alone.
    """
    finder = _Finder(packages)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _Finder:
    def __init__(self, packages: Sequence[str]) -> None:
        self._packages = packages

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """Return the usual spec with a loader that waits, None for other packages (PEP 451)."""
        if name.partition('.')[0] not in self._packages:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec and spec.loader:
            spec.loader = _DeferringLoader(spec.loader)
        return spec


class _DeferringLoader(Loader):
    """`importlib.util.LazyLoader` would run the code at the second import of a module already."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader
        self._is_begun = False

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Return what the usual loader does."""
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """Have the code run when a name is not found."""
        def find(name: str) -> object:
            with _LOCK:
                if not self._is_begun:
                    self._is_begun = True
                    self._loader.exec_module(module)
            known = vars(module)
            if name not in known and known['__getattr__'] is not find:  # it finds names by itself, as anyio does
                return known['__getattr__'](name)
            try:
                return known[name]
            except KeyError:
                raise AttributeError(f'module {module.__name__!r} has no attribute {name!r}') from None
        vars(module)['__getattr__'] = find
        module.__loader__ = self._loader  # who asks it for the module's resources needs the usual one
        if module.__spec__:
            module.__spec__.loader = self._loader
