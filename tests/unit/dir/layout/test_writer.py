"""What a layout holds after one or several images were written to it, again, or only in part."""
import io
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from occystrap_core import Evidence, Image, OutputError, Receipt, Settings, UsageError, VerifyLevel
from occystrap_core.files import DigestMismatch
from occystrap_core.image.artifact import Artifact
from occystrap_core.image.image import Referrer
from occystrap_core.oci import Digest, Manifest, referrer_of
from occystrap_core.tar import StoredLayer
from occystrap_core.testing.sample import sample_image
from tests.unit.core.pipeline.indexes import artifact, descriptor_of, index_of as image_index
from tests.unit.dir.directories import content
from tests.unit.dir.layout.layouts import (
    REF_NAME, SETTINGS, blobs, findings, index_of, names, opened, output, put_blob, put_image, put_index, write,
)

FULL = replace(SETTINGS, verify=VerifyLevel.FULL)


def visible(directory: Path) -> dict[str, bytes]:
    return {name: data for name, data in content(directory).items() if not name.startswith('.occystrap/')}


def stamps(directory: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in directory.rglob('*') if path.is_file() and path.name != 'active'}


def test_an_image_lies_there_byte_for_byte(tmp_path: Path) -> None:
    image = sample_image('r.example/app:v1')
    receipt = write(tmp_path / 'x', image)
    assert image.manifest and receipt.manifest_digest == image.manifest.digest
    assert json.loads((tmp_path / 'x/oci-layout').read_text()) == {'imageLayoutVersion': '1.0.0'}
    assert index_of(tmp_path / 'x')['manifests'] == [
        {**image.manifest.descriptor.to_json(), 'annotations': {REF_NAME: 'r.example/app:v1'}}]
    assert blobs(tmp_path / 'x') == {image.manifest.digest.hex, image.config.digest.hex,
                                     *(layer.descriptor.digest.hex for layer in image.layers if layer.descriptor)}
    for name in blobs(tmp_path / 'x'):
        assert Digest.of((tmp_path / 'x/blobs/sha256' / name).read_bytes()).hex == name
    assert sorted(os.listdir(tmp_path / 'x/.occystrap')) == ['active', 'lock', 'receipts']


@pytest.mark.parametrize(('path', 'tag', 'name'), [('x', None, 'occystrap/sample:v1'), ('x:stable', None, 'stable'),
                                                   ('x', 'r.example/app:v2', 'r.example/app:v2'), ('a:b/', 'v1', 'v1')])
def test_the_name_is_the_one_given_or_the_sources(tmp_path: Path, path: str, tag: str | None, name: str) -> None:
    from occystrap_core.pipeline.image_copy import ImageCopy
    (tmp_path / 'a:b').mkdir()
    to = output(f'{tmp_path}/{path}', tag)
    ImageCopy(sample_image(), to, SETTINGS, 'sample').run()
    assert names(Path(to.location.path)) == [name]


def test_a_second_run_changes_nothing(tmp_path: Path) -> None:
    first = write(tmp_path)
    before = stamps(tmp_path)
    second = write(tmp_path)
    assert stamps(tmp_path) == before
    assert second.manifest_digest == first.manifest_digest
    assert {each.evidence for each in second.of_kind('layer')} == {Evidence.DESCRIPTOR}
    kept, = (tmp_path / '.occystrap/receipts').iterdir()
    assert Receipt.from_json(kept.read_text()).evidence is Evidence.STREAMED


def test_several_images_share_blobs_and_have_a_receipt_each(tmp_path: Path) -> None:
    receipts = [write(tmp_path, sample_image(f'r.example/{name}', variant=name[-1])) for name in ('a:1', 'b:1', 'a:2')]
    assert names(tmp_path) == ['r.example/a:1', 'r.example/b:1', 'r.example/a:2']
    assert len(blobs(tmp_path)) == 2 * 2 + 2 + 2  # two manifests and configs, two shared layers, two of their own
    assert [findings(receipt, VerifyLevel.FULL) for receipt in receipts] == [[], [], []]
    assert len(list((tmp_path / '.occystrap/receipts').iterdir())) == 3


def test_a_name_moves_and_what_nothing_names_any_more_goes(tmp_path: Path) -> None:
    write(tmp_path / 'expected', sample_image(variant='new'))
    kept = write(tmp_path / 'x', sample_image('kept:v1', variant='kept'))
    write(tmp_path / 'x', sample_image(variant='old'))
    write(tmp_path / 'x', sample_image(variant='new'))
    assert names(tmp_path / 'x') == ['kept:v1', 'occystrap/sample:v1'] and findings(kept, VerifyLevel.FULL) == []
    assert blobs(tmp_path / 'x') == blobs(tmp_path / 'expected') | {
        Path(each.locator).name for each in kept.of_kind('manifest', 'config', 'layer')}


def test_blobs_of_another_index_are_kept(tmp_path: Path) -> None:
    image = sample_image(variant='old')
    inner = image_index([image, sample_image()], ['linux/amd64', 'linux/arm64'])
    whole = write(f'{tmp_path}:all', image_index([inner]))
    write(f'{tmp_path}:one', image)
    write(f'{tmp_path}:one', sample_image(variant='new'))
    assert findings(whole, VerifyLevel.FULL) == []


@pytest.mark.parametrize('damage', [lambda path: path.unlink(), lambda path: path.write_bytes(b'{}')])
def test_while_a_manifest_cannot_be_read_nothing_is_removed(tmp_path: Path, damage: Callable[[Path], Any]) -> None:
    broken = write(f'{tmp_path}:broken', sample_image(variant='broken'))
    write(f'{tmp_path}:v1', sample_image(variant='old'))
    before = blobs(tmp_path)
    name = Path(broken.of_kind('manifest')[0].locator).name
    damage(tmp_path / 'blobs/sha256' / name)
    write(f'{tmp_path}:v1', sample_image(variant='new'))
    assert before - blobs(tmp_path) <= {name}


def test_blobs_of_others_are_never_removed(tmp_path: Path) -> None:
    """A blob that nothing names may be what another program is just about to name."""
    put_index(tmp_path)
    stray = put_blob(tmp_path, b'stray').digest.hex
    write(f'{tmp_path}:v1', sample_image(variant='old'))
    write(f'{tmp_path}:v1', sample_image(variant='new'))
    with pytest.raises(DigestMismatch):
        write(f'{tmp_path}:v1', breaking(sample_image(variant='never')))
    assert stray in blobs(tmp_path) and len(blobs(tmp_path)) == 6


def test_entries_of_other_programs_are_unchanged(tmp_path: Path) -> None:
    pointer = put_image(tmp_path, sample_image(variant='theirs'))
    theirs = {**pointer.to_json(), 'annotations': {REF_NAME: 'theirs', 'x': 'y'}, 'platform': {
        'os': 'linux', 'architecture': 'amd64', 'os.features': ['z']}}
    put_index(tmp_path, theirs, annotations={'a': 'b'})
    version = (tmp_path / 'oci-layout').read_bytes()
    write(tmp_path)
    index = index_of(tmp_path)
    assert index['annotations'] == {'a': 'b'} and index['manifests'][0] == theirs and 'mediaType' not in index
    assert (tmp_path / 'oci-layout').read_bytes() == version
    write(f'{tmp_path}:theirs')
    assert names(tmp_path) == ['theirs', 'occystrap/sample:v1'] and len(blobs(tmp_path)) == 5


def test_a_name_that_containerd_gave_is_the_same_name(tmp_path: Path) -> None:
    pointer = put_image(tmp_path, sample_image(variant='theirs'))
    put_index(tmp_path, {**pointer.to_json(), 'annotations': {'io.containerd.image.name': 'docker.io/library/app:v1',
                                                              REF_NAME: 'v1'}})
    write(tmp_path, sample_image('docker.io/library/app:v1'))
    assert names(tmp_path) == ['docker.io/library/app:v1']


def test_an_empty_list_that_go_writes_as_null(tmp_path: Path) -> None:
    put_index(tmp_path)
    (tmp_path / 'index.json').write_text('{"schemaVersion":2,"manifests":null}')
    assert findings(write(tmp_path)) == []


def test_whole_indexes_keep_their_bytes_there_and_back(tmp_path: Path) -> None:
    inner = image_index([sample_image(), sample_image(variant='arm')], ['linux/amd64', 'linux/arm64'])
    whole = image_index([inner, artifact()])
    receipt = write(f'{tmp_path}/x:v1', whole)
    assert receipt.manifest_digest == whole.index.digest and len(index_of(tmp_path / 'x')['manifests']) == 1
    for digest, raw in [(whole.index.digest, whole.index.raw), (inner.index.digest, inner.index.raw)]:
        assert (tmp_path / 'x/blobs/sha256' / digest.hex).read_bytes() == raw
    again = write(f'{tmp_path}/y:v1', opened(f'{tmp_path}/x:v1', platform='all'))
    assert again.manifest_digest == whole.index.digest and visible(tmp_path / 'x') == visible(tmp_path / 'y')
    assert findings(again, VerifyLevel.FULL) == []


def referring_to(image: Image) -> Artifact:
    document = {**json.loads(artifact().manifest.raw), 'subject': descriptor_of(image).to_json(),
                'artifactType': 'application/vnd.example.signature', 'annotations': {'made': 'by a test'}}
    plain = artifact()
    return Artifact(plain.reference, plain.config.raw, Manifest.parse(json.dumps(document).encode()),
                    lambda descriptor: io.BytesIO(b'a signature'))


def test_referrers_are_listed_without_a_name(tmp_path: Path) -> None:
    image = sample_image('r.example/app:v1')
    subject = descriptor_of(image).digest
    signature, tagged = referring_to(image), artifact(b'another')
    image.referrers = [Referrer(signature, subject=subject), Referrer(tagged, tag=f'sha256-{subject.hex}.sig')]
    receipt = write(tmp_path, image)
    assert names(tmp_path) == ['', f'sha256-{subject.hex}.sig', 'r.example/app:v1']
    assert index_of(tmp_path)['manifests'][0] == referrer_of(signature.manifest).to_json()
    kept = Receipt.from_json((next((tmp_path / '.occystrap/receipts').iterdir())).read_text())
    assert set(kept.expectations) == set(receipt.expectations) and len(receipt.of_kind('entry')) == 3
    assert findings(receipt, VerifyLevel.FULL) == []
    back = opened(tmp_path, referrers=True)
    assert [(each.subject, each.tag) for each in back.referrers] == [(subject, ''), (None, f'sha256-{subject.hex}.sig')]
    (tmp_path / 'index.json').write_text(json.dumps({'schemaVersion': 2, 'manifests': index_of(
        tmp_path)['manifests'][1:]}))
    found, = findings(receipt)
    assert found.startswith(f'error entry {signature.manifest.digest}: is not listed')


@pytest.mark.parametrize('settings', [SETTINGS, FULL], ids=['fast', 'full'])
@pytest.mark.parametrize('damage', [lambda path: path.unlink(), lambda path: path.write_bytes(b''),
                                    lambda path: (path.unlink(), path.symlink_to('/etc/passwd'))])
def test_a_rerun_mends_what_is_missing_or_cut(tmp_path: Path, damage: Callable[[Path], Any], settings: Settings,
                                              ) -> None:
    write(tmp_path)
    before = visible(tmp_path)
    for name in before.keys() - {'index.json'}:
        damage(tmp_path / name)
        assert findings(write(tmp_path, settings=settings), VerifyLevel.FULL) == [] and visible(tmp_path) == before


def test_a_source_is_notified_only_of_complete_blobs(tmp_path: Path) -> None:
    first, second, third = (tmp_path / layer.locator for layer in write(tmp_path).of_kind('layer'))
    to = output(str(tmp_path))
    digest = Digest(f'sha256:{first.name}')
    assert to.blob_size(digest) == first.stat().st_size
    assert to.blob_size(Digest.of(b'not there')) is None
    first.write_bytes(bytes(first.stat().st_size))
    second.unlink()
    os.mkfifo(second)
    third.unlink()
    third.symlink_to('/etc/passwd')
    assert [to.blob_size(Digest(f'sha256:{each.name}')) for each in (first, second, third)] == [None, None, None]


def test_full_verification_hashes_what_is_there_before_it_is_trusted(tmp_path: Path) -> None:
    receipt = write(tmp_path)
    layer = tmp_path / receipt.of_kind('layer')[0].locator
    whole = layer.read_bytes()
    layer.write_bytes(whole[:60] + bytes([whole[60] ^ 1]) + whole[61:])
    assert findings(write(tmp_path), VerifyLevel.FULL), 'a flipped bit of the same size is not seen by fast'
    second = write(tmp_path, settings=FULL)
    assert layer.read_bytes() == whole and {each.evidence for each in second.of_kind('layer')} == {Evidence.STREAMED}


@pytest.mark.parametrize('damaged', [None, b'', b'{', b'[]', b'{"schemaVersion":2}'])
def test_a_damaged_index_is_made_again_from_receipts_on_demand(tmp_path: Path, damaged: bytes | None) -> None:
    receipts = [write(tmp_path, sample_image('one:v1', variant='one')), write(f'{tmp_path}:tag', image_index([
        sample_image()], ['linux/amd64'])), write(tmp_path, sample_image('two:v1'))]
    (tmp_path / 'index.json').unlink()
    if damaged is not None:
        (tmp_path / 'index.json').write_bytes(damaged)
    with pytest.raises(OutputError, match='/index.json.*add --rebuild-index'):
        write(tmp_path, sample_image('two:v1'))
    write(tmp_path, sample_image('two:v1'), settings=replace(SETTINGS, rebuild_index=True))
    assert sorted(names(tmp_path)) == ['one:v1', 'tag', 'two:v1']
    assert [findings(receipt, VerifyLevel.FULL) for receipt in receipts] == [[], [], []]


def breaking(image: Image) -> Image:
    """The image with a last layer whose bytes are not its descriptor's."""
    last, other = image.layers[-1], image.layers[0]
    assert isinstance(other, StoredLayer) and last.descriptor and last.diff_id
    return Image(image.reference, image.config, [*image.layers[:2], StoredLayer(
        2, last.descriptor, last.diff_id, other._opener)], image.manifest)


@pytest.mark.parametrize('made', [False, True])
def test_a_failed_run_leaves_no_trace(tmp_path: Path, made: bool) -> None:
    if made:
        write(tmp_path / 'x', sample_image('one:v1', variant='one'))
    before = sorted(tmp_path.rglob('*')), content(tmp_path)
    for image in (breaking(sample_image()), image_index([sample_image(), breaking(sample_image(variant='b'))])):
        with pytest.raises(DigestMismatch):
            write(tmp_path / 'x', image)
        assert (sorted(tmp_path.rglob('*')), content(tmp_path)) == before


@pytest.mark.parametrize('path, words', [
    ('x:', 'is not of the form layout://PATH'), (':v1', 'is not of the form'), ('x:-v1', 'cannot name an image'),
    ('x@sha256:' + 64 * 'a', 'by a tag, without a digest'), ('x@sha256:abc', 'is not a digest')])
def test_invalid_destinations(tmp_path: Path, path: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        output(f'{tmp_path}/{path}')


def test_two_tags_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match='gives two tags'):
        output(f'{tmp_path}/x:v1', 'v2')


def file(path: Path) -> None:
    path.write_text('a file')


def dead_link(path: Path) -> None:
    path.symlink_to('nowhere')


def foreign(path: Path) -> None:
    path.mkdir()
    (path / 'index.json').write_text('{}')


def directory_of_dir(path: Path) -> None:
    (path / '.occystrap').mkdir(parents=True)
    (path / 'manifest.json').touch()


def directory_of_mounts(path: Path) -> None:
    (path / '.occystrap').mkdir(parents=True)
    (path / 'mount.json').touch()


def other_version(path: Path) -> None:
    put_index(path)
    (path / 'oci-layout').write_text('{"imageLayoutVersion": "2.0.0"}')


def linked_version(path: Path) -> None:
    path.mkdir()
    (path / 'oci-layout').symlink_to('/nowhere')


def damaged(path: Path) -> None:
    put_index(path)
    (path / 'index.json').write_text('{')


def blobs_elsewhere(path: Path) -> None:
    put_index(path)
    (path / 'blobs').symlink_to('/')


@pytest.mark.parametrize('make, message', [
    (file, 'is not a directory: choose a directory'), (dead_link, 'is a link that leads to no directory'),
    (foreign, "contains other files, such as 'index.json'"), (directory_of_dir, 'holds an image in another layout'),
    (directory_of_mounts, 'holds an image in another layout'),
    (other_version, "image layout version '2.0.0', expected 1.0.0: choose another directory"),
    (linked_version, '/x/oci-layout is a symbolic link, not a regular file: choose another directory'),
    (damaged, 'is not valid JSON.*repair it, or add --rebuild-index'),
    (blobs_elsewhere, 'a symbolic link is in the way, where a directory should be .*/x/blobs.: remove it')])
def test_a_place_that_is_not_ours_is_refused_and_left_alone(
        tmp_path: Path, make: Callable[[Path], None], message: str) -> None:
    make(tmp_path / 'x')
    before = sorted(tmp_path.rglob('*'))
    writer = output(tmp_path / 'x')
    with pytest.raises(OutputError, match=message) as raised:
        writer.prepare(sample_image())
    writer.abort()
    assert str(tmp_path / 'x') in str(raised.value) and '\n' not in str(raised.value)
    assert sorted(tmp_path.rglob('*')) == before


def test_a_missing_parent_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=f'there is no directory {tmp_path}/a; create it first'):
        output(tmp_path / 'a' / 'b').prepare(sample_image())
    assert os.listdir(tmp_path) == []
