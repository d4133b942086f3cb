"""POSIX access control lists: as the layer says, whatever lists are around, however the kernel writes equal ones."""
import os
import struct
import subprocess
from pathlib import Path

import pytest

from tests.hostile.extraction.ground import Ground
from tests.hostile.extraction.stacks import directory, file, layer, save_image, with_xattrs
from tests.hostile.extraction.trees import Tree
from tests.hostile.in_process import run_here

NOBODY = 0xffffffff
ACCESS, DEFAULT = 'system.posix_acl_access', 'system.posix_acl_default'
FULL = ('--verify=full',)


def acl(*entries: tuple[int, int, int]) -> bytes:
    """Return the value of a list."""
    return struct.pack('<I', 2) + b''.join(struct.pack('<HHI', *entry) for entry in entries)


LIST = ((1, 6, NOBODY), (2, 7, 1000), (4, 4, NOBODY), (16, 7, NOBODY), (32, 4, NOBODY))
CHILDREN = ((1, 7, NOBODY), (2, 7, 1000), (4, 5, NOBODY), (16, 7, NOBODY), (32, 5, NOBODY))


def lists(tree: Tree, path: str) -> dict[str, bytes]:
    """Return the lists of a path."""
    return {name: value for name, value in tree[path].xattrs if name in (ACCESS, DEFAULT)}


def test_a_list_that_says_no_more_than_a_mode_is_none(ground: Ground) -> None:
    minimal = acl((1, 6, NOBODY), (4, 4, NOBODY), (32, 4, NOBODY))
    xattrs = {**with_xattrs(system__posix_acl_access=minimal)}
    tree = ground.extract((file('a', pax=xattrs), directory('d', pax=xattrs)), arguments=FULL).tree
    assert (tree['a'].mode, lists(tree, 'a'), tree['d'].mode, lists(tree, 'd')) == (0o644, {}, 0o755, {})


def test_equal_lists_are_equal_in_whatever_way_they_are_written(ground: Ground) -> None:
    odd = acl(*((tag, perm, 0 if owner == NOBODY else owner) for tag, perm, owner in LIST))
    more = ((1, 6, NOBODY), (2, 7, 1001), (2, 6, 1000), (4, 4, NOBODY), (16, 7, NOBODY), (32, 4, NOBODY))
    tree = ground.extract((file('a', pax=with_xattrs(system__posix_acl_access=odd), mode=0o674),
                           file('b', pax=with_xattrs(system__posix_acl_access=acl(*more)), mode=0o674)),
                          arguments=FULL).tree
    assert lists(tree, 'a') == {ACCESS: acl(*LIST)}
    assert lists(tree, 'b') == {ACCESS: acl(*sorted(more))}


@pytest.mark.parametrize('mode', [0o600, 0o674, 0o711])
def test_the_mode_in_the_header_is_the_mode(ground: Ground, mode: int) -> None:
    xattrs = with_xattrs(system__posix_acl_access=acl(*LIST))
    tree = ground.extract((file('a', pax=xattrs, mode=mode), directory('d', pax=xattrs, mode=mode)),
                          arguments=FULL).tree
    masked = acl((1, mode >> 6, NOBODY), (2, 7, 1000), (4, 4, NOBODY), (16, mode >> 3 & 7, NOBODY),
                 (32, mode & 7, NOBODY))
    assert tree['a'].mode == mode and lists(tree, 'a') == {ACCESS: masked}
    assert tree['d'].mode == mode | ground.least_of_directories
    assert [name for name, _ in tree['d'].xattrs] == [ACCESS]


def test_children_have_the_lists_that_the_layer_says_and_no_others(ground: Ground) -> None:
    default = with_xattrs(system__posix_acl_default=acl(*CHILDREN))
    below = (directory('d', pax=default), file('d/f', b'f'), directory('d/s', 0o700), file('d/s/g', b'g'),
             file('d/i/h', b'h'))
    tree = ground.extract(below, (file('d/new', b'n', mode=0o600),), arguments=FULL).tree
    assert lists(tree, 'd') == {DEFAULT: acl(*CHILDREN)}
    assert {path for path in tree if lists(tree, path)} == {'d'}
    modes = [tree[path].mode for path in ('d/f', 'd/s', 'd/s/g', 'd/i/h', 'd/new')]
    assert modes == [0o644, 0o700, 0o644, 0o644, 0o600]


def test_a_default_list_goes_with_the_entry_that_does_not_have_it(merging_ground: Ground) -> None:
    default = with_xattrs(system__posix_acl_default=acl(*CHILDREN))
    tree = merging_ground.extract((directory('d', pax=default),), (directory('d'), file('d/f')), arguments=FULL).tree
    assert not lists(tree, 'd') and not lists(tree, 'd/f')


def test_a_default_list_of_a_file_is_refused(ground: Ground) -> None:
    ground.extract((file('f', pax=with_xattrs(system__posix_acl_default=acl(*CHILDREN))),)).refused(DEFAULT)


@pytest.mark.parametrize('place', ['oci://{}/in/out', 'mounts://{}/in/out', 'dir://{}/in/out?expand=true'])
def test_lists_and_modes_of_the_place_have_no_effect(place: str, tmp_path: Path) -> None:
    (tmp_path / 'in').mkdir()
    subprocess.run(['setfacl', '-m', 'd:u:1000:rwx,u:1000:rwx', tmp_path / 'in'], check=True)
    (tmp_path / 'in').chmod(0o2777)
    archive = save_image(tmp_path / 'image.tar', layer(directory('d', 0o700), file('d/f', b'f'), file('i/g', b'g')))
    run_here('process', f'tar://{archive}', place.format(tmp_path), '--no-sync', '--verify=full').assert_success()
    found = [path for path in (tmp_path / 'in/out').rglob('*') if {'d', 'i'} & {path.name, path.parent.name}]
    assert len(found) == 4
    for path in found:
        assert not [name for name in os.listxattr(path) if 'acl' in name], path
        assert not path.stat().st_mode & 0o7022, path
