"""The list of defences must fit the code: `tools/defences` removes each and sees its tests fail."""
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENTRIES = [pytest.param(entry, id=entry['name']) for file in sorted((ROOT / 'tests/defences').glob('*.toml'))
           for entry in tomllib.loads(file.read_text())['defence']]


@pytest.mark.parametrize('entry', ENTRIES)
def test_names_text_that_is_there_once_and_tests_that_exist(entry: dict[str, str]) -> None:
    assert entry.keys() == {'name', 'file', 'remove', 'replace', 'tests'}
    assert (ROOT / entry['file']).read_text().count(entry['remove']) == 1, entry['file']
    for test in entry['tests']:
        file, _, name = test.partition('::')
        assert name.partition('[')[0] in (ROOT / file).read_text(), test


def test_names_no_defence_twice() -> None:
    names = [each.id for each in ENTRIES]
    assert len(names) == len(set(names))
