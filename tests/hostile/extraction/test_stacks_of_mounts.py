"""What overlayfs shows of an image's layers is what the image has: the same as one tree of all layers."""
import os
import random
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from tests.hostile.extraction.stacks import (
    Part, directory, file, layer, opaque, save_image, symlink, whiteout, with_xattrs,
)
from tests.hostile.extraction.trees import Tree, read_tree
from tests.hostile.in_process import run_here
from tests.services.directories import service_directory

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason='only root may mount')

Stack = tuple[tuple[Part, ...], ...]
LOW = (directory('tmp', 0o1777), directory('secret', 0o700, uid=7, gid=8, pax=with_xattrs(user__x=b'1')),
       directory('a/b', 0o711), file('a/b/f', b'f'), directory('e'))
STACKS: dict[str, Stack] = {
    'no entries for parents': (LOW, (file('tmp/x', b'x'), file('secret/y', b'y'), file('a/b/g', b'g'), file('n/m/z'))),
    'the root too': ((directory('.', 0o750, uid=3), *LOW), (file('x', b'x'),)),
    'the lowest layer has no parents': ((file('a/b/f', b'f'),), LOW, (file('a/b/g', b'g'),)),
    'parents that were deleted between': (LOW, (whiteout('secret'),), (file('secret/y', b'y'),)),
    'parents that were deleted at once': (LOW, (whiteout('secret'), file('secret/y', b'y'))),
    'parents that became files': (LOW, (whiteout('a'), file('a', b'a')), (whiteout('a'), file('a/b/c', b'c'))),
    'emptied parents': (LOW, (opaque('secret'), opaque('a'), file('a/n', b'n'))),
    'emptied root': (LOW, (opaque(), file('tmp/x', b'x'), file('a/n', b'n'))),
    'marks of nothing': (LOW, (whiteout('x'), whiteout('e/x'), whiteout('p/q/x'), opaque('o'), opaque('a/o/p'))),
    'marks of nothing, alone': ((whiteout('x'), whiteout('e/x'), whiteout('p/q/x'), opaque('o')),),
    'marks in a directory that only one layer has': (LOW, (directory('n'), file('n/f'), whiteout('n/x')), (file('y'),)),
    'marks of nothing, filled later': (LOW, (whiteout('p/q/x'),), (file('p/q/y', b'y'), directory('p', 0o700))),
    'marks below marks': (LOW, (whiteout('a'), whiteout('a/b'), opaque('a/b'), whiteout('a/b/f'))),
    'marks below marks, the deepest first': (LOW, (whiteout('a/b/f'), opaque('a/b'), whiteout('a'))),
    'marks in what is emptied': (LOW, (opaque('a'), whiteout('a/b'), whiteout('a/b/f'), opaque('a/c'))),
    'marks below a file': (LOW, (file('p', b'p'), whiteout('p/x'), opaque('p'))),
    'marks below a link to nowhere': (
        (*LOW, symlink('p', 'none', uid=5), symlink('e/up', '../../no/thing')),
        (whiteout('p/x'), opaque('e/up'), whiteout('e/up/y'), file('x')), (file('e/f'),)),
    'one layer twice': (LOW, (file('a/b/g', b'g'),), LOW, (file('a/b/g', b'g'),)),
    'attributes that are gone': (LOW, (directory('secret'),), (file('secret/z'),)),
}


@contextmanager
def shown(mounts: Path) -> Iterator[Path]:
    """Give what the script of a directory of mounts mounts."""
    target = mounts.parent / 'mounted'
    done = subprocess.run([mounts / 'mount.sh', target], capture_output=True, text=True)
    assert not done.returncode, done.stderr
    try:
        yield target
    finally:
        subprocess.run(['umount', target], check=True)


def plain(tree: Tree) -> Tree:
    """Return a tree without what overlayfs does not keep: numbers of names, of directories anyway."""
    return {path: replace(node, links=0) for path, node in tree.items()}


def both(layers: Stack) -> tuple[Tree, Tree]:
    """Return what a bundle and mounted layers have, both verified."""
    with service_directory('stack') as place:
        archive = save_image(place / 'image.tar', *(layer(*parts) for parts in layers))
        for scheme in ('oci', 'mounts'):
            run_here('process', f'tar://{archive}', f'{scheme}://{place}/{scheme}', '--verify=full', '--no-sync'
                     ).assert_success()
        with shown(place / 'mounts') as mounted:
            return plain(read_tree(place / 'oci/rootfs')), plain(read_tree(mounted))


@pytest.mark.parametrize('name', STACKS)
def test_mounted_layers_are_what_one_tree_is(name: str) -> None:
    tree, mounted = both(STACKS[name])
    assert mounted == tree


def random_stack(seed: int) -> Stack:
    """Return layers of directories, files and marks under few names, most without entries for parents."""
    chance = random.Random(seed)

    def path() -> str:
        return '/'.join(chance.choice('abc') for _ in range(chance.randint(1, 3)))

    def part() -> Part:
        kind = chance.randrange(6)
        if kind < 2:
            mode = chance.choice((0o700, 0o755, 0o1777))
            return directory(path(), mode, uid=chance.randrange(3), mtime=chance.randrange(9))
        return (file(f'{path()}/f', b'f'), file(f'{path()}/g', b'g'), whiteout(path()), opaque(path()))[kind - 2]
    return tuple(tuple(part() for _ in range(chance.randint(1, 4))) for _ in range(chance.randint(1, 4)))


@pytest.mark.parametrize('seed', range(int(os.environ.get('OCCYSTRAP_TEST_STACKS', '40'))))
def test_mounted_layers_are_what_one_tree_is_whatever_they_are(seed: int) -> None:
    stack = random_stack(seed)
    tree, mounted = both(stack)
    assert mounted == tree, stack


@pytest.mark.parametrize('count', [127, 300])
def test_many_layers_can_be_mounted(count: int) -> None:
    tree, mounted = both(tuple((file(f'd/f{number}', b'%d' % number),) for number in range(count)))
    assert mounted == tree and len(mounted) == count + 2


def test_more_layers_than_can_be_mounted_are_refused(tmp_path: Path) -> None:
    archive = save_image(tmp_path / 'image.tar', *(layer(file(f'f{number}')) for number in range(501)))
    result = run_here('process', f'tar://{archive}', f'mounts://{tmp_path}/mounts')
    result.assert_code(1)
    assert 'error: 501 layers cannot be mounted: overlayfs takes up to 500; write the image to oci://' in result.err
    assert not (tmp_path / 'mounts').exists()


@pytest.mark.parametrize('other', [file('p', b'p'), symlink('p', 'a'), symlink('p', '/')])
def test_marks_below_what_is_no_directory_of_a_lower_layer_are_refused(other: Part, tmp_path: Path) -> None:
    archive = save_image(tmp_path / 'image.tar', layer(directory('a'), other), layer(whiteout('p/x'), file('x')))
    result = run_here('process', f'tar://{archive}', f'mounts://{tmp_path}/mounts')
    result.assert_code(1)
    assert 'error: p is not a directory in one layer' in result.err and 'oci://' in result.err
    assert not (tmp_path / 'mounts').exists()
    run_here('process', f'tar://{archive}', f'oci://{tmp_path}/bundle', '--verify=full').assert_success()


@pytest.mark.parametrize('name', ['a,b:c', 'with space', "quote'", 'back\\slash'])
def test_places_whose_names_mean_something_to_mount(name: str, tmp_path: Path) -> None:
    place = tmp_path / name
    place.mkdir()
    archive = save_image(tmp_path / 'image.tar', layer(file('f', b'f')), layer(file('g', b'g')))
    run_here('process', f'tar://{archive}', f'mounts://{tmp_path}/mounts', '--no-sync').assert_success()
    (tmp_path / 'mounts').rename(place / 'mounts')
    target = place / 'target'
    subprocess.run([place / 'mounts/mount.sh', target, place / 'changes'], check=True)
    try:
        (target / 'new').write_text('new')
        assert sorted(os.listdir(target)) == ['f', 'g', 'new']
    finally:
        subprocess.run(['umount', target], check=True)
    assert (place / 'changes/upper/new').read_text() == 'new'
    assert not [each for each in os.listdir('/tmp') if each.startswith('tmp.') and os.path.lexists(f'/tmp/{each}/1')]


def test_a_symlink_stays_where_nothing_is_below_it() -> None:
    tree, mounted = both(((directory('a'), symlink('s', 'a')), (file('a/f'), whiteout('a/x'))))
    assert mounted == tree
