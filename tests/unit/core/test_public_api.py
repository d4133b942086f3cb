"""The five public modules: few names, each with what it says of itself, as docs/api.md has it."""
import importlib
import inspect
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
sys.path.insert(0, str(ROOT / 'tools'))
import api_reference  # noqa: E402

MODULES = [importlib.import_module(name) for name in api_reference.MODULES]


def test_the_main_module_has_few_names() -> None:
    assert len(api_reference.names_of(MODULES[0])) <= 45


@pytest.mark.parametrize('module', MODULES, ids=lambda module: module.__name__)
def test_every_name_can_be_imported_and_says_what_it_is(module: object) -> None:
    for name in api_reference.names_of(module):  # type: ignore[arg-type]
        found = getattr(module, name)
        assert not callable(found) or inspect.getdoc(found), name


def test_no_name_is_in_two_modules() -> None:
    names = [name for module in MODULES for name in api_reference.names_of(module)]
    assert len(names) == len(set(names))


@pytest.mark.skipif(sys.version_info >= (3, 14), reason='Python 3.14 shows annotations in another way')
def test_the_page_is_what_the_docstrings_say() -> None:
    assert (ROOT / 'docs/api.md').read_text() == api_reference.reference(), 'run tools/api_reference.py'
