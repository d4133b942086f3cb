"""Names that a package exports and that are imported only when somebody uses them."""
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_exports(root: str, package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the `__getattr__` (PEP 562) of `package`; `homes` maps modules below `root` to the names that they define.
    """
    home_of = {name: module for module, names in homes.items() for name in names.split()}

    def find(name: str) -> Any:
        if name not in home_of:
            raise AttributeError(f'module {package!r} has no attribute {name!r}')
        found = getattr(import_module(f'{root}.{home_of[name]}'), name)
        setattr(import_module(package), name, found)
        return found
    return find
