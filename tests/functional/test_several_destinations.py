"""process SOURCE DEST DEST: each layer crosses from the source once, and each destination has its own verdict."""
import gzip
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from occystrap_core.oci import Digest
from occystrap_core.testing.sample import sample_layers
from tests.functional.images import raw_manifest
from tests.hostile.in_process import run_here
from tests.services.command_line import CommandLine
from tests.services.ports import free_port
from tests.services.registry import Registry
from tests.services.sample import put_sample_image
from tests.services.silent_listener import listener
from tests.unit.registry.several import name_all, registry_with


LAYERS = {Digest.of(gzip.compress(tar, mtime=0)) for variant in ('', 'another') for tar in sample_layers(variant)}


def layer_reads(registry: Registry) -> Counter[str]:
    """Return how often each layer of the samples was read."""
    read = (line.split()[1].rpartition('/')[2] for line in registry.requests() if line.startswith('GET'))
    return Counter(each for each in read if each in LAYERS)


def test_every_layer_is_read_once_for_all_destinations(
        registry_factory: Callable[[], Registry], occystrap: CommandLine, tmp_path: Path) -> None:
    source, one, two = registry_factory(), registry_factory(), registry_factory()
    for repository, variant in (('app', ''), ('tool', 'another')):
        put_sample_image(source, repository, 'v1', variant=variant)
    images = tmp_path / 'images.txt'
    images.write_text(f'{source.host}/app:v1\n{source.host}/tool:v1\n')
    dead = f'127.0.0.1:{free_port()}'
    goes = [f'registry://{host}/{{repository}}:{{tag}}' for host in (one.host, dead, two.host)]
    goes += [f'layout://{tmp_path}/layout', f'dir://{tmp_path}/dir?unique_names=true',
             f'tar://{tmp_path}/bundle.tar?format=oci']
    run = occystrap('process', f'list://{images}', *goes, '--retries', '0', '-O', 'json',
                    '--receipt', 'all.jsonl').assert_code(1)
    report = run.json()
    failed = [image for image in report['images'] if image['failure']]
    assert len(report['images']) == 12 and all(dead in image['destination'] for image in failed) and len(failed) == 2
    assert all(image['outcome'] == 'verified' for image in report['images'] if not image['failure'])
    assert report['counts']['destinations'] == 6 and report['counts']['changed'] == 10
    reads = layer_reads(source)
    assert len(reads) == 4 and set(reads.values()) == {1}, '\n'.join(source.requests())
    for registry in (one, two):
        assert raw_manifest(registry, 'app:v1') == raw_manifest(source, 'app:v1')
    assert len((tmp_path / 'all.jsonl').read_text().splitlines()) == 10
    occystrap('verify', 'all.jsonl', '--verify=full').assert_success()
    again = occystrap('process', f'list://{images}', *(each for each in goes if dead not in each),
                      '--resume', 'all.jsonl').assert_success()
    assert again.err.count('unchanged, verified') == 10 and layer_reads(source) == reads
    line = next(line for line in again.err.splitlines() if line.startswith('[1/10] '))
    assert f'{source.host}/' in line and ' → ' in line
    assert 'Summary: 10/10 copies of 2 images' in again.err.splitlines()[-1]


def test_a_plan_with_several_destinations(registry: Registry, occystrap: CommandLine, tmp_path: Path) -> None:
    put_sample_image(registry, 'many/app', 'v1')
    (tmp_path / 'mirror.toml').write_text(f"""
        [defaults]
        destinations = ['dir://one', 'layout://two']
        [[images]]
        source = '{registry.host}/many/app:v1'
        """)
    occystrap('process', 'plan://mirror.toml').assert_success()
    for place in ('dir://one', 'layout://two'):
        occystrap('check', place).assert_success()


def test_a_shell_s_wildcard_destroys_no_archive(occystrap: CommandLine, tmp_path: Path) -> None:
    """`process *.tar DEST` names one source, and files that would be destinations."""
    for name in ('a.tar', 'b.tar'):
        (tmp_path / name).write_bytes(b'an archive')
    occystrap('process', 'copy', 'tar://b.tar', 'layout://out').assert_code(2)
    run = occystrap('process', './a.tar', './b.tar', 'layout://out').assert_code(2)
    assert 'only the first argument is a source' in run.err
    assert (tmp_path / 'b.tar').read_bytes() == b'an archive'


def test_a_destination_that_is_down_does_not_hold_up_many_images(tmp_path: Path,
                                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections are counted: three images have all their attempts, the others one, and each fails with its reason."""
    monkeypatch.setattr('occystrap_registry.transport.retries._FIRST', 0.001)
    names = [f'team/app-{number}:v1' for number in range(20)]
    with registry_with(tmp_path / 'registry', names) as source, listener(holds=False) as down:
        name_all(tmp_path, source.host, names)
        goes = [f'registry://{down.host}/{{repository}}:{{tag}}', f'layout://{tmp_path}/layout']
        result = run_here('process', f'list://{tmp_path}/list', *goes, '-J', '1', '--retries', '5', '-O', 'json')
    result.assert_code(1)
    images = result.json()['images']
    failed = [each for each in images if each['failure']]
    assert len(failed) == 20 and all(f'{down.host} cannot be reached' in each['failure'] for each in failed)
    assert {each['outcome'] for each in images if each not in failed} == {'verified'}
    assert down.connections <= 1 + 3 * 6 + 17
