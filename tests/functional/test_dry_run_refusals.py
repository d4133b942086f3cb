"""A dry run foresees what a run refuses before it moves bytes: a failure in the same words, nothing written."""
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.hostile.in_process import run_here
from tests.unit.registry.several import registry_with
from tests.unit.tar.archives import docker_members, write_tar

Prepare = Callable[[Path, str], None]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[str]:
    """A registry with the index many:v1 and, as single:v1, one of its images; a docker archive image.tar."""
    with registry_with(tmp_path / 'registry', ['many:v1']) as server:
        write_tar(tmp_path / 'image.tar', docker_members())
        yield server.host


def nothing(path: Path, host: str) -> None:
    """Leave the destination empty."""


def index_at(uri: str) -> Prepare:
    """Put the index where the destination is."""
    def prepare(path: Path, host: str) -> None:
        run_here('process', f'registry://{host}/many:v1', uri.format(path=path, host=host)).assert_code(0)
    return prepare


def notes_in(name: str) -> Prepare:
    """Put a file of somebody else where the destination is."""
    def prepare(path: Path, host: str) -> None:
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_text('notes')
    return prepare


def changed_bundle(path: Path, host: str) -> None:
    """Unpack an image, and change a file of it."""
    run_here('process', f'tar://{path}/image.tar', f'oci://{path}/b').assert_code(0)
    next(each for each in (path / 'b/rootfs').rglob('*') if each.is_file() and not each.is_symlink()).write_text('mine')


IMAGE, ONE = 'tar://{path}/image.tar', ['registry://{host}/many:v1', '--platform=linux/amd64']
REFUSALS: dict[str, tuple[Prepare, list[str]]] = {
    'an index in a registry': (index_at('registry://{host}/copy:v1'), [*ONE, 'registry://{host}/copy:v1']),
    'an index in a layout': (index_at('layout://{path}/L:v1'), [*ONE, 'layout://{path}/L:v1']),
    'an index in an archive': (index_at('tar://{path}/o.tar?format=oci'), [*ONE, 'tar://{path}/o.tar?format=oci']),
    'an index in an archive for docker': (index_at('tar://{path}/o.tar?format=oci'), [*ONE, 'tar://{path}/o.tar']),
    'an index where one image fits': (nothing, ['registry://{host}/many:v1', 'dir://{path}/d', '--platform=all']),
    'a file that is no archive': (notes_in('out.tar'), [IMAGE, 'tar://{path}/out.tar']),
    'a directory that is missing': (nothing, [IMAGE, 'tar://{path}/missing/out.tar']),
    'things in a layout': (notes_in('L/x'), [IMAGE, 'layout://{path}/L']),
    'things in a directory': (notes_in('d/x'), [IMAGE, 'dir://{path}/d']),
    'things in mounts': (notes_in('m/x'), [IMAGE, 'mounts://{path}/m']),
    'things in a bundle': (notes_in('b/x'), [IMAGE, 'oci://{path}/b']),
    'a bundle that was changed': (changed_bundle, [*ONE, 'oci://{path}/b']),
    'no daemon': (nothing, [IMAGE, 'docker://app:v1?socket={path}/none']),
    'no registry': (nothing, [IMAGE, 'registry://127.0.0.1:{port}/app:v1', '--retries=0']),
    'no such image': (nothing, ['registry://{host}/many:v9', 'dir://{path}/d']),
    'no such platform': (nothing, ['registry://{host}/many:v1', 'dir://{path}/d', '--platform=linux/s390x']),
    'one place for two': (nothing, ['registry://{host}/many:*', 'layout://{path}/L:same']),
    'the source itself': (nothing, [IMAGE, IMAGE]),
    'receipts in the image': (nothing, [IMAGE, 'tar://{path}/out.tar', '--receipt', '{path}/out.tar']),
    'one file for two': (nothing, [IMAGE, 'dir://{path}/d', '--receipt', '{path}/f', '--layer-cache', '{path}/f']),
}


def tree(path: Path) -> dict[str, bytes]:
    """Return all files, with their content."""
    return {str(each.relative_to(path)): each.read_bytes() for each in path.rglob('*') if each.is_file()}


@pytest.mark.parametrize('name', REFUSALS)
def test_foreseen(name: str, host: str, tmp_path: Path) -> None:
    prepare, arguments = REFUSALS[name]
    if name == 'one place for two':
        run_here('process', f'registry://{host}/many:v1', f'registry://{host}/many:v2').assert_code(0)
    prepare(tmp_path, host)
    with socket.create_server(('127.0.0.1', 0)) as closed:
        port = closed.getsockname()[1]
    words = ['process', *(each.format(path=tmp_path, host=host, port=port) for each in arguments)]
    before = tree(tmp_path)
    dry = run_here(*words, '--dry-run')
    assert tree(tmp_path) == before, 'a dry run wrote something'
    real = run_here(*words)
    assert real.code != 0 and dry.code in (1, real.code), f'{dry}\n{real}'
    reason = real.errors[-1].removeprefix('occystrap: error: ').replace(str(tmp_path), '')
    assert reason in (dry.out + dry.err).replace(str(tmp_path), ''), f'{dry}\n{real}'
    assert os.path.exists(tmp_path / 'image.tar')
