"""HOSTILE 16: directories on the way that are missing, are not directories, or have no permissions."""
import pytest

from tests.hostile.extraction.ground import Ground, everywhere
from tests.hostile.extraction.stacks import Entry, Part, device, directory, fifo, file, hardlink, symlink, whiteout
from tests.hostile.extraction.trees import names


def test_parents_that_are_not_in_the_archive_are_made(ground: Ground) -> None:
    parts = (file('a/b/f', b'f', mode=0o600, uid=5, gid=5), directory('c/d', 0o700), symlink('e/f/l', 'x'), fifo('g/p'),
             hardlink('h/i', 'a/b/f'))
    tree = ground.extract(parts).tree
    made = [tree[path] for path in ('a', 'a/b', 'c', 'e', 'e/f', 'g', 'h')]
    assert {(node.kind, node.mode) for node in made} == {('directory', 0o755)}
    assert {node.owner for node in made} == {(ground.user.id, ground.user.id)}
    assert tree['c/d'].mode == 0o700


def test_a_parent_that_comes_after_its_content_takes_its_attributes(ground: Ground) -> None:
    done = ground.extract((file('a/b/f', b'f'), directory('a/b', 0o711, mtime=1000), directory('a', 0o750, mtime=2000)))
    assert [(done.tree[path].mode, done.tree[path].mtime) for path in ('a/b', 'a')] == [(0o711, 1000), (0o750, 2000)]
    assert done.content('a/b/f') == b'f'


def test_parents_of_another_layer_keep_their_attributes(merging_ground: Ground) -> None:
    tree = merging_ground.extract((directory('a', 0o1711, mtime=1000),), (file('a/b/f', b'f'),)).tree
    assert (tree['a'].mode, tree['a'].mtime, tree['a/b'].mode) == (0o1711, 1000, 0o755)


def test_parents_through_a_dangling_symlink_are_made_in_the_root(ground: Ground) -> None:
    above = (symlink('m', 'gone/../other'), file('m/x/f', b'g'))
    done = ground.extract((symlink('l', '/no/where'), file('l/f', b'f')), above)
    assert done.content('no/where/f') == b'f' and done.content('other/x/f') == b'g'
    assert 'gone' not in done.tree


PARENTS: dict[str, Entry] = {'file': file('p', b'p'), 'fifo': fifo('p'), 'device': device('p', 1, 3),
                             'link to a file': symlink('p', 'f'), 'hard link': hardlink('p', 'f')}


@everywhere
@pytest.mark.parametrize('together', [True, False], ids=['one layer', 'two layers'])
@pytest.mark.parametrize('kind', PARENTS)
def test_a_parent_that_is_no_directory_is_refused(ground: Ground, kind: str, together: bool) -> None:
    below, above = (file('f', b'f'), PARENTS[kind]), (file('p/x', b'x'),)
    done = ground.extract(below + above) if together else ground.extract(below, above)
    if together or ground.destination.merges:
        done.refused('p/x')
    else:
        assert done.content('p/x') == b'x'


@pytest.mark.parametrize('part', [directory('p/x'), symlink('p/x', 'y'), hardlink('p/x', 'f'), file('p/x/y/z', b'z')])
def test_nothing_of_any_kind_goes_below_a_file(merging_ground: Ground, part: Part) -> None:
    merging_ground.extract((file('f', b'f'), file('p', b'p')), (part,)).refused('p/x')


@pytest.mark.parametrize('together', [True, False], ids=['one layer', 'two layers'])
def test_a_parent_of_mode_0_takes_its_content_and_stays_so(merging_ground: Ground, together: bool) -> None:
    below = (directory('a', 0), directory('a/b', 0), file('a/b/f', b'f', mode=0))
    above = (file('a/b/g', b'g'), directory('a/b/c', 0), file('a/h', b'h'), hardlink('h', 'a/b/f'),
             symlink('a/b/l', 'g'))
    done = merging_ground.extract(below + above) if together else merging_ground.extract(below, above)
    assert names(done.tree) == {'a', 'a/b', 'a/b/f', 'a/b/g', 'a/b/c', 'a/b/l', 'a/h', 'h'}
    assert {done.tree[path].mode for path in ('a', 'a/b', 'a/b/c')} == {merging_ground.least_of_directories}
    assert done.tree['a/b/f'].mode == merging_ground.least_of_files
    assert done.content('a/b/g') == b'g'


def test_files_with_mode_0_are_verified_in_full(ground: Ground) -> None:
    parts = (directory('a', 0), file('a/f', b'f', mode=0), file('g', b'g', mode=0), directory('b', 0o300),
             file('b/f', b'f'))
    assert ground.extract(parts, arguments=('--verify=full',)).tree['a'].mode == ground.least_of_directories


def test_files_with_mode_0_can_be_deleted_and_replaced(merging_ground: Ground) -> None:
    below = tuple(part for name in 'abcd' for part in (
        directory(name, 0), directory(f'{name}/in', 0), file(f'{name}/in/f', b'f', mode=0),
        directory(f'{name}/in/deep', 0)))
    above = (whiteout('a'), file('b', b'b'), whiteout('c/in/f'), file('d/.wh..wh..opq'))
    done = merging_ground.extract(below, above)
    assert names(done.tree) == {'b', 'c', 'c/in', 'c/in/deep', 'd'}
    assert {done.tree[path].mode for path in ('c', 'c/in', 'd')} == {merging_ground.least_of_directories}


def test_a_root_of_mode_0(merging_ground: Ground) -> None:
    done = merging_ground.extract((directory('.', 0), file('f', b'f')), (file('g', b'g'),), (whiteout('f'),))
    assert (done.tree['.'].mode, names(done.tree)) == (merging_ground.least_of_directories, {'g'})


def test_nothing_of_mode_0_is_left_after_an_error(ground: Ground) -> None:
    below = (directory('.', 0o500), directory('a', 0), directory('a/b', 0), file('a/b/f', b'f'))
    ground.extract(below, (file('../x'),)).refused('..')
