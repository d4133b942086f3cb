"""HOSTILE 10-12: types that change between layers, hard links in every order, entries that come twice."""
from collections.abc import Callable
from itertools import product

import pytest

from tests.hostile.extraction.ground import Ground, everywhere
from tests.hostile.extraction.stacks import Entry, Part, directory, fifo, file, hardlink, symlink, whiteout
from tests.hostile.extraction.trees import names

MAKERS: dict[str, Callable[[str], tuple[Entry, ...]]] = {
    'file': lambda name: (file(name, b'content'),),
    'empty': lambda name: (directory(name),),
    'full': lambda name: (directory(name), directory(f'{name}/sub', 0o700), file(f'{name}/sub/f', b'f')),
    'symlink': lambda name: (symlink(name, 'target'),),
    'dirlink': lambda name: (symlink(name, '/target-dir'),),
    'fifo': lambda name: (fifo(name),),
    'hard': lambda name: (hardlink(name, 'target'),),
}
KIND = {'file': 'file', 'empty': 'directory', 'full': 'directory', 'symlink': 'symlink', 'dirlink': 'symlink',
        'fifo': 'fifo', 'hard': 'file'}
TARGETS = (file('target', b'target'), directory('target-dir'), file('target-dir/kept', b'kept'))
PAIRS = [(old, new, f'{old}-{new}') for old, new in product(MAKERS, MAKERS)]


@pytest.mark.parametrize('together', [True, False], ids=['one layer', 'two layers'])
def test_everything_is_replaced_by_everything(merging_ground: Ground, together: bool) -> None:
    old = [entry for before, _, name in PAIRS for entry in MAKERS[before](name)]
    new = [entry for _, after, name in PAIRS for entry in MAKERS[after](name)]
    done = merging_ground.extract(*([(*TARGETS, *old, *new)] if together else [(*TARGETS, *old), tuple(new)]))
    tree = done.tree
    assert {name: tree[name].kind for _, _, name in PAIRS} == {name: KIND[after] for _, after, name in PAIRS}
    full = {name for before, after, name in PAIRS
            if after == 'full' or (before == 'full' and after == 'empty')}
    assert {path.split('/')[0] for path in names(tree) if path.endswith('/sub/f')} == full
    assert {path for path in names(tree) if path.startswith('target')} == {'target', 'target-dir', 'target-dir/kept'}
    assert done.content('target') == b'target'


@pytest.mark.parametrize('together', [True, False], ids=['one layer', 'two layers'])
def test_a_directory_over_a_directory_takes_new_attributes_and_keeps_its_content(ground: Ground,
                                                                                 together: bool) -> None:
    old = (directory('d', 0o700, uid=1, gid=1, mtime=1), file('d/f', b'f'))
    new = (directory('d', 0o1775, uid=2, gid=3, mtime=2_000_000),)
    node = (done := ground.extract((*old, *new)) if together else ground.extract(old, new)).tree['d']
    assert (node.mode, node.mtime) == (0o1775, 2_000_000)
    assert node.owner == ((2, 3) if ground.user.is_root else (ground.user.id,) * 2)
    assert done.content('d/f') == b'f'


def test_a_directory_that_comes_again_loses_the_attributes_it_had(roots_ground: Ground) -> None:
    old = directory('d', 0o2775, pax={'SCHILY.xattr.user.old': b'1'})
    node = roots_ground.extract((old,), (directory('d', pax={'SCHILY.xattr.user.new': b'2'}),)).tree['d']
    assert (node.mode, dict(node.xattrs).get('user.new')) == (0o755, b'2')


def test_the_time_of_a_directory_is_the_archives_whatever_comes_into_it_later(merging_ground: Ground) -> None:
    below = (directory('d', mtime=1000), directory('d/e', mtime=2000), file('d/e/f', b'f'))
    done = merging_ground.extract(below, (file('d/e/new', b'new'), whiteout('d/e/f')))
    assert done.tree['d'].mtime == 1000
    assert merging_ground.extract(below).tree['d/e'].mtime == 2000


def test_a_file_replaced_in_a_later_layer_leaves_its_hard_links(ground: Ground) -> None:
    done = ground.extract((file('a', b'old'), hardlink('b', 'a')), (file('a', b'new'),))
    assert (done.content('a'), done.content('b'), done.tree['b'].same) == (b'new', b'old', ('b',))


LINKS: dict[str, tuple[tuple[Part, ...], ...]] = {
    'same layer': ((file('a', b'a'), hardlink('b', 'a')),),
    'lower layer': ((file('a', b'a'),), (hardlink('b', 'a'),)),
    'two layers below': ((file('a', b'a'),), (file('other'),), (hardlink('b', 'a'),)),
    'before its target': ((hardlink('b', 'a'), file('other'), file('a', b'a')),),
    'before its target, a lower layer': ((file('other'),), (hardlink('b', 'a'), file('a', b'a'))),
    'to a link': ((file('a', b'a'), hardlink('other', 'a'), hardlink('b', 'other')),),
    'to a link that comes later': ((hardlink('b', 'other'), hardlink('other', 'a'), file('a', b'a')),),
    'with a slash': ((file('a', b'a'),), (hardlink('b', '/a'),)),
    'with a dot': ((file('a', b'a'), hardlink('./b', './a')),),
}


@everywhere
@pytest.mark.parametrize('order', LINKS)
def test_hard_links_in_every_order(ground: Ground, order: str) -> None:
    done = ground.extract(*LINKS[order])
    if not ground.destination.merges and len(LINKS[order]) > 1 and order != 'before its target, a lower layer':
        done.refused('hard link')
        return
    assert {'a', 'b'} <= set(done.tree['a'].same) and done.content('b') == b'a'
    assert done.tree['a'].links == len(done.tree['a'].same)


def test_a_hard_link_to_a_symlink_is_that_symlink(merging_ground: Ground) -> None:
    done = merging_ground.extract((symlink('s', 'nowhere'), hardlink('h', 's')), (hardlink('later', 's'),))
    assert done.tree['s'].same == ('h', 'later', 's')
    assert done.tree['later'].target == 'nowhere'


@pytest.mark.parametrize('above', [(whiteout('a'),), (whiteout('d'), whiteout('a'))])
def test_a_link_outlives_its_target(ground: Ground, above: tuple[Part, ...]) -> None:
    done = ground.extract((file('a', b'a'), hardlink('b', 'a'), hardlink('d/c', 'a')), above)
    assert done.content('b') == b'a' and 'a' not in done.tree


@pytest.mark.parametrize('links', [(hardlink('b', 'a/x'), hardlink('a/x', 'z')),
                                   (hardlink('a/x', 'z'), hardlink('b', 'a/x'))])
def test_links_of_a_directory_that_is_deleted_meanwhile_are_made_in_any_order(
        merging_ground: Ground, links: tuple[Part, ...]) -> None:
    done = merging_ground.extract((file('a/old', b'old'),), (*links, whiteout('a'), file('z', b'z')))
    assert done.tree['z'].same == ('a/x', 'b', 'z') and 'a/old' not in done.tree


def test_hard_links_to_devices_and_pipes(ground: Ground) -> None:
    assert ground.extract((fifo('p'), hardlink('h', 'p'))).tree['h'].same == ('h', 'p')


NO_TARGET: dict[str, tuple[tuple[Part, ...], ...]] = {
    'nowhere': ((hardlink('b', 'a'),),), 'in a missing directory': ((hardlink('b', 'x/y/a'),),),
    'in a later layer': ((hardlink('b', 'a'),), (file('a', b'a'),)),
    'deleted by a lower layer': ((file('a', b'a'),), (whiteout('a'),), (hardlink('b', 'a'),)),
    'to each other': ((hardlink('a', 'b'), hardlink('b', 'a')),), 'to itself': ((hardlink('a', 'a'),),),
    'to a directory': ((directory('a'), hardlink('b', 'a')),), 'to the root': ((hardlink('b', '.'),),),
    'without a name': ((hardlink('b', ''),),), 'below a file': ((file('a', b'a'), hardlink('b', 'a/x')),),
}


@pytest.mark.parametrize('case', NO_TARGET)
def test_a_hard_link_without_a_target_is_refused(ground: Ground, case: str) -> None:
    ground.extract(*NO_TARGET[case]).refused()


TWICE: dict[str, tuple[tuple[Part, ...], str, bytes]] = {
    'file, file': ((file('x', b'one'), file('x', b'second')), 'file', b'second'),
    'spelt otherwise': ((file('x', b'one'), file('./x', b'second')), 'file', b'second'),
    'symlink, file': ((symlink('x', '/other'), file('x', b'second')), 'file', b'second'),
    'file, symlink': ((file('x', b'one'), symlink('x', 'y')), 'symlink', b''),
    'full directory, file': ((directory('x'), file('x/f', b'f'), file('x', b'second')), 'file', b'second'),
    'file, directory': ((file('x', b'one'), directory('x')), 'directory', b''),
    'link, file': ((file('o', b'other'), hardlink('x', 'o'), file('x', b'second')), 'file', b'second'),
    'file, link': ((file('x', b'one'), file('o', b'other'), hardlink('x', 'o')), 'file', b'other'),
}


@pytest.mark.parametrize('below', [False, True], ids=['alone', 'over a lower one'])
@pytest.mark.parametrize('case', TWICE)
def test_of_two_entries_of_one_name_the_last_wins(ground: Ground, case: str, below: bool) -> None:
    parts, kind, content = TWICE[case]
    done = ground.extract((directory('x'), file('x/old', b'old')), parts) if below else ground.extract(parts)
    assert done.tree['x'].kind == kind
    assert kind != 'file' or done.content('x') == content
    assert 'other' not in done.tree and (case != 'link, file' or done.content('o') == b'other')


@pytest.mark.parametrize('marks_first', [True, False], ids=['marks first', 'marks last'])
def test_a_file_survives_the_whiteout_of_its_name_in_its_layer(ground: Ground, marks_first: bool) -> None:
    below = (file('f', b'old'), directory('d'), file('d/old', b'old'), directory('a/b'), file('a/b/old', b'old'))
    new = (file('f', b'new'), directory('d'), file('d/new', b'new'), file('a/b/c/new', b'new'))
    marks = tuple(map(whiteout, ('f', 'd', 'a/b')))
    done = ground.extract(below, marks + new if marks_first else new + marks)
    assert names(done.tree) == {'f', 'd', 'd/new', 'a', 'a/b', 'a/b/c', 'a/b/c/new'}
    assert done.content('f') == b'new'
