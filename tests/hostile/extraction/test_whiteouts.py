"""HOSTILE 6-9: marks that delete, and what they must not delete."""
import pytest

from tests.hostile.extraction.ground import Ground
from tests.hostile.extraction.stacks import Part, directory, fifo, file, hardlink, opaque, symlink, whiteout
from tests.hostile.extraction.trees import names


@pytest.mark.parametrize('where', ['', 'a/', 'a/b/'])
@pytest.mark.parametrize('name', ['.wh.', '.wh..', '.wh...'])
def test_marks_that_name_no_file_are_refused(ground: Ground, name: str, where: str) -> None:
    ground.extract((directory('a/b'), file('a/b/f', b'f')), (file(where + name),)).refused('.wh.')


def test_a_mark_that_names_no_file_is_refused_in_the_first_layer(ground: Ground) -> None:
    ground.extract((file('.wh..'),)).refused('.wh.')


def test_the_bookkeeping_of_aufs_is_ignored(ground: Ground) -> None:
    marks = (file('.wh..wh.aufs', b'x'), directory('.wh..wh.orph'), directory('.wh..wh.plnk'), file('a/.wh..wh.aufs'),
             file('.wh..wh.plnk/12.34', b'x'))
    done = ground.extract((file('a/f', b'f'), file('aufs', b'x'), directory('plnk')), marks)
    assert names(done.tree) == {'a', 'a/f', 'aufs', 'plnk'}


def test_hard_links_lead_to_files_that_aufs_kept_for_them(ground: Ground) -> None:
    upper = (hardlink('early', '.wh..wh.plnk/12.34'), file('.wh..wh.plnk/12.34', b'kept'), directory('a'),
             hardlink('a/late', './.wh..wh.plnk/12.34'))
    done = ground.extract((file('a/f', b'f'),), upper, (file('b', b'b'), whiteout('early')))
    assert names(done.tree) == {'a', 'a/f', 'a/late', 'b'} and done.tree['a/late'].size == 4


def test_a_file_that_aufs_kept_is_gone_for_later_layers(ground: Ground) -> None:
    kept = (file('.wh..wh.plnk/12.34', b'kept'), hardlink('a', '.wh..wh.plnk/12.34'))
    ground.extract(kept, (hardlink('b', '.wh..wh.plnk/12.34'),)).refused('which does not exist')


def test_a_whiteout_deletes_whatever_has_that_name(ground: Ground) -> None:
    below = (file('file', b'x'), directory('dir/in'), file('dir/in/f', b'x'), fifo('fifo'), symlink('link', 'kept'),
             file('kept', b'kept'), hardlink('hard', 'kept'), directory('a'), file('a/x', b'x'), file('a/y', b'y'))
    marks = (*map(whiteout, ('file', 'dir', 'fifo', 'link', 'hard')), whiteout('a/x'))
    done = ground.extract(below, marks)
    assert names(done.tree) == {'kept', 'a', 'a/y'}
    assert done.tree['kept'].same == ('kept',)


def test_a_whiteout_of_a_symlink_leaves_its_target(ground: Ground) -> None:
    below = (directory('real'), file('real/f', b'f'), symlink('in', 'real'), symlink('abs', '/real'),
             symlink('out', ground.victim), symlink('up', '../../victim'))
    done = ground.extract(below, tuple(map(whiteout, ('in', 'abs', 'out', 'up'))))
    assert names(done.tree) == {'real', 'real/f'}


def test_a_whiteout_through_a_symlinked_parent_deletes_in_the_root(merging_ground: Ground) -> None:
    below = (directory('real'), file('real/f', b'f'), file('real/g', b'g'), file('real/kept', b'k'),
             symlink('in', 'real'), symlink('abs', '/real'), symlink('out', merging_ground.victim),
             symlink('up', '../../../real'))
    done = merging_ground.extract(below, tuple(map(whiteout, ('in/f', 'abs/g', 'out/file', 'out/directory'))))
    assert {name for name in names(done.tree) if name.startswith('real')} == {'real', 'real/kept'}
    again = merging_ground.extract(below, (whiteout('up/f'),), options='')
    assert 'real/f' not in again.tree and 'real/g' in again.tree


def test_whiteouts_of_what_is_not_there_do_nothing(merging_ground: Ground) -> None:
    below = (directory('a'), symlink('dead', 'nowhere'), symlink('dead-abs', '/no/where'))
    marks = (whiteout('x'), whiteout('a/x'), whiteout('a/b/c/x'), whiteout('missing/x'), whiteout('dead/x'),
             whiteout('dead-abs/x'), opaque('missing-too'), whiteout('a/' + 'n' * 250))
    done = merging_ground.extract(below, marks)
    assert names(done.tree) - {'missing-too'} == {'a', 'dead', 'dead-abs'}


def test_whiteouts_in_the_first_layer_do_nothing(ground: Ground) -> None:
    assert names(ground.extract((whiteout('x'), opaque(), file('f', b'f'), opaque('a'), file('a/f'))).tree) == {
        'f', 'a', 'a/f'}


def test_a_directory_that_looks_like_a_mark_is_an_ordinary_path(ground: Ground) -> None:
    done = ground.extract((directory('etc'), file('etc/file', b'kept')), (file('.wh.etc/file', b'ordinary'),))
    assert done.content('etc/file') == b'kept'
    assert done.content('.wh.etc/file') == b'ordinary'


BELOW: tuple[Part, ...] = (
    directory('foo'), file('foo/old', b'old'), directory('foo/sub'), file('foo/sub/old', b'old'),
    directory('foo/sub/deep'), file('foo/sub/deep/old', b'old'), directory('foobar'), file('foobar/kept', b'kept'),
    file('fo', b'kept'), directory('foo.d'), file('foo.d/kept', b'kept'), symlink('foo/link', '/foobar'))
KEPT = {'foo', 'foobar', 'foobar/kept', 'fo', 'foo.d', 'foo.d/kept'}


@pytest.mark.parametrize('place', ['first', 'last', 'between'])
def test_opaque_hides_lower_layers_only(ground: Ground, place: str) -> None:
    new = [file('foo/before', b'1'), directory('foo/sub'), file('foo/sub/new', b'2'), directory('foo/n'),
           file('foo/n/f', b'3')]
    new.insert({'first': 0, 'between': 2, 'last': 5}[place], opaque('foo'))
    done = ground.extract(BELOW, tuple(new))
    assert names(done.tree) == KEPT | {'foo/before', 'foo/sub', 'foo/sub/new', 'foo/n', 'foo/n/f'}


@pytest.mark.parametrize('place', [0, 2, 4])
def test_a_file_that_comes_again_beside_an_opaque_mark_is_the_new_one(ground: Ground, place: int) -> None:
    new = [directory('foo', 0o700), file('foo/old', b'new'), file('foo/sub/deep/old', b'new'),
           hardlink('foo/h', 'foo/old')]
    new.insert(place, opaque('foo'))
    done = ground.extract(BELOW, tuple(new))
    assert names(done.tree) == KEPT | {'foo/old', 'foo/sub', 'foo/sub/deep', 'foo/sub/deep/old', 'foo/h'}
    assert done.content('foo/h') == done.content('foo/sub/deep/old') == b'new'
    assert done.tree['foo'].mode == 0o700


def test_opaque_without_anything_else_empties_the_directory(merging_ground: Ground) -> None:
    done = merging_ground.extract((directory('foo', 0o710), *BELOW[1:]), (opaque('foo'),))
    assert names(done.tree) == KEPT
    assert done.tree['foo'].mode == 0o710


@pytest.mark.parametrize('place', [0, 3])
def test_opaque_at_the_root(ground: Ground, place: int) -> None:
    new = [file('new', b'new'), directory('foo'), file('foo/f', b'f')]
    new.insert(place, opaque())
    done = ground.extract(BELOW, tuple(new))
    assert names(done.tree) == {'new', 'foo', 'foo/f'}


def test_nested_opaque_marks(ground: Ground) -> None:
    marks = (opaque('foo/sub'), file('foo/sub/new', b'new'), opaque('foo'), opaque('foo/sub/deep'))
    done = ground.extract(BELOW, marks)
    assert names(done.tree) - {'foo/sub/deep'} == KEPT | {'foo/sub', 'foo/sub/new'}
    inner = ground.extract(BELOW, (opaque('foo/sub'),))
    assert names(inner.tree) == KEPT | {'foo/old', 'foo/link', 'foo/sub'}


@pytest.mark.parametrize('spelling', ['./foo/.wh..wh..opq', '/foo/.wh..wh..opq', 'foo//.wh..wh..opq'])
def test_marks_count_however_they_are_spelt(roots_ground: Ground, spelling: str) -> None:
    assert names(roots_ground.extract(BELOW, (file(spelling),)).tree) == KEPT


def test_an_opaque_mark_through_a_symlink_hides_the_real_directory(merging_ground: Ground) -> None:
    done = merging_ground.extract((*BELOW, symlink('s', '/foo')), (opaque('s'), file('s/new', b'new')))
    assert names(done.tree) == KEPT | {'s', 'foo/new'}


@pytest.mark.parametrize('mark', [whiteout('d'), opaque('d'), opaque()])
def test_a_hard_link_that_waits_for_its_target_is_of_the_marks_own_layer(ground: Ground, mark: Part) -> None:
    done = ground.extract((directory('d'), file('d/old')), (hardlink('d/b', 'd/in/a'), mark, file('d/in/a', b'a')))
    assert names(done.tree) == {'d', 'd/b', 'd/in', 'd/in/a'} and done.content('d/b') == b'a'
    done = ground.extract((directory('d'), file('d/old')), (hardlink('d/b', 'a'), file('a', b'a'), mark))
    assert names(done.tree) == {'a', 'd', 'd/b'} and done.content('d/b') == b'a'


def test_layers_above_a_mark_bring_names_back(ground: Ground) -> None:
    done = ground.extract(BELOW, (opaque('foo'), whiteout('fo')), (file('foo/old', b'new'),), (file('fo', b'new'),))
    assert names(done.tree) == KEPT | {'foo/old'}
    assert done.content('foo/old') == done.content('fo') == b'new'
