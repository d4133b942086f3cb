"""Names that a package exports and imports at their first use."""
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

_HOMES: dict[str, dict[str, str]] = {}
"""For each package, the module that defines each of its names."""


def lazy_exports(root: str, package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the `__getattr__` (PEP 562) of `package`; `homes` maps modules below `root` to the names they define."""
    _HOMES[package] = {name: f'{root}.{module}' for module, names in homes.items() for name in names.split()}

    def find(name: str) -> Any:
        if name not in _HOMES[package]:
            raise AttributeError(f'module {package!r} has no attribute {name!r}')
        found = getattr(import_module(_HOMES[package][name]), name)
        setattr(import_module(package), name, found)
        return found
    return find


def home_of(package: str, name: str) -> str:
    """Return the module that defines what `package` exports as `name`; raises KeyError."""
    return _HOMES[package][name]
