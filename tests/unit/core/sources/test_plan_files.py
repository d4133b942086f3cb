"""Plans with variables, included files and lines in messages; schema and worked example are held to the parser."""
import re
import tomllib
from pathlib import Path

import pytest

from occystrap_core import UsageError
from occystrap_core.sources.plan_keys import SHARED, TOP, plan_schema
from occystrap_core.sources.toml_lines import toml_lines
from tests.unit.core.sources.files import entries_in, entries_of, opened_list

DOCS = Path(__file__).parents[4] / 'docs'


def test_all_mistakes_have_their_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv('NOWHERE', raising=False)
    text = ("# a mirror\n[defaults]\nplatfrom = 'all'\noptions = { insecure = [1] }\n\n[[images]]\n"
            "source = 'app:v1'\nnewest = 'x'\n[[images]]\nsource = '''${NOWHERE}/app'''\n"
            "filters = [\n  'owner', # fine\n  7]\n")
    with pytest.raises(UsageError) as caught:
        entries_in(tmp_path, 'm.toml', text)
    found = str(caught.value).removeprefix('5 errors: ').split(f'; {tmp_path}/m.toml, ')
    assert [each.split(':')[0] for each in found] == [
        f'{tmp_path}/m.toml, line 10', 'line 3, defaults', 'line 4, defaults', 'line 8, image 1', 'line 11, image 2']
    assert found[0] == f'{tmp_path}/m.toml, line 10: the environment variable NOWHERE is not set'
    assert "unknown key 'platfrom'; did you mean 'platform'?" in found[1]
    assert 'image 1: newest: expected a number of' in found[3]


def test_lines_of_yaml(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="m.yaml, line 3, image 1: platform: .*; .*m.yaml, line 4, image 2: source: "):
        entries_in(tmp_path, 'm.yaml', 'images:\n- source: app:v1\n  platform: 7\n- {destination: "dir://x"}\n')


def test_lines_of_odd_toml() -> None:
    text = ('a."b c".d = """\n[[no]]\n""" # = [\n[x.\'y\']\nz = [[1,\n2], {q = "}#", r = \'\'\'\'a\'\'\'}]\n'
            '[[ t ]]\n[[t]]\nu = 1\n[[t.v]]\n[t.v.w]\nk = 1979-05-27T07:32:00Z\n')
    tomllib.loads(text)
    lines = toml_lines(text)
    assert {path: lines[path] for path in [
        ('a', 'b c', 'd'), ('x', 'y'), ('x', 'y', 'z', 0, 1), ('x', 'y', 'z', 1, 'r'), ('t', 0), ('t', 1, 'u'),
        ('t', 1, 'v', 0), ('t', 1, 'v', 0, 'w', 'k')]} == {
        ('a', 'b c', 'd'): 1, ('x', 'y'): 4, ('x', 'y', 'z', 0, 1): 6, ('x', 'y', 'z', 1, 'r'): 6, ('t', 0): 7,
        ('t', 1, 'u'): 9, ('t', 1, 'v', 0): 10, ('t', 1, 'v', 0, 'w', 'k'): 12}


def test_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('HOST', 'r.example:5000')
    monkeypatch.setenv('EMPTY', '')
    image, = entries_in(tmp_path, 'm.toml', "[[images]]\nsource = '${HOST}/app${EMPTY}:v1'\n"
                                            "destination = 'dir://$${x}'\noptions = {username = '${HOST}&a'}\n")
    assert image.source == 'registry://r.example:5000/app:v1?username=r.example%3A5000%26a'
    assert image.destinations == ('dir://${x}',)
    with pytest.raises(UsageError, match=r"line 2: '\$\{a-b\}' is not a variable: write \$\{NAME\}"):
        entries_in(tmp_path, 'm.toml', "[[images]]\nsource = 'app:${a-b}'\n")


def test_selection_is_part_of_the_source(tmp_path: Path) -> None:
    text = ("[defaults]\nnewest = 3\nexclude = [':*-rc*', ':a']\n[[images]]\nsource = 'a.example/x:*'\n"
            "semver = '>=1 <2'\n[[images]]\nsource = 'a.example/y:*?newest=1'\nprune = true\n")
    first, second = entries_in(tmp_path, 'm.toml', text)
    assert first.source == ('registry://a.example/x:*?newest=3&exclude=%3A%2A-rc%2A%2C%3Aa&semver=%3E%3D1%20%3C2')
    assert second.source == 'registry://a.example/y:*?newest=1&exclude=%3A%2A-rc%2A%2C%3Aa&prune=true'
    with pytest.raises(UsageError, match='line 3, image 1: semver: expected a range of versions'):
        entries_in(tmp_path, 'm.toml', "[[images]]\nsource = 'a.example/x:*'\nsemver = 'new'\n")
    with pytest.raises(UsageError, match='line 2, image 1: source: newest is in the URI and a key'):
        entries_in(tmp_path, 'm.toml', "[[images]]\nsource = 'a.example/x:*?newest=1'\nnewest = 2\n")


def test_included_plans(tmp_path: Path) -> None:
    (tmp_path / 'sub').mkdir()
    (tmp_path / 'sub/b.yaml').write_text('defaults: {platform: linux/arm64}\ninclude: [c.toml]\n')
    (tmp_path / 'sub/c.toml').write_text("[[images]]\nsource = 'c:v1'\n")
    first, second = entries_in(tmp_path, 'a.toml', "include = ['sub/b.yaml']\n[defaults]\ndestination = 'dir://x'\n"
                                                   "platform = 'all'\n[[images]]\nsource = 'a:v1'\n")
    assert (first.platform, second.platform, second.destinations) == ('all', 'linux/arm64', ('dir://x',))
    assert second.where == f'{tmp_path}/sub/c.toml, line 1, image 1'
    (tmp_path / 'sub/c.toml').write_text("include = ['../a.toml']\n")
    with pytest.raises(UsageError, match=r'a.toml includes itself: .*a.toml → .*b.yaml → .*c.toml → .*a.toml'):
        entries_of(f'plan://{tmp_path}/a.toml')
    (tmp_path / 'sub/c.toml').write_text("[[images]]\nsource = 7\n[[images]]\n")
    words = 'a.toml, line 1: include: .*b.yaml, line 2: include: 2 errors: .*c.toml, line 2, image 1: .*c.toml, line 3'
    with pytest.raises(UsageError, match=words):
        entries_of(f'plan://{tmp_path}/a.toml')
    with pytest.raises(UsageError, match='line 1: include: .*none.toml cannot be read'):
        entries_in(tmp_path, 'a.toml', "include = ['none.toml']\n")


def test_the_schema_knows_what_the_parser_knows() -> None:
    schema = plan_schema()
    top = schema['properties']
    assert set(top) == set(TOP) and set(top['defaults']['properties']) == set(SHARED)
    assert set(top['images']['items']['properties']) == {'source', *SHARED}
    page = (DOCS / 'plans-and-lists.md').read_text()
    assert [name for name in SHARED if f'`{name}' not in page and f'{name} =' not in page] == []


@pytest.mark.parametrize('name', sorted(SHARED))
def test_the_schema_takes_what_the_parser_takes(name: str) -> None:
    schema, key = plan_schema()['properties']['defaults']['properties'][name], SHARED[name]
    values = ['1.2', 'true', 'linux/amd64', 'created', 'dir://x', True, 3, 0, ['dir://x'], [], {}, {'a': 1}, None, 1.5,
              [3]]
    taken = []
    for value in values:
        try:
            key.read(value)
            taken.append(value)
        except UsageError:
            pass
    assert taken
    assert all(valid(schema, value) for value in taken if key.option is False or not isinstance(value, str))
    assert not any(valid(schema, value) for value in (None, [3]))


def valid(schema: object, value: object) -> bool:
    """As much of JSON schema as the schema of plans uses."""
    assert isinstance(schema, dict)
    kinds = {'string': str, 'number': (int, float), 'integer': int, 'boolean': bool, 'array': list, 'object': dict}
    if 'anyOf' in schema:
        return any(valid(each, value) for each in schema['anyOf'])
    if 'enum' in schema:
        return any(each is value or (isinstance(each, str) and each == value) for each in schema['enum'])
    named = schema['type'] if isinstance(schema['type'], list) else [schema['type']]
    if not any(isinstance(value, kinds[kind]) and (kind == 'boolean' or not isinstance(value, bool)) for kind in named):
        return False
    if isinstance(value, list):
        return len(value) >= schema.get('minItems', 0) and all(valid(schema['items'], each) for each in value)
    return not (isinstance(value, int) and value < schema.get('minimum', value))


def test_the_worked_example_is_a_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = set(re.findall(r'\$\{(\w+)\}', (DOCS / 'mirror.toml').read_text()))
    assert variables == {'SOURCE', 'MIRROR', 'BACKUP'}
    for name in variables:
        monkeypatch.setenv(name, f'{"registry://" if name == "MIRROR" else ""}{name.lower()}.example')
    first, second, third = entries_of(f'plan://{DOCS}/mirror.toml')
    assert 'semver=' in first.source and 'prune=true' in first.source and len(third.destinations) == 2


def test_plans_that_are_included_behind_the_first_images_are_read_when_it_is_their_turn(tmp_path: Path) -> None:
    (tmp_path / 'more.toml').write_text("[[images]]\nsource = 'two'\n")
    (tmp_path / 'bad.toml').write_text("[[images]]\nsource = 'three'\ncolour = 'red'\n")
    (plan := tmp_path / 'mirror.toml').write_text("include = ['more.toml', 'bad.toml']\n[[images]]\nsource = 'one'\n")
    opened = opened_list(f'plan://{plan}')
    with pytest.raises(UsageError, match='unknown key .colour'):
        next(iter(opened.stream(checked=3)))
    found = iter(opened.stream(checked=2))
    assert [next(found).source for _ in range(2)] == [f'registry://docker.io/{name}' for name in ('one', 'two')]
    (tmp_path / 'bad.toml').write_text("[[images]]\nsource = 'three'\n")
    assert [each.source for each in found] == ['registry://docker.io/three']
    (tmp_path / 'bad.toml').write_text('colour = 1\n')
    with pytest.raises(UsageError, match='mirror.toml, line 1: include: .*bad.toml'):
        list(opened.stream(checked=2))
