"""Nothing is written over that is no image, or not of the format: one line says so, and every byte stays."""
import gzip
import io
import json
import os
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import zstandard

from occystrap_core.testing.sample import sample_config, sample_layers
from tests.functional.archives import write_docker_archive
from tests.hostile.in_process import run_here
from tests.hostile.refusals import is_refused

Make = Callable[[Path], object]
FORMATS = ['', '?format=oci']


@pytest.fixture
def image(tmp_path: Path) -> str:
    """An image to be copied."""
    archive = write_docker_archive(tmp_path / 'image.tar', sample_config(), sample_layers(), 'sample:v1')
    return f'tar://{archive}'


def backup(path: Path, *names: str) -> None:
    """A tar of other things."""
    with tarfile.open(path, 'w') as tar:
        for name in names or ('home/thesis.txt', 'home/photo.jpg'):
            header = tarfile.TarInfo(name)
            header.size = 5
            tar.addfile(header, io.BytesIO(b'bytes'))


def script(path: Path) -> None:
    path.write_text('#!/bin/sh\necho precious\n')
    path.chmod(0o755)


def zipped(path: Path) -> None:
    with zipfile.ZipFile(path, 'w') as archive:
        archive.writestr('manifest.json', '{}')


def cut_backup(path: Path) -> None:
    backup(path)
    os.truncate(path, 700)


def zipped_backup(path: Path) -> None:
    backup(path)
    path.write_bytes(gzip.compress(path.read_bytes()))


OTHERS: list[Make] = [script, zipped, backup, cut_backup, zipped_backup]


def text(content: bytes) -> Make:
    return lambda path: path.write_bytes(content)


@pytest.mark.parametrize('made', FORMATS)
@pytest.mark.parametrize('make', [*OTHERS, text(b'\n'), text(bytes(100)), text(b'\x1f\x8b\x08'), text(b'x' * 5000),
                                  text(b'{"receipt": 1}\n')])
def test_a_file_that_is_no_image_archive_stays(make: Make, made: str, image: str, tmp_path: Path) -> None:
    make(tmp_path / 'other')
    before = (tmp_path / 'other').read_bytes(), (tmp_path / 'other').stat()
    result = run_here('process', image, f'tar://{tmp_path}/other{made}')
    is_refused(result, f'{tmp_path}/other is not an image archive, and would be lost', '--force')
    assert ((tmp_path / 'other').read_bytes(), (tmp_path / 'other').stat()) == before
    assert sorted(os.listdir(tmp_path)) == ['image.tar', 'other']


def test_with_force_it_is_replaced(image: str, tmp_path: Path) -> None:
    script(tmp_path / 'other')
    run_here('process', image, f'tar://{tmp_path}/other', '--force').assert_code(0)
    run_here('info', f'tar://{tmp_path}/other').assert_code(0)


def test_a_list_is_not_replaced_by_what_it_names(image: str, tmp_path: Path) -> None:
    (tmp_path / 'list').write_text(f'{image}\n')
    is_refused(run_here('process', f'list://{tmp_path}/list', f'tar://{tmp_path}/list'), '--force')


def compressed(compress: Callable[[bytes], bytes]) -> Make:
    return lambda path: path.write_bytes(compress(path.read_bytes()))


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def emptied(path: Path) -> None:
    path.write_bytes(b'')


@pytest.mark.parametrize('made', FORMATS)
@pytest.mark.parametrize('damage', [cut, emptied, compressed(gzip.compress), compressed(zstandard.compress)])
def test_an_image_archive_is_replaced_whole_or_damaged(damage: Make, made: str, image: str, tmp_path: Path) -> None:
    target = tmp_path / 'old.tar'
    run_here('process', image, f'tar://{target}{made}').assert_code(0)
    whole = target.read_bytes()
    damage(target)
    run_here('process', image, f'tar://{target}{made}').assert_code(0)
    assert target.read_bytes() == whole


HEX = '0' * 64
OLD: dict[str, Sequence[str]] = {
    'before version 1.10 of docker': [f'{HEX}/', f'{HEX}/VERSION', f'{HEX}/json', f'{HEX}/layer.tar', 'repositories'],
    'docker 24': [f'{HEX}/VERSION', f'{HEX}/json', f'{HEX}/layer.tar', f'{HEX}.json', 'manifest.json', 'repositories'],
    'docker 25, cut off': ['blobs/', 'blobs/sha256/', f'blobs/sha256/{HEX}'],
    'kaniko': [f'sha256:{HEX}', f'{HEX}.tar.gz', 'manifest.json'], 'buildah': [f'./{HEX}.tar', './manifest.json']}


@pytest.mark.parametrize('program', OLD)
def test_other_programs_archives_are_known(program: str, image: str, tmp_path: Path) -> None:
    """Also damaged ones, by the names that only they have."""
    backup(tmp_path / 'old.tar', *OLD[program])
    run_here('process', image, f'tar://{tmp_path}/old.tar').assert_code(0)


def test_members_may_have_any_names_that_the_list_names(image: str, tmp_path: Path) -> None:
    with tarfile.open(tmp_path / 'old.tar', 'w') as tar:
        add(tar, './app/config', sample_config())
        add(tar, './app/layer', sample_layers()[0])
        add(tar, './manifest.json', json.dumps([{'Config': 'app/config', 'Layers': ['app/layer']}]).encode())
    run_here('process', image, f'tar://{tmp_path}/old.tar').assert_code(0)


@pytest.mark.parametrize('made', FORMATS)
@pytest.mark.parametrize('pack', [bytes, gzip.compress])
@pytest.mark.parametrize('names', [
    ['manifest.json'], ['./', './manifest.json', './index.js'], ['manifest.json', 'etc/passwd'], ['blobs/mydata'],
    ['blobs/', 'blobs/sha256/'], ['blobs/sha256/x'], ['oci-layout'], ['index.json', 'src/index.ts'], ['repositories']])
def test_a_backup_with_a_familiar_name_stays(names: list[str], pack: Callable[[bytes], bytes], made: str, image: str,
                                             tmp_path: Path) -> None:
    other = tmp_path / 'backup.tar'
    backup(other, *names)
    other.write_bytes(pack(other.read_bytes()))
    before = other.read_bytes()
    is_refused(run_here('process', image, f'tar://{other}{made}'), f'{other} is not an image archive', '--force')
    assert other.read_bytes() == before


@pytest.mark.parametrize('made', FORMATS)
@pytest.mark.parametrize('pack', [bytes, gzip.compress])
def test_an_image_archive_with_other_things_stays(pack: Callable[[bytes], bytes], made: str, image: str,
                                                  tmp_path: Path) -> None:
    other = tmp_path / 'other.tar'
    run_here('process', image, f'tar://{other}').assert_code(0)
    with tarfile.open(other, 'a') as tar:
        add(tar, 'deploy/notes.txt', b'precious')
    other.write_bytes(pack(other.read_bytes()))
    before = other.read_bytes()
    is_refused(run_here('process', image, f'tar://{other}{made}'),
               'contains other files than images', 'deploy/notes.txt')
    assert other.read_bytes() == before
    run_here('process', image, f'tar://{other}{made}', '--force').assert_code(0)


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    header = tarfile.TarInfo(name)
    header.size = len(content)
    tar.addfile(header, io.BytesIO(content))


def web_application(path: Path) -> None:
    path.mkdir()
    (path / 'manifest.json').write_text(json.dumps({'name': 'app', 'icons': []}))
    (path / 'index.js').write_text('run()')


def catalog(path: Path) -> None:
    path.mkdir()
    (path / 'catalog.json').write_text('{"shelf": ["book"]}')


def layers(path: Path) -> None:
    (path / 'layers').mkdir(parents=True)
    (path / 'layers/conv1.py').write_text('weights')


def bundle(path: Path) -> None:
    (path / 'rootfs').mkdir(parents=True)
    (path / 'config.json').write_text('{}')


@pytest.mark.parametrize('scheme', ['dir', 'layout', 'mounts', 'oci'])
@pytest.mark.parametrize('make', [web_application, catalog, layers, bundle])
def test_a_directory_of_something_else_stays(make: Make, scheme: str, image: str, tmp_path: Path) -> None:
    make(tmp_path / 'out')
    before = {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob('*')}
    is_refused(run_here('process', image, f'{scheme}://{tmp_path}/out'), f'{tmp_path}/out')
    assert {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob('*')} == before


PLACES = ['tar://{}/out.tar', 'tar://{}/out.tar?format=oci', 'dir://{}/out', 'oci://{}/out']


def named(directory: Path, *names: str) -> list[str]:
    """Archives of images that differ, with these names."""
    layers = sample_layers()
    archives = [write_docker_archive(directory / f'{count}.tar', sample_config(layers[:count]), layers[:count], name)
                for count, name in enumerate(names, 1)]
    return [f'tar://{archive}' for archive in archives]


@pytest.mark.parametrize('place', PLACES)
@pytest.mark.parametrize(('old', 'new'), [('team/app:v1', 'team/other:v1'), ('db:v1', 'reg.example:5000/app:v1')])
def test_an_image_of_another_repository_stays(old: str, new: str, place: str, tmp_path: Path) -> None:
    one, two = named(tmp_path, old, new)
    goes = place.format(tmp_path)
    run_here('process', one, goes).assert_code(0)
    before = {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob('*')}
    is_refused(run_here('process', two, goes), old, 'would be lost', '--force')
    assert '1 would FAIL' in run_here('process', two, goes, '--dry-run').assert_code(1).err
    assert {path: path.is_file() and path.read_bytes() for path in tmp_path.rglob('*')} == before
    run_here('process', two, goes, '--force').assert_code(0)


@pytest.mark.parametrize('place', PLACES)
@pytest.mark.parametrize(('old', 'new'), [
    ('app:v1', 'app:v2'), ('app:v1', 'docker.io/library/app:v1'), ('app:v1', 'reg.example/app:v3'), ('app:v1', 'No!')])
def test_another_image_of_the_same_repository_is_replaced(old: str, new: str, place: str, tmp_path: Path) -> None:
    one, two = named(tmp_path, old, new)
    run_here('process', one, place.format(tmp_path)).assert_code(0)
    run_here('process', two, place.format(tmp_path)).assert_code(0)
