"""HOSTILE 1-5: layers that try to write, link or change attributes outside of what is unpacked."""
import os
from collections.abc import Callable
from itertools import product

import pytest

from tests.hostile.extraction.ground import Ground, everywhere
from tests.hostile.extraction.stacks import (Entry, Part, device, fifo, file, directory, hardlink, opaque, symlink,
                                             whiteout)
from tests.hostile.extraction.trees import names

# Where a link to the outside points, and where its target is when the root file system is the whole world.
WAYS_OUT: dict[str, Callable[[Ground], tuple[str, str]]] = {
    'absolute': lambda ground: (ground.victim, ground.inside),
    'relative': lambda ground: ('../../victim', 'victim'),
    'far up': lambda ground: ('../' * 20 + ground.inside, ground.inside),
    'root': lambda ground: ('/', ''),
    'through a directory': lambda ground: (f'dir/../../..{ground.victim}', ground.inside),
}


@everywhere
@pytest.mark.parametrize('together', [True, False], ids=['one layer', 'two layers'])
@pytest.mark.parametrize('way', WAYS_OUT)
def test_paths_through_a_symlink_stay_in_the_root(ground: Ground, way: str, together: bool) -> None:
    target, place = WAYS_OUT[way](ground)
    link = (directory('dir'), symlink('out', target))
    writes = (file('out/file', b'taken'), directory('out/directory', 0o700), file('out/directory/inside', b'taken'),
              symlink('out/link', '/etc/passwd'), fifo('out/fifo'), hardlink('out/hard', 'out/file'))
    done = ground.extract(link + writes) if together else ground.extract(link, writes)
    if not together and not ground.destination.merges:
        assert done.content('out/directory/inside') == b'taken'
        return
    where = f'{place}/' if place else ''
    assert done.tree['out'].target == target
    assert done.content(f'{where}directory/inside') == done.content(f'{where}file') == b'taken'
    assert done.tree[f'{where}hard'].same == tuple(sorted([f'{where}file', f'{where}hard']))
    assert (done.tree[f'{where}fifo'].kind, done.tree[f'{where}link'].target) == ('fifo', '/etc/passwd')


@everywhere
@pytest.mark.parametrize('together', [True, False], ids=['one layer', 'two layers'])
def test_deleting_through_a_symlink_stays_in_the_root(ground: Ground, together: bool) -> None:
    link = (symlink('out', ground.victim), symlink('up', '../../victim/directory'))
    marks = (whiteout('out/file'), whiteout('out/directory'), opaque('out'), opaque('up'), whiteout('up/inside'))
    done = ground.extract(link + marks) if together else ground.extract(link, marks)
    if ground.destination.merges:
        assert names(done.tree) >= {'out', 'up'}
    done.result.assert_success()


def test_links_in_a_row_stay_in_the_root(merging_ground: Ground) -> None:
    links = (symlink('a', 'b'), symlink('b', '/c'), symlink('c', 'd/e'), directory('d'),
             symlink('d/e', f'{merging_ground.victim}'))
    done = merging_ground.extract((*links, file('a/directory/new', b'taken')), (file('b/file', b'again'),))
    assert done.content(f'{merging_ground.inside}/directory/new') == b'taken'
    assert done.content(f'{merging_ground.inside}/file') == b'again'


@pytest.mark.parametrize('links', [
    (symlink('a', 'b'), symlink('b', 'a')), (symlink('a', 'a'),), (symlink('a', 'a/b/c'),),
    tuple(symlink(f'l{number}', f'l{number + 1}') for number in range(2000)) + (symlink('a', 'l0'), directory('l2000')),
], ids=['two', 'one', 'growing', 'two thousand'])
def test_links_without_end_are_refused(ground: Ground, links: tuple[Part, ...]) -> None:
    ground.extract((*links, file('a/file', b'x'))).refused()


@pytest.mark.parametrize('write', [file('x', b'new', mode=0o777), directory('x', 0o777), fifo('x', mode=0o777),
                                   symlink('x', 'elsewhere')], ids=['file', 'directory', 'fifo', 'symlink'])
@pytest.mark.parametrize('together', [True, False], ids=['one layer', 'two layers'])
def test_the_last_component_is_replaced_never_followed(ground: Ground, write: Entry, together: bool) -> None:
    links = (symlink('x', f'{ground.victim}/file'),)
    done = ground.extract((*links, write)) if together else ground.extract(links, (write,))
    assert names(done.tree) == {'x'}
    assert done.tree['x'].target == ('elsewhere' if write.link else '')


LEADING_UP = ['../x', '../../victim/file', 'a/../../../victim/file', '../rootfs-evil/file', '../bundle-evil/file',
              'a/..', 'a/../b', '/../x', './../x', '..']


@pytest.mark.parametrize('name', LEADING_UP)
def test_a_path_that_leads_up_is_refused(roots_ground: Ground, name: str) -> None:
    roots_ground.extract((directory('a'), file('a/f', b'f'), file(name, b'taken'))).refused('..')


@pytest.mark.parametrize('name', ['../../victim/new', 'a/../b'])
@pytest.mark.parametrize('make', [directory, lambda name: symlink(name, 'x'), lambda name: hardlink(name, 'a/f')],
                         ids=['directory', 'symlink', 'hard link'])
def test_nothing_of_any_kind_leads_up(ground: Ground, name: str, make: Callable[[str], Entry]) -> None:
    ground.extract((directory('a'), file('a/f', b'f'), make(name))).refused('..')


@pytest.mark.parametrize('part', [file('../../victim/file', b'taken'), whiteout('../../victim/file'),
                                  opaque('../../victim'), opaque('..'), whiteout('..')])
def test_a_path_that_leads_up_is_refused_in_a_later_layer(ground: Ground, part: Entry) -> None:
    ground.extract((file('a', b'a'),), (part,)).refused()


def test_dots_in_names_are_ordinary_and_a_leading_slash_is_dropped(ground: Ground) -> None:
    parts = (file('/x', b'1'), file('//y', b'2'), file('..z', b'3'), file('z..', b'4'), file('.../f', b'5'),
             file('./a/./b//c', b'6'), file(f'{ground.victim}/file', b'7'), hardlink('/h', '/x'))
    done = ground.extract(parts)
    found = {name: done.content(name) for name in ('x', 'y', '..z', 'z..', '.../f', 'a/b/c', f'{ground.inside}/file')}
    assert b''.join(found.values()) == b'1234567'
    assert done.tree['h'].same == ('h', 'x')


LINKS_OUT: dict[str, Callable[[Ground], tuple[Part, ...]]] = {
    'up': lambda ground: (hardlink('h', '../../victim/linked'),),
    'up from a directory': lambda ground: (directory('a'), hardlink('a/h', '../../../victim/linked')),
    'absolute': lambda ground: (hardlink('h', f'{ground.victim}/linked'),),
    'from the working directory': lambda ground: (hardlink('h', 'victim/linked'),),
    'through a symlink': lambda ground: (symlink('s', ground.victim), hardlink('h', 's/linked')),
    'through a relative symlink': lambda ground: (symlink('s', '../../victim'), hardlink('h', 's/linked')),
}


@pytest.mark.parametrize('together', [True, False], ids=['one layer', 'two layers'])
@pytest.mark.parametrize('way', LINKS_OUT)
def test_a_hard_link_to_the_outside_is_refused(ground: Ground, way: str, together: bool) -> None:
    *before, link = LINKS_OUT[way](ground)
    stack = ((*before, link),) if together else ((file('f'), *before), (link,))
    ground.extract(*stack).refused()
    assert os.stat(f'{ground.victim}/linked').st_nlink == 1


def test_a_hard_link_to_the_outside_gets_what_is_at_that_path_inside(merging_ground: Ground) -> None:
    own = file(f'{merging_ground.victim}/linked', b'of the image')
    links = (symlink('s', merging_ground.victim), hardlink('absolute', f'{merging_ground.victim}/linked'),
             hardlink('through', 's/linked'))
    done = merging_ground.extract((own,), links)
    assert set(done.tree['absolute'].same) == {'absolute', 'through', f'{merging_ground.inside}/linked'}
    assert done.content('through') == b'of the image'


ROOTS = {'symlink': lambda name, ground: symlink(name, ground.victim), 'file': lambda name, ground: file(name, b'x'),
         'fifo': lambda name, ground: fifo(name), 'hard link': lambda name, ground: hardlink(name, 'f'),
         'device': lambda name, ground: device(name, 1, 3)}


@pytest.mark.parametrize(('name', 'kind'), [*product(['.', '/', './', '..'], ['symlink', 'file']), ('.', 'fifo'),
                                            ('.', 'hard link'), ('.', 'device'), ('', 'symlink'), ('./.', 'symlink')])
def test_the_root_stays_a_directory(roots_ground: Ground, name: str, kind: str) -> None:
    roots_ground.extract((file('f', b'f'), ROOTS[kind](name, roots_ground), file('new', b'new'))).refused()


def test_the_root_as_a_symlink_in_a_later_layer_is_refused(ground: Ground) -> None:
    ground.extract((file('f', b'f'),), (symlink('.', ground.victim),), (file('file', b'taken'),)).refused()


@pytest.mark.parametrize('name', ['.', './.', '/'])
def test_the_root_takes_attributes(ground: Ground, name: str) -> None:
    root = ground.extract((file('f', b'f'), directory(name, 0o711, uid=7, gid=8, mtime=1_234_567_890))).tree['.']
    assert (root.kind, root.mode, root.mtime) == ('directory', 0o711, 1_234_567_890)
    assert root.owner == ((7, 8) if ground.user.is_root else (ground.user.id, ground.user.id))


@everywhere
@pytest.mark.parametrize('together', [True, False], ids=['one layer', 'two layers'])
def test_attributes_never_go_through_links(ground: Ground, together: bool) -> None:
    pax = {'SCHILY.xattr.user.taken': b'1'}
    links = (symlink('abs', f'{ground.victim}/file', mode=0o777, mtime=1, pax=pax), symlink('up', '../../victim/file'),
             symlink('dir', ground.victim))
    hard = tuple(hardlink(f'h-{name}', name, mode=0o6777, mtime=1, uid=7, gid=7, pax=pax)
                 for name in ('abs', 'up', 'dir'))
    done = ground.extract(links + hard) if together else ground.extract(links, hard)
    if not together and not ground.destination.merges:
        done.refused('h-abs')
        return
    assert {done.tree[f'h-{name}'].kind for name in ('abs', 'up', 'dir')} == {'symlink'}
    assert done.tree['h-abs'].same == ('abs', 'h-abs')
