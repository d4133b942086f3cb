"""`occystrap search`, and the filters `search` and `inspect`, on real registries, archives and daemons."""
import io
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from occystrap_core.files import GZIP_END
from occystrap_core.oci import Digest
from occystrap_core.testing.sample import UNICODE_NAME, sample_image
from tests.functional.images import raw_manifest
from tests.services.command_line import CommandLine
from tests.services.docker_daemon import DockerDaemon
from tests.services.faults import FaultProxy
from tests.services.registry import Registry
from tests.services.registry_storage import RegistryStorage
from tests.services.sample import put_sample_image

IMAGE = sample_image()


def blobs_of(registry: Registry, name: str = 'search:v1') -> list[str]:
    """Return the digests of an image's layers, lowest first."""
    return [layer['digest'] for layer in json.loads(raw_manifest(registry, name))['layers']]


@pytest.fixture
def source(registry: Registry) -> str:
    put_sample_image(registry, 'search', 'v1')
    return f'registry://{registry.host}/search:v1'


def test_every_layer_is_read_once_and_its_result_is_reported(registry: Registry, source: str, occystrap: CommandLine,
                                                             fault_proxy: Callable[..., FaultProxy]) -> None:
    proxy = fault_proxy(registry.host)
    done = occystrap('search', source.replace(registry.host, proxy.host), '*.conf', '-O', 'json').assert_success()
    match, = done.json()['images'][0]['found'][0]['matches']
    assert (match['path'], match['layer'], match['state'], match['by']) == ('etc/old.conf', 0, 'deleted', 1)
    assert match['diff_id'] == IMAGE.diff_ids[0] and match['size'] == len(b'to be deleted\n')
    assert set(proxy.blob_reads().values()) == {1}
    assert 'Summary: 1/1 image, 1 match, 1 deleted, ' in done.err


def test_lines_for_people_and_for_scripts(source: str, occystrap: CommandLine) -> None:
    people = occystrap('search', source, '/etc/*').assert_success().out.splitlines()
    assert [line.split()[0] for line in people] == ['0', '0', '1']
    assert 'etc/old.conf  (deleted by layer 1)' in people[1] and people[2].endswith('etc/name -> hostname')
    script = occystrap('search', '--regex', '--script-friendly', source, '^etc/h.*e$').assert_success().out
    assert script == f'search:v1:{IMAGE.diff_ids[0].hex}:etc/hostname\n'
    nothing = occystrap('search', source, '*.exe').assert_success()
    assert nothing.out == '' and '0 matches' in nothing.err


@pytest.mark.parametrize('kind', ['tar://out.tar', 'tar://out.tar?format=oci', 'dir://out', 'docker'])
def test_other_sources(kind: str, source: str, docker_daemon: DockerDaemon, occystrap: CommandLine) -> None:
    target = f'docker://search:v1?socket={docker_daemon.socket}' if kind == 'docker' else kind
    occystrap('process', source, target).assert_success()
    place = target if kind == 'docker' else target.partition('?')[0]
    found = occystrap('search', place, '*.conf,usr/share/gr*', '-O', 'json').assert_success().json()
    assert [(each['path'], each['state']) for each in found['images'][0]['found'][0]['matches']] == [
        ('etc/old.conf', 'deleted'), (UNICODE_NAME, 'visible')]


def test_several_images(registry: Registry, source: str, occystrap: CommandLine, tmp_path: Path) -> None:
    (tmp_path / 'list.txt').write_text(f'{source}\n{source.replace("search:v1", "nowhere:v1")}\n')
    done = occystrap('search', 'list://list.txt', '/etc/hostname').assert_code(1)
    assert f'{registry.host}/search:v1\n' in done.out and 'etc/hostname' in done.out
    assert 'nowhere:v1 FAILED' in done.err and done.err.splitlines()[-1].endswith('1 FAILED')


def test_a_damaged_layer_is_no_place_to_search(tmp_path: Path, registry_factory: Callable[..., Registry],
                                               occystrap: CommandLine) -> None:
    registry = registry_factory()
    put_sample_image(registry, 'search', 'v1')
    damaged = blobs_of(registry)[1]
    blob = RegistryStorage(registry.root).blob_path(damaged)
    content = bytearray(blob.read_bytes())
    content[-3] ^= 1
    blob.write_bytes(content)
    done = occystrap('search', f'registry://{registry.host}/search:v1', '*').assert_code(1)
    assert done.out == '' and damaged in done.err


def test_mistakes(source: str, occystrap: CommandLine) -> None:
    assert 'not a regular expression' in occystrap('search', '--regex', source, '(').assert_code(2).err
    assert 'no command' not in occystrap('search', source).assert_code(2).err
    assert 'no pattern: add one' in occystrap('process', source, 'dir://out', '-f', 'search').assert_code(2).err
    assert 'no file: add one' in occystrap('process', source, 'dir://out', '-f', 'inspect').assert_code(2).err
    done = occystrap('process', source, 'dir://out', '-f', 'search:pattern=*', '-O', 'json').assert_code(2)
    assert 'search:file=FILE' in done.err
    done = occystrap('process', source, 'dir://out', '-f', 'inspect:file=no/such/directory').assert_code(2)
    assert 'there is no directory no/such' in done.err


# The filters

@pytest.mark.parametrize('target', ['tar://out.tar', 'tar://out.tar?format=oci', 'registry', 'docker'])
def test_a_search_on_the_way_changes_nothing(target: str, registry: Registry, source: str, occystrap: CommandLine,
                                             docker_daemon: DockerDaemon) -> None:
    place = {'registry': f'registry://{registry.host}/searched:v1',
             'docker': f'docker://searched:v1?socket={docker_daemon.socket}'}.get(target, target)
    done = occystrap('process', source, place, '-f', 'search:pattern=*.conf', '-O', 'text', '--receipt', 'r.json')
    assert 'etc/old.conf  (deleted by layer 1)' in done.assert_success().out
    receipt = json.loads((occystrap.directory / 'r.json').read_text())
    assert receipt['image_id'] == IMAGE.config.digest
    if 'oci' in target or target == 'registry':
        assert receipt['manifest_digest'] == Digest.of(raw_manifest(registry, 'search:v1'))


def test_the_filters_read_a_source_that_streams(source: str, occystrap: CommandLine,
                                                docker_daemon: DockerDaemon) -> None:
    place = f'docker://searched:v2?socket={docker_daemon.socket}'
    occystrap('process', source, place).assert_success()
    done = occystrap('process', place, 'tar://out.tar', '-f', 'search:pattern=hostname', '-f', 'inspect:file=i.jsonl')
    assert 'etc/hostname' in done.assert_success().out
    line = json.loads((occystrap.directory / 'i.jsonl').read_text())
    assert [layer['diff_id'] for layer in line['layers']] == list(IMAGE.diff_ids)
    assert all(layer['size'] for layer in line['layers'])


def test_inspect_before_and_behind_a_filter(registry: Registry, source: str, occystrap: CommandLine) -> None:
    inspect = 'inspect:file=i.jsonl'
    occystrap('process', source, 'tar://out.tar', '-f', inspect, '-f', 'exclude:pattern=*.conf', '-f', inspect, '-f',
              'normalize-timestamps', '-f', inspect).assert_success()
    lines = (occystrap.directory / 'i.jsonl').read_text().splitlines()
    before, behind, last = (json.loads(line)['layers'] for line in lines)
    assert [layer['diff_id'] for layer in before] == list(IMAGE.diff_ids)
    assert [layer['digest'] for layer in before] == blobs_of(registry)
    assert [layer['created_by'] for layer in before] == ['ADD layer 0', 'ADD layer 1', 'ADD layer 2']
    changed = [was['diff_id'] != now['diff_id'] for was, now in zip(before, behind, strict=True)]
    assert changed == [True, False, False] and behind[0]['size'] == before[0]['size'] - 1024
    assert not {layer['diff_id'] for layer in last} & {layer['diff_id'] for layer in behind}
    with tarfile.open(occystrap.directory / 'out.tar') as archive:
        names = set(archive.getnames())
    assert {f'{layer["diff_id"][7:]}/layer.tar' for layer in last} <= names


def test_nothing_is_reported_for_an_image_that_failed(source: str, occystrap: CommandLine) -> None:
    inspect = ['-f', 'inspect:file=i.jsonl', '-f', 'search:pattern=*']
    done = occystrap('process', source, 'tar:///dev/full/x', *inspect)
    assert done.code and done.out == '' and not (occystrap.directory / 'i.jsonl').exists()
    occystrap('process', source, 'tar://out.tar', '--dry-run', *inspect).assert_success()
    assert not (occystrap.directory / 'i.jsonl').exists()


def test_layers_that_a_filter_leaves_alone_keep_their_blobs_and_are_read_once(
        registry: Registry, source: str, occystrap: CommandLine, fault_proxy: Callable[..., FaultProxy]) -> None:
    proxy = fault_proxy(registry.host)
    occystrap('process', source.replace(registry.host, proxy.host), f'registry://{registry.host}/kept:v1', '-f',
              'exclude:pattern=*.conf', '-f', 'search:pattern=*').assert_success()
    assert set(proxy.blob_reads().values()) == {1}
    kept = [now == was for now, was in zip(blobs_of(registry, 'kept:v1'), blobs_of(registry), strict=True)]
    assert kept == [False, True, True]


def test_the_real_image_against_find(real_registry: Registry, docker_with_real_image: DockerDaemon,
                                     occystrap: CommandLine, tmp_path: Path) -> None:
    docker_daemon = docker_with_real_image
    source = f'registry://{real_registry.host}/real:v1'
    found = occystrap('search', source, '--regex', '.', '-O', 'json').assert_success().json()['images'][0]['found'][0]
    visible = {os.fsencode(each['path']) for each in found['matches'] if each['state'] == 'visible'}
    made = docker_daemon.run('create', 'real:v1')
    exported = tmp_path / 'export.tar'
    with exported.open('wb') as target:
        subprocess.run(['docker', '-H', docker_daemon.address, 'export', made.strip()], stdout=target, check=True)
    docker_daemon.run('rm', made.strip())
    with tarfile.open(exported, errors='surrogateescape') as archive:
        exists = {os.fsencode(member.name) for member in archive}
    made_by_docker = {b'.dockerenv', b'dev/console', b'dev/pts', b'dev/shm', b'etc/mtab', b'etc/hosts',
                      b'etc/hostname', b'etc/resolv.conf', b'proc', b'sys', b'dev'}
    assert visible - made_by_docker == exists - made_by_docker
    assert len(visible) > 5_000


def test_a_chain_reads_each_layer_of_the_real_image_once_and_its_tars_are_in_order(
        real_registry: Registry, occystrap: CommandLine, fault_proxy: Callable[..., FaultProxy],
        tmp_path: Path) -> None:
    proxy = fault_proxy(real_registry.host)
    occystrap('process', f'registry://{proxy.host}/real:v1', f'tar://{tmp_path}/out.tar', '-f',
              'normalize-timestamps:config=true', '-f', 'exclude:pattern=/usr/share/doc,*.pyc', '-f',
              'search:pattern=*.conf,file=found').assert_success()
    manifest = json.loads(raw_manifest(real_registry, 'real:v1'))
    sizes = {each['digest']: each['size'] for each in manifest['layers']}
    read = proxy.bytes_read()
    assert all(sizes[digest] <= read[digest] <= sizes[digest] + GZIP_END for digest in sizes)
    assert 'etc/adduser.conf' in (occystrap.directory / 'found').read_text()
    with tarfile.open(tmp_path / 'out.tar') as archive:
        layers = [member for member in archive if member.name.endswith('layer.tar')]
        for member in layers:
            with (tmp_path / 'layer.tar').open('wb') as target:
                shutil.copyfileobj(archive.extractfile(member) or io.BytesIO(), target)
            listed = subprocess.run(['tar', '-tf', tmp_path / 'layer.tar'], capture_output=True, check=True)
            assert listed.stderr == b''
            with tarfile.open(tmp_path / 'layer.tar') as layer:
                assert len(listed.stdout.splitlines()) == len(layer.getmembers())
                assert all(each.mtime == 0 for each in layer)
        assert len(layers) == len(sizes)
