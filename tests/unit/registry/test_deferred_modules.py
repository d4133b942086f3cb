"""Modules whose code runs at their first use."""
import importlib
import importlib.resources
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from occystrap_registry.transport.deferred_modules import deferred


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Yield the name of a package whose modules count how often they are run."""
    directory = tmp_path / 'deferred_package'
    directory.mkdir()
    (directory / '__init__.py').write_text('')
    (directory / 'first.py').write_text('import builtins, time\nbuiltins.runs = getattr(builtins, "runs", 0) + 1\n'
                                        'time.sleep(0.05)\nfrom deferred_package import second\nvalue = second.value\n')
    (directory / 'second.py').write_text('value = 5\n')
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr('builtins.runs', 0, raising=False)
    before = set(sys.modules)
    yield 'deferred_package'
    for name in set(sys.modules) - before:
        if name.startswith('deferred_package'):
            del sys.modules[name]


def runs() -> int:
    import builtins
    return int(getattr(builtins, 'runs'))


def test_code_runs_once_at_the_first_use(package: str) -> None:
    for _ in range(2):
        with deferred(package):
            module = importlib.import_module(f'{package}.first')
    assert runs() == 0
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(module.value)) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [5] * 5 and runs() == 1


def test_names_that_are_not_there(package: str) -> None:
    with deferred(package):
        module = importlib.import_module(f'{package}.second')
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module(f'{package}.third')
    with pytest.raises(AttributeError, match="has no attribute 'missing'"):
        module.missing


def test_names_that_a_module_finds_by_itself(package: str, tmp_path: Path) -> None:
    """As anyio does since 4.13: the first use may be of one that its own `__getattr__` makes (PEP 562)."""
    (tmp_path / package / 'lazy.py').write_text('def __getattr__(name):\n    if name == "made":\n        return 7\n'
                                                '    raise AttributeError(name)\n')
    with deferred(package):
        module = importlib.import_module(f'{package}.lazy')
    assert module.made == 7 and module.made == 7
    with pytest.raises(AttributeError, match='missing'):
        module.missing


def test_other_packages_and_later_imports_are_as_usual(package: str) -> None:
    with deferred('another'):
        importlib.import_module(f'{package}.first')
    assert runs() == 1 and not any('deferred' in type(each).__module__ for each in sys.meta_path)


def test_files_next_to_a_deferred_module_are_found(package: str, tmp_path: Path) -> None:
    (tmp_path / package / 'data.txt').write_text('data')
    with deferred(package):
        importlib.import_module(package)
    assert importlib.resources.files(package).joinpath('data.txt').read_text() == 'data'
