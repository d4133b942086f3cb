"""Plans: what they ask for, and that all its mistakes are reported before anything is copied."""
import sys
from pathlib import Path

import pytest

from occystrap_core import ListedImage, UsageError
from tests.unit.core.sources.files import entries_in

TOML = """
[defaults]
destination = 'registry://mirror.example/{repository}:{tag}'
platform = 'linux/amd64'
filters = ['normalize-timestamps:ts=0']
options = { insecure = true, username = 'a&b' }

[[images]]
source = 'registry.example/app:v1'

[[images]]
source = 'registry://registry.example/tool:v2?insecure=false'
destination = 'tar://tool.tar'
platform = 'linux/arm64,linux/amd64'
filters = []
"""
YAML = """
defaults:
  destination: registry://mirror.example/{repository}:{tag}
  platform: linux/amd64
  filters: ['normalize-timestamps:ts=0']
  options:
    insecure: true
    username: a&b
images:
- source: registry.example/app:v1
- source: registry://registry.example/tool:v2?insecure=false
  destination: tar://tool.tar
  platform: linux/arm64,linux/amd64
  filters: []
"""


@pytest.mark.parametrize(('name', 'text'), [('mirror.toml', TOML), ('mirror.yaml', YAML), ('mirror.YML', YAML)])
def test_a_plan(name: str, text: str, tmp_path: Path) -> None:
    lines = (8, 11) if name.endswith('toml') else (10, 11)
    assert entries_in(tmp_path, name, text) == [
        ListedImage('registry://registry.example/app:v1?insecure=true&username=a%26b',
                    ('registry://mirror.example/{repository}:{tag}',), 'linux/amd64', ['normalize-timestamps:ts=0'],
                    f'{tmp_path}/{name}, line {lines[0]}, image 1'),
        ListedImage('registry://registry.example/tool:v2?insecure=false&username=a%26b', ('tar://tool.tar',),
                    'linux/arm64,linux/amd64', [], f'{tmp_path}/{name}, line {lines[1]}, image 2')]


def test_the_command_line_completes_a_plan(tmp_path: Path) -> None:
    entry, = entries_in(tmp_path, 'p.toml', "images = [{source = 'docker://app:v1'}]")
    assert (entry.source, entry.destinations, entry.platform, entry.filters) == ('docker://app:v1', (), None, None)


def test_all_errors_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        entries_in(tmp_path, 'p.toml', """
            wrong = 1
            [defaults]
            platform = 'linux'
            options = { a = [] }
            [[images]]
            sorce = 'registry.example/app:v1'
            [[images]]
            source = 'registry.example/App'
            destination = 'nowhere'
            filters = ['f:x']
            """)
    message = str(caught.value)
    assert message.startswith(f'8 errors: {tmp_path}/p.toml, line 2: ') and '\n' not in message
    for words in ("unknown key 'wrong'", 'defaults: platform: ', 'defaults: options: ', 'image 1: unknown key '
                  "'sorce'; did you mean 'source'?", 'image 1: source: expected a URI or a reference',
                  'image 2: source: ', 'image 2: destination: ', "image 2: filters: filter f: 'x' is not key=value"):
        assert words in message


@pytest.mark.parametrize(('text', 'words'), [
    ('', 'there are no images'), ('images = []', 'there are no images'), ('images = 1', 'there are no images'),
    ("images = ['a']", 'image 1: expected a table'), ('images = [{}]', 'image 1: source'),
    ('defaults = 1', 'defaults: expected a table'), ('images = [{source = 1}]', 'image 1: source'),
    ("images = [{source = 'a', filters = 'f'}]", 'filters: expected a list'),
    ("images = [{source = 'a', filters = [1]}]", 'image 1: filters: expected text'),
    ("images = [{source = 'a', platform = 1}]", 'image 1: platform: expected text'),
    ("images = [{source = 'a', platform = ' '}]", 'image 1: platform: expected text'),
    ('[[images]]\nsource = x', 'p.toml, line 2: not valid TOML: .*column 10'),
    ('a = 1\na = 2\n', 'p.toml, line 2: not valid TOML: Cannot'),
    ('a = ' + '[' * 5000, 'p.toml.* (nested|TOML)'), (f'a = {"1" * 10000}', 'not valid TOML'),
    ('a' + '.a' * 64 + ' = 1', 'a key has more than 64 parts'), ('[a' + ' . "a"' * 64 + ']', 'more than 64 parts')])
def test_invalid_plans(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=words):
        entries_in(tmp_path, 'p.toml', text)


@pytest.mark.parametrize(('text', 'words'), [
    ('', 'expected a plan'), ('- a', 'expected a plan'), ('images: [', 'line 1: cannot be parsed'),
    ('images:\n- source: a\n  source: b', 'line 3: cannot be parsed: a key appears twice'),
    ('? [a]\n: b', 'line 1: cannot be parsed: a key'),
    ('images: !!python/object/apply:os.system [false]', 'line 1: cannot be parsed'),
    ('a: &a [x]\nb: *a', 'line 2: cannot be parsed: plans have no aliases'),
    ('images:\n- source: yes', 'image 1: source'), ('a: \x07', 'p.yaml.*: cannot be parsed'),
    ('a: 2001-99-99', 'p.yaml: cannot be parsed'), ('a: b\n---\nc: d', 'line 2: cannot be parsed'),
    ('[' * 20_000, 'nested too deep'), ('#' * (1 << 20) + '\na: b', 'more than the 1 MiB')])
def test_invalid_yaml_plans(text: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=words) as caught:
        entries_in(tmp_path, 'p.yaml', text)
    assert '\n' not in str(caught.value)


def test_aliases_cannot_multiply(tmp_path: Path) -> None:
    levels = [f'{name}: &{name} [{", ".join([f"*{below}"] * 9)}]' for below, name in zip('abcdefgh', 'bcdefghi')]
    with pytest.raises(UsageError, match='no aliases'):
        entries_in(tmp_path, 'p.yaml', '\n'.join(['a: &a [x]', *levels, 'images: *i']))


def test_a_list_needs_no_yaml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name == 'yaml' or name.startswith('yaml.')]:
        monkeypatch.delitem(sys.modules, name)
    entries_in(tmp_path, 'p.toml', TOML)
    assert 'yaml' not in sys.modules
