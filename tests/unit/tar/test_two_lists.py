"""Archives with manifest.json and index.json: both must list the same images, whoever reads which."""
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from occystrap_core.testing.sample import sample_config, sample_layers
from tests.hostile.in_process import run_here
from tests.hostile.refusals import is_refused
from tests.unit.tar.archives import Members, hex_of, write_tar
from tests.unit.tar.test_input import blob, entry, stored
from tests.unit.tar.test_platforms import AMD, ARM, EVERY, LABELLED

CONTAINERD = 'io.containerd.image.name'
OTHER = stored(variant='another')


def saved(manifest: bytes, *names: str) -> dict[str, Any]:
    """An entry of manifest.json."""
    document = json.loads(manifest)
    config, *layers = [f'blobs/sha256/{each["digest"][7:]}' for each in (document['config'], *document['layers'])]
    return {'Config': config, 'RepoTags': list(names) or None, 'Layers': layers}


def listed(manifest: bytes, name: str, kind: str = 'manifest') -> dict[str, Any]:
    """An entry of index.json as Docker writes it: with the whole name, and the tag alone."""
    made = entry(manifest, name.rpartition(':')[2], kind=kind)
    return {**made, 'annotations': {**made['annotations'], CONTAINERD: name}}


def archive(path: Path, manifest: Sequence[dict[str, Any]], index: Sequence[dict[str, Any]], *more: Members) -> Path:
    """Write both lists, and the blobs of three images."""
    members = [*EVERY, *OTHER[1], blob(LABELLED), *(each for some in more for each in some)]
    return write_tar(path, [*dict(members).items(), ('oci-layout', b'{"imageLayoutVersion": "1.0.0"}'),
                            ('index.json', json.dumps({'schemaVersion': 2, 'manifests': [*index]}).encode()),
                            ('manifest.json', json.dumps([*manifest]).encode())])


HUB = 'docker.io/library/app:v1'
AGREEING = {
    'as docker saves': ([saved(AMD[0], 'app:v1')], [listed(AMD[0], HUB)]),
    'two names': ([saved(AMD[0], 'app:v1', 'x.example/app:v2')], [listed(AMD[0], HUB),
                                                                  listed(AMD[0], 'x.example/app:v2')]),
    'a tag alone': ([saved(AMD[0], 'x.example/app:v1')], [entry(AMD[0], 'v1')]),
    'no names': ([saved(AMD[0])], [entry(AMD[0])]),
    'a name in one of them': ([saved(AMD[0], 'app:v1')], [entry(AMD[0])]),
    'one of an index': ([saved(AMD[0], 'app:v1')], [listed(LABELLED, HUB, 'index')]),
    'all of an index': ([saved(AMD[0], 'app:v1'), saved(ARM[0], 'app:v1')], [listed(LABELLED, HUB, 'index')]),
    'several': ([saved(AMD[0], 'app:v1'), saved(OTHER[0], 'b:v1')], [
        listed(OTHER[0], 'docker.io/library/b:v1'), listed(AMD[0], HUB)]),
}
DIFFERING = {
    'another image': ([saved(OTHER[0], 'app:v1')], [entry(AMD[0], 'app:v1')]),
    'another by its long name': ([saved(OTHER[0], 'app:v1')], [listed(AMD[0], HUB)]),
    'another by its tag': ([saved(OTHER[0], 'app:v1')], [entry(AMD[0], 'v1')]),
    'without names': ([saved(OTHER[0])], [entry(AMD[0])]),
    'exchanged': ([saved(AMD[0], 'a:v1'), saved(OTHER[0], 'b:v1')], [entry(AMD[0], 'b:v1'), entry(OTHER[0], 'a:v1')]),
    'one more in manifest.json': ([saved(AMD[0], 'app:v1'), saved(OTHER[0], 'b:v1')], [entry(AMD[0], 'app:v1')]),
    'one more in index.json': ([saved(AMD[0], 'app:v1')], [entry(AMD[0], 'app:v1'), entry(OTHER[0], 'b:v1')]),
    'one more without a name': ([saved(AMD[0], 'app:v1')], [entry(AMD[0], 'app:v1'), entry(OTHER[0])]),
    'one more name in manifest.json': ([saved(AMD[0], 'app:v1', 'app:v2')], [entry(AMD[0], 'app:v1')]),
    'one more name in index.json': ([saved(AMD[0], 'app:v1')], [entry(AMD[0], 'app:v1'), entry(AMD[0], 'app:v2')]),
    'an empty index.json': ([saved(AMD[0], 'app:v1')], []),
    'none of an index': ([saved(OTHER[0], 'app:v1')], [listed(LABELLED, HUB, 'index')]),
}


@pytest.mark.parametrize('case', AGREEING)
def test_lists_that_agree_are_read(case: str, tmp_path: Path) -> None:
    source = archive(tmp_path / 'a.tar', *AGREEING[case])
    run_here('-q', 'process', '--verify=full', f'tar://{source}', f'layout://{tmp_path}/out').assert_code(0)


@pytest.mark.parametrize('case', DIFFERING)
def test_lists_that_differ_are_refused(case: str, tmp_path: Path) -> None:
    source = archive(tmp_path / 'a.tar', *DIFFERING[case])
    is_refused(run_here('-q', 'process', f'tar://{source}', f'layout://{tmp_path}/out'),
               f'{source}: manifest.json and index.json list different images: ', 'save the images again')
    assert not (tmp_path / 'out').exists()
    finding, = run_here('check', f'tar://{source}', '-O', 'json').json()['images'][0]['findings']
    assert finding['rule'] == 'archive-lists-differ'


def test_images_left_out_of_an_index_may_be_missing(tmp_path: Path) -> None:
    """`docker save` of an image of which only one platform was pulled."""
    manifest, index = AGREEING['one of an index']
    content = dict(EVERY)
    del content[f'blobs/sha256/{hex_of(ARM[0])}']
    source = write_tar(tmp_path / 'a.tar', [
        *content.items(), blob(LABELLED), ('oci-layout', b'{"imageLayoutVersion": "1.0.0"}'),
        ('index.json', json.dumps({'schemaVersion': 2, 'manifests': index}).encode()),
        ('manifest.json', json.dumps(manifest).encode())])
    run_here('-q', 'process', f'tar://{source}', f'dir://{tmp_path}/out').assert_code(0)


def test_a_list_that_is_a_link_is_one(tmp_path: Path) -> None:
    """Programs that unpack the archive follow it."""
    document = json.dumps([saved(OTHER[0], 'app:v1')]).encode()
    index = json.dumps({'schemaVersion': 2, 'manifests': [entry(AMD[0], 'app:v1')]}).encode()
    source = write_tar(tmp_path / 'a.tar', [
        *AMD[1], *OTHER[1], ('oci-layout', b'{"imageLayoutVersion": "1.0.0"}'), ('index.json', index),
        ('hidden', document), ('manifest.json', 'hidden')])
    is_refused(run_here('-q', 'process', f'tar://{source}', f'layout://{tmp_path}/out'), 'list different images')


@pytest.mark.parametrize('level', ['fast', 'full'])
@pytest.mark.parametrize('option', ['', '?format=oci', '?format=docker'])
def test_a_receipt_is_not_proved_by_one_of_two_lists(option: str, level: str, tmp_path: Path) -> None:
    """index.json has the image of the receipt, and `process tar://…`, as docker load, takes that in manifest.json."""
    archive(tmp_path / 'a.tar', [saved(AMD[0], 'app:v1')], [entry(AMD[0], 'app:v1')])
    receipt = tmp_path / 'receipt'
    copy = ('process', f'tar://{tmp_path}/a.tar', f'layout://{tmp_path}/out', '--receipt', receipt)
    run_here('-q', *copy).assert_code(0)
    verify = ('verify', f'--verify={level}', receipt, '--at', f'tar://{tmp_path}/a.tar{option}')
    run_here(*verify).assert_code(0)
    for case in ('another image', 'another by its long name'):
        archive(tmp_path / 'a.tar', *DIFFERING[case])
        result = run_here(*verify).assert_code(1)
        assert 'manifest.json and index.json list different images' in result.err and '0/1 verified' in result.err


def test_an_image_is_read_as_its_own_name_says(tmp_path: Path) -> None:
    """Two manifests of one config, as of an image that is stored with two compressions."""
    layers = sample_layers()
    plain = json.dumps({'schemaVersion': 2, 'config': json.loads(AMD[0])['config'], 'layers': [
        *json.loads(AMD[0])['layers'][:1], *({
            'mediaType': 'application/vnd.oci.image.layer.v1.tar', 'digest': f'sha256:{hex_of(layer)}',
            'size': len(layer)} for layer in layers[1:])]}).encode()
    source = archive(tmp_path / 'a.tar', [saved(AMD[0], 'app:v1'), saved(plain, 'app:v2')], [
        entry(AMD[0], 'app:v1'), entry(plain, 'app:v2')], [blob(plain), *map(blob, layers)])
    assert hex_of(sample_config()) == json.loads(AMD[0])['config']['digest'][7:]
    for tag, manifest in (('v1', AMD[0]), ('v2', plain)):
        run_here('-q', 'process', f'tar://{source}?image=app:{tag}', f'layout://{tmp_path}/{tag}').assert_code(0)
        written, = json.loads((tmp_path / tag / 'index.json').read_bytes())['manifests']
        assert written['digest'] == f'sha256:{hex_of(manifest)}'
