"""Manifests and configs that are not as specified, of images that docker runs: old ones, and those of odd programs."""
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zstandard

from occystrap_core.oci import Digest
from tests.hostile.documents import BLOB, TAR, Edit, Written, instead
from tests.hostile.in_process import run_here
from tests.hostile.refusals import is_refused
from tests.services.requirements import EVERYTHING
from tests.unit.registry.scripted import Answer, Scripted
from tests.unit.tar.archives import gzipped

OCI = 'application/vnd.oci.image'
CONFIG, LAYER, MANIFEST = f'{OCI}.config.v1+json', f'{OCI}.layer.v1.tar+gzip', f'{OCI}.manifest.v1+json'
PLACES = ('layout', 'oci-tar', 'registry')
ALONE = PLACES if EVERYTHING else ('registry', )
"""For what one function of core reads, of which other cases of a test see that all sources use it."""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scripted]:
    """A registry to put images into, which needs no credentials."""
    monkeypatch.setenv('DOCKER_CONFIG', str(tmp_path))
    with Scripted() as started:
        yield started


def untyped(media_type: str) -> Edit:
    return instead(f'"mediaType": "{media_type}", ', '')


def both(*edits: Edit) -> Edit:
    def edit(document: str) -> str:
        for each in edits:
            document = each(document)
        return document
    return edit


def is_read(written: Written, tmp_path: Path, server: Scripted, *rules: str, places: tuple[str, ...] = PLACES) -> None:
    """Fail unless the image is read and copied from each source, and check finds nothing but these rules."""
    for scheme in places:
        source = written.put(scheme, tmp_path / f'{scheme}-source', server)
        for target in ('dir://{}/dir', 'layout://{}/layout', *(['tar://{}/out.tar'] if scheme == places[0] else [])):
            (tmp_path / scheme).mkdir(exist_ok=True)
            run_here('-q', 'process', '--verify=full', source, target.format(tmp_path / scheme)).assert_code(0)
        there = [path.read_bytes() for path in (tmp_path / scheme).glob('dir/*/layer.tar')]
        assert there == ([TAR] if written.layers else [])
        blobs = tmp_path / scheme / 'layout/blobs/sha256'
        assert (blobs / Digest.of(written.manifest).hex).read_bytes() == written.manifest
        assert (blobs / Digest.of(written.config).hex).read_bytes() == written.config
        images = json.loads(run_here('check', source, '-O', 'json').out)['images']
        assert {each['rule'] for each in images[0]['findings']} == set(rules), scheme
        run_here('info', source).assert_code(0)
        assert ('a' in run_here('search', source, 'a').out) is written.layers


@pytest.mark.parametrize('media_type', [
    'application/octet-stream', 'application/json', 'text/plain', 'text/html', 'text/html; charset=utf-8', '', None,
    'binary/octet-stream', f'{OCI}.serialization.config.v1+json', 'application/vnd.docker.container.image.v1'])
def test_the_config_says_what_it_is(media_type: str | None, tmp_path: Path, server: Scripted) -> None:
    edit = untyped(CONFIG) if media_type is None else instead(f'"{CONFIG}"', f'"{media_type}"')
    expected = {'config-media-type', 'media-types-mixed'} if 'docker' in (media_type or '') else {'config-media-type'}
    places = PLACES if media_type == 'application/octet-stream' else ('registry',)
    is_read(Written({'manifest': edit}), tmp_path, server, *expected, places=places)


@pytest.mark.parametrize(('media_type', 'blob'), [
    ('application/octet-stream', BLOB), ('application/octet-stream', TAR), ('', BLOB), ('application/x-gzip', BLOB),
    ('application/gzip', zstandard.compress(TAR)), ('application/x-tar', TAR), ('application/tar+gzip', BLOB),
    (f'{OCI}.layer.v1.tar.gzip', BLOB), (f'{OCI}.layer.v1.tar+gz', BLOB), (f'{OCI}.layer.tar+gzip', BLOB),
    (f'{OCI}.serialization.rootfs.tar.gzip', BLOB), (f'{OCI}.layer.v1.TAR+GZIP', BLOB)],
    ids=map(str, range(12)))
def test_the_diff_id_says_what_a_layer_is(media_type: str, blob: bytes, tmp_path: Path, server: Scripted) -> None:
    written = Written({'manifest': instead(f'"{LAYER}"', f'"{media_type}"')}, blob=blob)
    places = PLACES if media_type == 'application/octet-stream' else ('registry',)
    is_read(written, tmp_path, server, 'layer-media-type', places=places)


def test_types_of_docker_in_a_manifest_of_oci(tmp_path: Path, server: Scripted) -> None:
    edit = instead(f'"{LAYER}"', '"application/vnd.docker.image.rootfs.diff.tar.gzip"')
    is_read(Written({'manifest': edit}), tmp_path, server, 'media-types-mixed')


@pytest.mark.parametrize(('edit', 'rule'), [
    (untyped(MANIFEST), 'manifest-untyped'), (instead(f'"{MANIFEST}"', 'null'), 'manifest-untyped'),
    (instead('"schemaVersion": 2, ', ''), 'manifest-version'), (instead('"layers"', '"Layers"'), 'field-case'),
    (instead('"config": {"mediaType"', '"config": {"MediaType"'), 'field-case')])
def test_fields_missing_from_a_manifest(edit: Edit, rule: str, tmp_path: Path, server: Scripted) -> None:
    is_read(Written({'manifest': edit}), tmp_path, server, rule, places=PLACES if rule != 'field-case' else ALONE)


@pytest.mark.parametrize(('edit', 'rule'), [
    (instead('"rootfs"', '"rootfS"'), 'field-case'), (instead('"diff_ids"', '"DIFF_IDS"'), 'field-case')])
def test_odd_spellings_in_a_config(edit: Edit, rule: str, tmp_path: Path, server: Scripted) -> None:
    is_read(Written({'config': edit}), tmp_path, server, rule, places=ALONE)


@pytest.mark.parametrize('name', ['"os": "linux"', '"rootfs": {'])
def test_names_that_differ_only_in_case_stay_refused(name: str, tmp_path: Path, server: Scripted) -> None:
    written = Written({'config': instead(name, f'{name.upper().replace("LINUX", "linux")}'
                                         + ('}, ' if name.endswith('{') else ', ') + name)})
    source = written.put('registry', tmp_path / 'source', server)
    is_refused(run_here('-q', 'process', source, f'dir://{tmp_path}/out'), 'ambiguous')


@pytest.mark.parametrize(('config', 'manifest', 'rules'), [
    (', "rootfs": {}', '"layers": []', {'diff-ids-missing'}), ('', '"layers": []', {'diff-ids-missing'}),
    (', "rootfs": null', '"layers": null', {'diff-ids-missing', 'layers-missing'}),
    (', "rootfs": {"type": "layers"}', '"layers": null', {'diff-ids-missing', 'layers-missing'}),
    (', "rootfs": {"type": "layers", "diff_ids": null}', '', {'diff-ids-missing', 'layers-missing'}),
    (', "rootfs": {"type": "layers", "diff_ids": []}', '', {'layers-missing'})])
def test_images_without_layers(config: str, manifest: str, rules: set[str], tmp_path: Path, server: Scripted) -> None:
    without = Written({'config': instead(', "rootfs": {"type": "layers", "diff_ids": []}', config),
                       'manifest': instead('"layers": [], ' if not manifest else '"layers": []',
                                           manifest)}, layers=False)
    is_read(without, tmp_path, server, *rules, places=PLACES if len(rules) == 1 else ALONE)
    source = without.put('dir', tmp_path / 'saved', server)
    run_here('-q', 'process', '--verify=full', source, f'oci://{tmp_path}/bundle').assert_code(0)


def test_layers_that_the_config_does_not_list_stay_refused(tmp_path: Path, server: Scripted) -> None:
    for number, edit in enumerate((instead(f', "rootfs": {{"type": "layers", "diff_ids": ["{Digest.of(TAR)}"]}}', ''),
                                   instead(f'["{Digest.of(TAR)}"]', 'null'))):
        source = Written({'config': edit}).put('layout', tmp_path / f'{number}', server)
        is_refused(run_here('-q', 'process', source, f'dir://{tmp_path}/out'), 'has 1 layers, but its config lists 0')


@pytest.mark.parametrize(('config', 'manifest'), [
    (lambda text: '{}', instead(f'"{CONFIG}"', '"application/octet-stream"')),
    (lambda text: '{}', instead(f'"{CONFIG}"', '""')),
    (lambda text: '{"os": "linux", "architecture": "amd64"}', instead(f'"{CONFIG}"', '"application/json"')),
    (lambda text: '[1]', instead(f'"{CONFIG}"', '"application/json"')),
    (lambda text: 'no JSON', instead(f'"{CONFIG}"', '"text/plain"')),
    (lambda text: '{"os": "linux", "OS": "x"}', instead(f'"{CONFIG}"', '"application/json"')),
    (both(instead('"amd64"', '""'), instead('"os": "linux"', '"os": ""')),
     instead(f'"{LAYER}"', '"application/octet-stream"')),  # cosign upload blob
    (both(instead('"amd64"', '""'), instead('"os": "linux"', '"os": ""')),
     instead(f'"{LAYER}"', '"text/spdx+json"')),  # cosign attach sbom
    (lambda text: text, instead(f'"{LAYER}"', '"application/vnd.dev.cosign.simplesigning.v1+json"')),
    (lambda text: text, instead(f'"{CONFIG}"', '"application/vnd.cncf.helm.config.v1+json"')),
    (lambda text: text, instead(f'"{CONFIG}"', '"application/vnd.docker.plugin.v1+json"')),
    (lambda text: text, both(instead(f'"{CONFIG}"', '"application/json"'),
                             instead('"annotations"', '"artifactType": "application/vnd.example", "annotations"')))])
def test_artifacts_are_not_taken_for_images(config: Callable[[str], str], manifest: Edit, tmp_path: Path,
                                            server: Scripted) -> None:
    written = Written({'config': config, 'manifest': manifest})
    for scheme in PLACES:
        source = written.put(scheme, tmp_path / f'{scheme}-source', server)
        is_refused(run_here('-q', 'process', source, f'dir://{tmp_path}/out'))
        run_here('-q', 'process', '--platform=all', source, f'layout://{tmp_path}/{scheme}').assert_code(0)
        described = json.loads(run_here('info', '--platform=all', source, '-O', 'json').out)
        assert '"artifact"' in json.dumps(described)
        blobs = tmp_path / scheme / 'blobs/sha256'
        assert (blobs / Digest.of(written.manifest).hex).read_bytes() == written.manifest


@pytest.mark.parametrize(('edit', 'rules'), [
    (untyped(MANIFEST), {'entry-media-type'}), (instead(f'"{MANIFEST}"', '"application/json"'), {'entry-media-type'}),
    (instead(', "platform": {"architecture": "amd64", "os": "linux"}', ''), {'platform-missing'}),
    (untyped(f'{OCI}.index.v1+json'), {'manifest-untyped'}),
    (instead('"schemaVersion": 2, ', ''), {'manifest-version'})])
def test_indexes_that_leave_something_out(edit: Edit, rules: set[str], tmp_path: Path, server: Scripted) -> None:
    written = Written({'inner': edit})
    for scheme in PLACES:
        source = written.put(scheme, tmp_path / f'{scheme}-source', server)
        run_here('-q', 'process', source, f'dir://{tmp_path}/{scheme}').assert_code(0)
        run_here('-q', 'process', '--platform=all', source, f'layout://{tmp_path}/{scheme}-all').assert_code(0)
        inner = tmp_path / f'{scheme}-all/blobs/sha256' / Digest.of(written.inner).hex
        assert inner.read_bytes() == written.inner
        images = json.loads(run_here('check', '--platform=all', source, '-O', 'json').out)['images']
        assert {each['rule'] for each in images[0]['findings']} == rules, scheme


@pytest.mark.parametrize('content_type', ['application/json', 'text/plain; charset=utf-8', 'application/octet-stream',
                                          None, 'text/html', f'{MANIFEST}, application/json'])
@pytest.mark.parametrize('docker', [False, True])
def test_the_content_type_of_an_answer(content_type: str | None, docker: bool, tmp_path: Path, server: Scripted,
                                       ) -> None:
    kind = 'application/vnd.docker.distribution.manifest.v2+json'
    written = Written({'manifest': both(untyped(MANIFEST), instead('"schemaVersion": 2', f'"mediaType": "{kind}", '
                                                                   '"schemaVersion": 2')) if docker else str})
    source = written.put('registry', tmp_path / 'source', server)
    headers = [('Content-Type', content_type)] if content_type else []
    server.routes['GET /v2/app/manifests/v1'] = Answer(200, written.manifest, headers)
    run_here('-q', 'process', source, f'dir://{tmp_path}/dir').assert_code(0)
    run_here('-q', 'process', source, f'layout://{tmp_path}/layout').assert_code(0)
    assert (tmp_path / 'layout/blobs/sha256' / Digest.of(written.manifest).hex).read_bytes() == written.manifest
    findings = json.loads(run_here('check', source, '-O', 'json').out)['images'][0]['findings']
    assert 'manifest-content-type' in {each['rule'] for each in findings}


def test_an_entry_says_what_a_manifest_without_a_type_is(tmp_path: Path, server: Scripted) -> None:
    kind = 'application/vnd.docker.distribution.manifest.v2+json'
    written = Written({'manifest': untyped(MANIFEST), 'inner': instead(f'"{MANIFEST}"', f'"{kind}"')})
    source = written.put('registry', tmp_path / 'source', server)
    server.routes[f'GET /v2/app/manifests/{Digest.of(written.manifest)}'] = Answer(200, written.manifest)
    run_here('-q', 'process', source, f'layout://{tmp_path}/out').assert_code(0)
    described = json.loads(run_here('info', source, '-O', 'json').out)
    assert kind in json.dumps(described)


@pytest.mark.parametrize('blob', [gzipped(TAR), zstandard.compress(TAR), TAR], ids=['gzip', 'zstd', 'plain'])
@pytest.mark.parametrize('media_type', [f'{OCI}.layer.v1.tar', LAYER, 'application/octet-stream'])
def test_filters_read_what_is_there(media_type: str, blob: bytes, tmp_path: Path, server: Scripted) -> None:
    edit = instead(f'"{LAYER}"', f'"{media_type}"')
    source = Written({'manifest': edit}, blob=blob).put('layout', tmp_path / 'source', server)
    run_here('-q', 'process', source, f'layout://{tmp_path}/out', '-f', 'normalize-timestamps:ts=7').assert_code(0)
    findings = json.loads(run_here('check', f'layout://{tmp_path}/out', '-O', 'json').out)['images'][0]['findings']
    assert findings == []
