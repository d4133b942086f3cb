"""The list of defences must fit the code: `tools/defences` removes each and sees its tests fail."""
import sys
import tomllib
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
ENTRIES = [pytest.param(entry, id=entry['name']) for file in sorted((ROOT / 'tests/defences').glob('*.toml'))
           for entry in tomllib.loads(file.read_text())['defence']]


def load_tool() -> ModuleType:
    """Load `tools/defences`, whose name has no suffix."""
    loader = SourceFileLoader('defences', str(ROOT / 'tools/defences'))
    spec = spec_from_loader(loader.name, loader)
    assert spec
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


TOOL = load_tool()


@pytest.mark.parametrize('entry', ENTRIES)
def test_names_text_that_is_there_once_and_tests_that_exist(entry: dict[str, str]) -> None:
    assert entry.keys() == {'name', 'file', 'remove', 'replace', 'tests'}
    text = (ROOT / entry['file']).read_text()
    assert text.count(entry['remove']) == 1, entry['file']
    assert TOOL.without(entry, text) != text
    for test in entry['tests']:
        file, _, name = test.partition('::')
        assert name.partition('[')[0] in (ROOT / file).read_text(), test


def test_names_no_defence_twice() -> None:
    names = [each.id for each in ENTRIES]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(('replace', 'verdict'), [
    ('return value', 'UNSEEN'), ('return 2', 'seen by its tests'),
    ('return (', 'WRONG ENTRY: what remains is no Python'),
    ('return 1\nimport nowhere', 'WRONG ENTRY: pytest ended with 2'),
])
def test_a_defence_is_seen_only_by_a_test_that_ran(replace: str, verdict: str, tmp_path: Path,
                                                   monkeypatch: pytest.MonkeyPatch,
                                                   capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / 'guarded.py').write_text('def f(value):\n    return value + 0\n')
    (tmp_path / 'test_guarded.py').write_text('from guarded import f\n\ndef test_f():\n    assert f(1) == 1\n')
    entry = {'name': 'a defence', 'file': 'guarded.py', 'remove': 'return value + 0', 'replace': replace,
             'tests': ['test_guarded.py']}
    monkeypatch.setattr(TOOL, 'ROOT', tmp_path)
    monkeypatch.setattr(TOOL, 'PYTEST', [sys.executable, *TOOL.PYTEST[1:]])
    monkeypatch.setattr(TOOL, 'read_defences', lambda: [entry])
    monkeypatch.setattr(TOOL, 'require_clean', lambda entries: None)
    assert TOOL.main([]) == (0 if verdict.startswith('seen') else 1)
    assert capsys.readouterr().out.startswith(verdict)
    assert (tmp_path / 'guarded.py').read_text() == 'def f(value):\n    return value + 0\n'
