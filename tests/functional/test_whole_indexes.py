"""Without --platform an index is copied as it is where the destination holds indexes, elsewhere one image of it."""
import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from occystrap_core.oci import Digest, blob_name, media_types
from tests.hostile.in_process import run_here
from tests.unit.registry.several import manifest_at, registry_with


@pytest.fixture
def host(tmp_path: Path) -> Iterator[str]:
    """A registry with an index of two platforms and their attestations, many:v1."""
    with registry_with(tmp_path / 'registry', ['many:v1']) as server:
        yield server.host


def run(*arguments: str | Path) -> str:
    """Run the command, which must succeed; return what it prints on stderr."""
    result = run_here(*arguments)
    result.assert_code(0)
    return result.err


def written(host: str, path: Path, kind: str) -> bytes:
    """Return the document under the name v1 at the destination."""
    if kind == 'registry':
        return manifest_at(host, 'v1', 'copy').content
    named, = json.loads((path / 'index.json').read_bytes())['manifests']
    return (path / blob_name(Digest(named['digest']))).read_bytes()


@pytest.mark.parametrize('kind', ['registry', 'layout'])
def test_the_digest_stays(kind: str, host: str, tmp_path: Path) -> None:
    destination = {'registry': f'registry://{host}/copy:v1', 'layout': f'layout://{tmp_path}/L:v1'}[kind]
    error = run('process', '--verify=full', f'registry://{host}/many:v1', destination)
    assert '1/1 verified' in error and ' platforms' not in error
    assert written(host, tmp_path / 'L', kind) == manifest_at(host, 'v1').content
    run('process', '--platform=host', '--replace-index', f'registry://{host}/many:v1', destination)
    assert 'layers' in json.loads(written(host, tmp_path / 'L', kind))


@pytest.mark.parametrize('way', ['option', 'command line'])
def test_a_platform_that_was_asked_for_has_precedence(way: str, host: str, tmp_path: Path) -> None:
    source, more = (f'registry://{host}/many:v1?platform=linux/amd64', []) if way == 'option' else (
        f'registry://{host}/many:v1', ['--platform=linux/amd64'])
    assert '1 of 2 platforms' in run('process', *more, source, f'layout://{tmp_path}/L:v1')
    assert b'"layers"' in written(host, tmp_path / 'L', 'layout')


@pytest.mark.parametrize('destination', ['dir://{}/out', 'tar://{}/out.tar', 'oci://{}/out', 'mounts://{}/out'])
def test_elsewhere_one_image_is_taken_and_the_others_are_named(destination: str, host: str, tmp_path: Path) -> None:
    error = run('process', f'registry://{host}/many:v1', destination.format(tmp_path))
    assert '1 of 2 platforms of the index' in error and '--platform=all' not in error


def test_a_filter_applies_to_every_image(host: str, tmp_path: Path) -> None:
    run('process', '--verify=full', '-f', 'normalize-timestamps', f'registry://{host}/many:v1',
        f'layout://{tmp_path}/L:v1')
    index = json.loads(written(host, tmp_path / 'L', 'layout'))
    before = json.loads(manifest_at(host, 'v1').content)['manifests']
    assert [each['platform'] for each in index['manifests']] == [
        each['platform'] for each in before if each['platform']['os'] != 'unknown']
    assert not {each['digest'] for each in index['manifests']} & {each['digest'] for each in before}


def test_an_artifact_is_copied_as_it_is(host: str, tmp_path: Path) -> None:
    """A chart under a tag is no image, but a registry and a layout can hold it."""
    chart = json.dumps({
        'schemaVersion': 2, 'mediaType': media_types.OCI_MANIFEST, 'layers': [],
        'config': {'mediaType': 'application/vnd.cncf.helm.config.v1+json', 'digest': Digest.of(b'{}'), 'size': 2},
    }).encode()
    with httpx.Client(base_url=f'http://{host}/v2/chart', trust_env=False, verify=False) as client:
        client.post('/blobs/uploads/', params={'digest': Digest.of(b'{}')}, content=b'{}').raise_for_status()
        kind = {'Content-Type': media_types.OCI_MANIFEST}
        client.put('/manifests/v1', content=chart, headers=kind).raise_for_status()
    run('process', f'registry://{host}/chart:v1', f'layout://{tmp_path}/L:v1')
    assert written(host, tmp_path / 'L', 'layout') == chart
    result = run_here('process', f'registry://{host}/chart:v1', f'dir://{tmp_path}/out')
    result.assert_code(1)
    assert 'is not a container image' in result.err and 'use --platform=all and a destination of' in result.err


def test_a_plan_decides_for_each_destination(host: str, tmp_path: Path) -> None:
    (tmp_path / 'plan.toml').write_text(''.join(
        f'[[images]]\nsource = "registry://{host}/many:v1"\ndestination = "{destination}"\n'
        for destination in (f'layout://{tmp_path}/L:v1', f'dir://{tmp_path}/out')))
    error = run('process', f'plan://{tmp_path}/plan.toml')
    assert '2/2 verified' in error and error.count('1 of 2 platforms') == 1
    assert written(host, tmp_path / 'L', 'layout') == manifest_at(host, 'v1').content


def test_an_index_that_lacks_a_part_says_how_to_take_another(host: str, tmp_path: Path) -> None:
    part = json.loads(manifest_at(host, 'v1').content)['manifests'][1]['digest']
    with httpx.Client(base_url=f'http://{host}/v2/many', trust_env=False, verify=False) as client:
        client.delete(f'/manifests/{part}').raise_for_status()
    result = run_here('process', f'registry://{host}/many:v1', f'layout://{tmp_path}/L:v1')
    result.assert_code(1)
    line, = result.errors
    assert part in line and line.endswith('to take one image of the index, use --platform, such as --platform=host')
