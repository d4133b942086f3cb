"""Layers whose media type is another than what they are, or is none that can be read."""
import bz2
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zstandard

from occystrap_core.oci import Digest
from tests.hostile.documents import TAR, Written, instead
from tests.hostile.in_process import run_here
from tests.hostile.refusals import is_refused
from tests.unit.registry.scripted import Scripted
from tests.unit.tar.archives import gzipped

LAYER = 'application/vnd.oci.image.layer.v1.tar'
OTHERWISE: list[tuple[str, bytes, str]] = [
    (f'{LAYER}+gzip', TAR, 'not compressed, its media type says compressed with gzip'),
    (f'{LAYER}+gzip', zstandard.compress(TAR), 'compressed with zstd, its media type says compressed with gzip'),
    (f'{LAYER}+zstd', gzipped(TAR), 'compressed with gzip, its media type says compressed with zstd'),
    (LAYER, zstandard.compress(TAR), 'compressed with zstd, its media type says not compressed'),
    ('application/vnd.docker.image.rootfs.foreign.diff.tar', TAR, '')]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scripted]:
    """A registry to put images into, which needs no credentials."""
    monkeypatch.setenv('DOCKER_CONFIG', str(tmp_path))
    with Scripted() as started:
        yield started


def typed(media_type: str) -> Callable[[str], str]:
    return instead(f'"{LAYER}+gzip"', f'"{media_type}"')


@pytest.mark.parametrize('scheme', ['layout', 'oci-tar', 'registry'])
@pytest.mark.parametrize('number', range(len(OTHERWISE)))
def test_the_diff_id_proves_what_is_in_it(number: int, scheme: str, tmp_path: Path, server: Scripted) -> None:
    media_type, blob, note = OTHERWISE[number]
    source = Written({'manifest': typed(media_type)}, blob=blob).put(scheme, tmp_path / 'source', server)
    for destination in (f'dir://{tmp_path}/out', f'tar://{tmp_path}/out.tar'):
        result = run_here('-q', 'process', '--verify=full', source, destination)
        result.assert_code(0)
        line = f'layer 0, {Digest.of(blob)}, is {note}: it was read according to its content'
        assert (line in result.err) is bool(note), result
    assert [path.read_bytes() for path in (tmp_path / 'out').glob('*/layer.tar')] == [TAR]
    findings = json.loads(run_here('check', source, '-O', 'json').out)['images'][0]['findings']
    assert [each['rule'] for each in findings].count('layer-media-type') == bool(note)


def test_layers_not_proved_by_the_diff_id_are_refused(tmp_path: Path, server: Scripted) -> None:
    source = Written({'manifest': typed(f'{LAYER}+gzip')}, blob=b'<html>no tar').put('layout', tmp_path / 's', server)
    is_refused(run_here('-q', 'process', source, f'dir://{tmp_path}/out'), 'has digest', Digest.of(TAR))


@pytest.mark.parametrize('scheme', ['layout', 'oci-tar', 'registry'])
@pytest.mark.parametrize(('media_type', 'blob', 'why'), [
    (f'{LAYER}+gzip+encrypted', b'?' * 500, 'encrypted'), (f'{LAYER}+bzip2', bz2.compress(TAR), 'plain, gzip or zstd'),
    ('application/vnd.wasm.content.layer.v1+wasm', b'\0asm\1\0\0\0', 'WebAssembly')])
def test_unreadable_layers_are_reported_with_advice(media_type: str, blob: bytes, why: str, scheme: str, tmp_path: Path,
                                                    server: Scripted) -> None:
    written = Written({'manifest': typed(media_type)}, blob=blob)
    source = written.put(scheme, tmp_path / 'source', server)
    name = {'registry': f'{server.host}/app', 'oci-tar': 'source.tar', 'layout': 'source'}[scheme]
    is_refused(run_here('-q', 'process', source, f'dir://{tmp_path}/out'), name, 'layer 0', Digest.of(blob), media_type,
               why, '--platform=all')
    run_here('-q', 'process', '--platform=all', source, f'layout://{tmp_path}/lay').assert_code(0)
    assert (tmp_path / 'lay/blobs/sha256' / Digest.of(blob).hex).read_bytes() == blob


def test_an_image_without_layers_is_whole(tmp_path: Path, server: Scripted) -> None:
    for number, edit in enumerate([
            {}, {'config': instead('{"type": "layers", "diff_ids": []}', '{}'), 'manifest': instead('[]', 'null')},
            {'config': instead('"diff_ids": []', '"diff_ids": null'), 'manifest': instead(', "layers": []', '')}]):
        for scheme in ('layout', 'oci-tar', 'registry', 'tar', 'dir'):
            source = Written(edit, layers=False).put(scheme, tmp_path / f'{scheme}{number}', server)
            for destination in ('dir://{}', 'layout://{}.layout', 'tar://{}.tar', 'tar://{}.oci.tar?format=oci'):
                target = destination.format(tmp_path / f'out-{scheme}{number}')
                run_here('-q', 'process', '--verify=full', source, target).assert_code(0)
            run_here('check', source).assert_code(0)
