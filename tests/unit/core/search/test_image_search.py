"""What is found in layers, and which version of it counts."""
import io
import json

import pytest
from hypothesis import given, settings, strategies as st

from occystrap_core.errors import UsageError
from occystrap_core.image.layer import NO_OBSERVERS, TarLayer
from occystrap_core.oci import Digest, Reference
from occystrap_core.search.image_search import ImageSearch, Match, search_layer
from occystrap_core.search.match_lines import found_text, lines, script_lines, to_json
from occystrap_core.search.matcher import matcher
from occystrap_core.settings import Settings
from occystrap_core.terminal_text import printable
from tests.unit.core.filters.tars import Entry, entry, hard, tar_of
from tests.unit.core.tar.raw import END, base256, member, pax, sparse


def searched(pattern: str, *layers: list[Entry], regex: bool = False, upside_down: bool = False) -> list[Match]:
    """Return the matches in layers, the lowest first."""
    return searched_tars(pattern, [tar_of(layer) for layer in layers], regex, upside_down)


def searched_tars(pattern: str, tars: list[bytes], regex: bool = False, upside_down: bool = False) -> list[Match]:
    """Return the matches in layers with these tars."""
    run = Settings()
    search = ImageSearch(matcher(pattern, regex, run), run.names)
    made = [TarLayer(index, Digest.of(tar), lambda tar=tar: io.BytesIO(tar))  # type: ignore[misc]
            for index, tar in enumerate(tars)]
    for layer in reversed(made) if upside_down else made:
        search_layer(search, layer, NO_OBSERVERS)
    run.shared.close()
    return search.results([Digest.of(tar) for tar in tars])


def states(matches: list[Match]) -> list[tuple[int, str, str, int | None]]:
    """Return layer, path, state and who is to blame."""
    return [(each.layer, each.path.decode(), each.state, each.by) for each in matches]


FILE, DIRECTORY = b'x', None
REAL_SIZE = {
    'GNU': sparse([(0, 1)], 8 << 30, real_size=base256(8 << 30)) + b'x'.ljust(512, b'\0') + END,
    'PAX 0.1': pax((b'GNU.sparse.size', b'8589934592'), (b'GNU.sparse.numblocks', b'1'), (b'GNU.sparse.map', b'0,0')) +
    member(b'a', b'') + END,
    'PAX 1.0': pax((b'GNU.sparse.major', b'1'), (b'GNU.sparse.minor', b'0'), (b'GNU.sparse.name', b'a'),
                   (b'GNU.sparse.realsize', b'8589934592')) + member(b'b', b'0\n'.ljust(512, b'\0')) + END}


@pytest.mark.parametrize('regex', [False, True])
@pytest.mark.parametrize('form', REAL_SIZE)
def test_a_sparse_file_has_the_size_of_the_file(form: str, regex: bool) -> None:
    assert [(each.path, each.size) for each in searched_tars('a', [REAL_SIZE[form]], regex)] == [(b'a', 8 << 30)]


@pytest.mark.parametrize('upside_down', [False, True])
@pytest.mark.parametrize(('name', 'upper', 'state'), [
    ('untouched', [entry('other', FILE)], ('visible', None)),
    ('a name that only begins so', [entry('a/b/cc', FILE), entry('a/b/.wh.cc', FILE)], ('visible', None)),
    ('the directory again', [entry('a', DIRECTORY), entry('a/b/', DIRECTORY)], ('visible', None)),
    ('again', [entry('./a/b/c', FILE)], ('shadowed', 1)),
    ('a link instead', [entry('a/b/c', 'elsewhere')], ('shadowed', 1)),
    ('whiteout', [entry('a/b/.wh.c', b'')], ('deleted', 1)),
    ('whiteout of the directory', [entry('.wh.a', b'')], ('deleted', 1)),
    ('whiteout and again', [entry('a/b/.wh.c', b''), entry('a/b/c', FILE)], ('shadowed', 1)),
    ('opaque directory', [entry('a/b/.wh..wh..opq', b'')], ('deleted', 1)),
    ('opaque directory above', [entry('a/.wh..wh..opq', b'')], ('deleted', 1)),
    ('opaque root', [entry('.wh..wh..opq', b'')], ('deleted', 1)),
    ('opaque directory elsewhere', [entry('a/d/.wh..wh..opq', b'')], ('visible', None)),
    ('a file in place of the directory', [entry('a/b', FILE)], ('deleted', 1)),
    ('a link in place of the directory above', [entry('a', 'usr')], ('deleted', 1)),
    ('whiteout without a name', [entry('a/b/.wh.', b'')], ('visible', None)),
    ('what aufs keeps for itself', [entry('a/.wh..wh.b', b'')], ('visible', None)),
], ids=lambda value: value if isinstance(value, str) else '')
def test_effects_of_upper_layers(name: str, upper: list[Entry], state: tuple[str, int | None],
                                 upside_down: bool) -> None:
    found = searched('/a/b/c', [entry('a/b/c', FILE)], upper, [entry('unrelated', FILE)], upside_down=upside_down)
    assert states(found)[0] == (0, 'a/b/c', *state)


def test_the_first_layer_that_hides_is_named_and_what_comes_later_is_visible() -> None:
    found = searched('c', [entry('c', FILE)], [entry('.wh.c', b'')], [entry('c', FILE)], [entry('d', FILE)])
    assert states(found) == [(0, 'c', 'deleted', 1), (2, 'c', 'visible', None)]


def test_of_one_path_twice_in_a_layer_the_last_counts() -> None:
    found = searched('c', [entry('c', b'1'), entry('./c', b'22')])
    assert [(each.size, each.state, each.by) for each in found] == [(1, 'shadowed', 0), (2, 'visible', None)]


def test_the_same_layer_twice_is_searched_once_and_found_twice() -> None:
    layer = [entry('c', FILE)]
    assert states(searched('c', layer, [entry('.wh.c', b'')], layer)) == [
        (0, 'c', 'deleted', 1), (2, 'c', 'visible', None)]


@pytest.mark.parametrize(('pattern', 'regex', 'paths'), [
    ('*.conf', False, ['etc/a.conf', 'etc/conf.d/b.conf']),
    ('/etc/*.conf', False, ['etc/a.conf']),
    ('etc', False, ['etc']),
    ('etc/', False, ['etc']),
    ('a.conf/', False, []),
    ('/etc/**', False, ['etc/a.conf', 'etc/conf.d', 'etc/conf.d/b.conf']),
    ('*.conf,usr', False, ['etc/a.conf', 'etc/conf.d/b.conf', 'usr']),
    (r'\.conf$', True, ['etc/a.conf', 'etc/conf.d/b.conf']),
    (r'^etc/.\.conf', True, ['etc/a.conf']),
    (r'gr..e$', True, ['größe']),
    ('gr??e', False, ['größe']),
])
def test_patterns(pattern: str, regex: bool, paths: list[str]) -> None:
    layer = [entry('./', DIRECTORY), entry('etc/', DIRECTORY), entry('./etc/a.conf', FILE),
             entry('etc/conf.d', DIRECTORY), entry('etc/conf.d/b.conf', FILE), entry('usr', DIRECTORY),
             entry('größe', FILE)]
    assert [each.path.decode() for each in searched(pattern, layer, regex=regex)] == paths


@pytest.mark.parametrize(('pattern', 'regex'), [('(', True), ('[a', False), ('/', False), ('', False)])
def test_patterns_that_mean_nothing(pattern: str, regex: bool) -> None:
    with pytest.raises(UsageError, match='pattern|regular'):
        matcher(pattern, regex, Settings())


def test_fields_of_a_result() -> None:
    found = searched('*', [entry('dir', DIRECTORY, mode=0o755), entry('dir/new\nline\x1b[2J', b'12', uid=7, mtime=3)],
                     [hard('h', 'dir/x'), entry('l', '\x1btarget')])
    text = [printable(line) for line in lines(found)]
    assert text[1].endswith(r'file             2 B  dir/new\nline\x1b[2J')
    assert text[3].endswith(r'l -> \x1btarget') and 'hard link' in text[2]
    script = list(script_lines(Reference.parse('registry.example/team/app:v1', with_host=True), found))
    assert script[0] == f'team/app:v1:{found[0].diff_id.hex}:dir'  # type: ignore[union-attr]
    document = json.loads(json.dumps(to_json(found[1])))
    assert (document['path'], document['size'], document['uid'], document['mtime']) == ('dir/new\nline\x1b[2J', 2, 7, 3)
    assert found_text(found) == '4 matches, 4 visible' and found_text([]) == '0 matches'


def test_names_that_are_no_utf_8() -> None:
    found = searched('*', [entry('latin-\udce4', FILE)])
    assert printable(list(lines(found))[0]).endswith(r'latin-\xe4') and to_json(found[0])['path'] == 'latin-\udce4'


names = st.sampled_from(['a', 'b', 'a/a', 'a/b', 'a/b/c', 'b/c'])


def marked(name: str) -> str:
    """Return the whiteout of a name."""
    directory, slash, last = name.rpartition('/')
    return f'{directory}{slash}.wh.{last}'


layers_of_names = st.lists(st.lists(st.tuples(names, st.sampled_from(['file', 'directory', 'gone'])), max_size=4),
                           min_size=1, max_size=4)


@settings(max_examples=200, deadline=None)
@given(layers_of_names)
def test_visible_entries_are_those_of_the_applied_layers(stack: list[list[tuple[str, str]]]) -> None:
    layers, tree = [], {}
    for number, layer in enumerate(stack):
        made = list({name: kind for name, kind in layer}.items())
        parents = {name: 'directory' for name, kind in made if kind != 'gone' for name in directories_of(name)}
        made = [*sorted(parents.items()), *[each for each in made if each[0] not in parents]]
        layers.append([entry(marked(name), b'') if kind == 'gone'
                       else entry(name, None if kind == 'directory' else b'x')
                       for name, kind in made])
        for name, kind in made:
            if kind == 'gone':
                tree = {path: by for path, by in tree.items() if path != name and not path.startswith(f'{name}/')}
        for name, kind in made:
            if kind == 'file':
                tree = {path: by for path, by in tree.items() if not path.startswith(f'{name}/')}
            if kind != 'gone':
                tree[name] = number
    found = searched('*', *layers)
    assert {each.path.decode(): each.layer for each in found if each.state == 'visible'} == tree


def directories_of(name: str) -> list[str]:
    """Return the directories that a path lies in."""
    parts = name.split('/')
    return ['/'.join(parts[:count]) for count in range(1, len(parts))]
