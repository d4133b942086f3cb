"""`occystrap info`: what it prints of images, from metadata alone."""
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from occystrap_core.oci import Descriptor, Digest, ImageConfig, media_types
from occystrap_core.testing.sample import sample_image
from tests.functional.images import raw_manifest
from tests.services.command_line import CommandLine
from tests.services.faults import FaultProxy
from tests.services.real_image import RealImage
from tests.services.registry import Registry
from tests.services.sample import put_sample_image
from tests.unit.registry.images import index_of, put_manifest
from tests.unit.tar.archives import docker_members, write_tar

IMAGE = sample_image()


def test_no_layer_is_read(registry: Registry, fault_proxy: Callable[..., FaultProxy], occystrap: CommandLine) -> None:
    made = put_sample_image(registry, 'info', 'v1')
    proxy = fault_proxy(registry.host)
    done = occystrap('info', f'registry://{proxy.host}/info:v1', '-O', 'json').assert_success()
    shown, = json.loads(done.out)['images']
    assert set(proxy.blob_reads()) == {made['image_id']}
    known = shown['digest'], shown['image_id'], shown['platform']
    assert known == (made['manifest'], made['image_id'], 'linux/amd64')
    layers = [layer for layer in shown['layers'] if 'digest' in layer]
    assert [layer['diff_id'] for layer in layers] == [str(each) for each in IMAGE.diff_ids]
    assert shown['size'] == sum(layer['size'] for layer in layers)


def test_the_real_image(real_registry: Registry, real_image: RealImage, occystrap: CommandLine) -> None:
    shown = occystrap('info', f'registry://{real_registry.host}/real:v1').assert_success()
    assert real_image.config_digest in shown.out and real_image.manifest_digest in shown.out
    assert 'entrypoint         /usr/local/bin/greet' in shown.out and 'rm -rf /usr/share/doc' in shown.out
    assert not shown.err


@pytest.mark.parametrize('target', ['tar://out.tar', 'tar://out.tar?format=oci', 'dir://out'])
def test_other_sources(target: str, registry: Registry, occystrap: CommandLine) -> None:
    made = put_sample_image(registry, 'info', 'v1')
    occystrap('process', f'registry://{registry.host}/info:v1', target).assert_success()
    assert made['image_id'] in occystrap('info', target.partition('?')[0]).assert_success().out


def test_all_of_an_index(registry: Registry, occystrap: CommandLine) -> None:
    made = put_sample_image(registry, 'info', 'v1')
    raw = raw_manifest(registry, 'info:v1')
    child = Descriptor(json.loads(raw)['mediaType'], Digest(made['manifest']), len(raw))
    put_manifest(registry.host, index_of([(child, 'linux/amd64')]), 'all', media_types.OCI_INDEX, 'info')
    source = f'registry://{registry.host}/info:all'
    shown, = json.loads(occystrap('info', source, '--platform=all', '-O', 'json').assert_success().out)['images']
    assert shown['kind'] == 'index' and [each['digest'] for each in shown['manifests']] == [made['manifest']]
    assert 'no image for platform linux/s390x' in occystrap('info', source, '--platform=linux/s390x').assert_code(1).err


def test_one_image_of_an_index_shows_its_platforms(registry: Registry, occystrap: CommandLine) -> None:
    made = put_sample_image(registry, 'info-of-one', 'v1')
    raw = raw_manifest(registry, 'info-of-one:v1')
    child = Descriptor(json.loads(raw)['mediaType'], Digest(made['manifest']), len(raw))
    entries = [(child, 'linux/amd64'), (child, 'linux/arm64')]
    put_manifest(registry.host, index_of(entries), 'all', media_types.OCI_INDEX, 'info-of-one')
    source = f'registry://{registry.host}/info-of-one:all'
    said = occystrap('info', source, '--platform=linux/amd64', '-O', 'json').assert_success().out
    shown, = json.loads(said)['images']
    index = str(Digest.of(raw_manifest(registry, 'info-of-one:all')))
    expected = {'digest': made['manifest'], 'index': index, 'platforms': ['linux/amd64', 'linux/arm64']}
    assert {name: shown.get(name) for name in expected} == expected
    alone, = json.loads(occystrap('info', f'registry://{registry.host}/info-of-one:v1', '-O', 'json').out)['images']
    assert 'index' not in alone and 'platforms' not in alone


def test_nothing_moves_the_cursor(registry: Registry, occystrap: CommandLine, tmp_path: Path) -> None:
    members = docker_members()
    config = next(json.loads(body) for name, body in members if name.endswith('.json') and name != 'manifest.json')
    config['config'] = {'Labels': {'evil': 'a\x1b[2Jb\nc'}, 'Cmd': 'no list', 'Env': None}
    raw = json.dumps(config).encode()
    name = f'{ImageConfig.parse(raw).digest.hex}.json'
    old = next(name for name, _ in members if name.endswith('.json') and name != 'manifest.json')
    changed = [(name, raw) if each == old else (each, body.replace(old.encode(), name.encode())
                                                if isinstance(body, bytes) and each == 'manifest.json' else body)
               for each, body in members]
    shown = occystrap('info', f'tar://{write_tar(tmp_path / "evil.tar", changed)}').assert_success()
    assert '\x1b' not in shown.out and r'evil=a\x1b[2Jb\nc' in shown.out


def test_mistakes(registry: Registry, occystrap: CommandLine) -> None:
    put_sample_image(registry, 'info', 'v1')
    assert 'no such repository' in occystrap('info', f'registry://{registry.host}/nowhere:v1').assert_code(1).err
    assert 'is a list' in occystrap('info', 'list://nothing.txt').assert_code(2).err
