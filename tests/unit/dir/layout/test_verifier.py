"""Damage of each kind to each file of a layout, and what verification says of it."""
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from occystrap_core import Evidence, Expectation, Receipt, VerifyLevel
from occystrap_core.errors import InvalidReceipt
from occystrap_core.oci import Digest, blob_name
from occystrap_core.testing.sample import sample_image
from tests.unit.core.pipeline.indexes import artifact, index_of as image_index
from tests.unit.dir.layout.layouts import REF_NAME, findings, index_of, write

BOTH = [VerifyLevel.FAST, VerifyLevel.FULL]
IMAGE = sample_image()
assert IMAGE.manifest and IMAGE.layers[0].descriptor
BLOBS = {'manifest': blob_name(IMAGE.manifest.digest), 'config': blob_name(IMAGE.config.digest),
         'layer': blob_name(IMAGE.layers[0].descriptor.digest)}
NAME = 'occystrap/sample:v1'


@pytest.fixture
def receipt(tmp_path: Path) -> Receipt:
    """A receipt of the sample image in `tmp_path`."""
    return write(tmp_path)


def remove(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b'\n')


def link(path: Path) -> None:
    path.rename(path.with_name('elsewhere'))
    path.symlink_to('elsewhere')


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize('level', BOTH)
@pytest.mark.parametrize('kind', BLOBS)
@pytest.mark.parametrize('damage, message', [
    (remove, 'is missing'), (cut, 'size in bytes is'), (lengthen, 'size in bytes is'), (link, 'is a symbolic link'),
    (pipe, 'is a pipe')])
def test_a_blob_that_is_not_there_whole_is_named(
        tmp_path: Path, receipt: Receipt, kind: str, damage: Callable[[Path], None], message: str, level: VerifyLevel,
) -> None:
    damage(tmp_path / BLOBS[kind])
    found, = findings(receipt, level)
    assert found.startswith(f'error {kind} {BLOBS[kind]}: ') and message in found


@pytest.mark.parametrize('kind', BLOBS)
def test_a_flipped_bit_of_a_blob(tmp_path: Path, receipt: Receipt, kind: str) -> None:
    path = tmp_path / BLOBS[kind]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    found, = findings(receipt, VerifyLevel.FULL)
    assert found.startswith(f'error {kind} {BLOBS[kind]}: digest is sha256:')
    assert bool(findings(receipt)) is (kind != 'layer')


def test_blobs_that_were_swapped(tmp_path: Path, receipt: Receipt) -> None:
    one, two = tmp_path / BLOBS['layer'], tmp_path / BLOBS['config']
    one.rename(tmp_path / 'x')
    two.rename(one)
    (tmp_path / 'x').rename(two)
    assert len(findings(receipt)) == len(findings(receipt, VerifyLevel.FULL)) == 2


@pytest.mark.parametrize('name', ['index.json', 'oci-layout'])
def test_any_flipped_bit_of_the_small_files(tmp_path: Path, receipt: Receipt, name: str) -> None:
    path, whole = tmp_path / name, (tmp_path / name).read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1:])
        assert findings(receipt), f'byte {place} was flipped: {path.read_bytes()!r}'
    path.write_bytes(whole)
    assert findings(receipt) == []


@pytest.mark.parametrize('damage', [remove, cut, pipe])
@pytest.mark.parametrize(('name', 'item'), [('index.json', f'entry {NAME}'), ('oci-layout', 'layout oci-layout')])
def test_a_small_file_that_is_not_there_whole(tmp_path: Path, receipt: Receipt, name: str, item: str,
                                              damage: Callable[[Path], None]) -> None:
    damage(tmp_path / name)
    found, = findings(receipt)
    assert found.startswith(f'error {item}: ')


def change(directory: Path, how: Callable[[list[Any]], list[Any]]) -> None:
    document = index_of(directory)
    (directory / 'index.json').write_text(json.dumps({**document, 'manifests': how(document['manifests'])}, indent=2))


@pytest.mark.parametrize('how, message', [
    (lambda entries: [], 'is not listed in index.json'),
    (lambda entries: [{**entries[0], 'annotations': {REF_NAME: 'other'}}], 'is not listed in index.json'),
    (lambda entries: [{**entries[0], 'digest': Digest.of(b'x')}], f'is in index.json as {Digest.of(b"x")}'),
    (lambda entries: [{**entries[0], 'size': 5}], 'with another entry than was written'),
    (lambda entries: [{**entries[0], 'platform': {'os': 'a', 'architecture': 'b'}}], 'another entry than was written'),
    (lambda entries: [*entries, {**entries[0], 'digest': Digest.of(b'x')}], 'several entries of this name'),
    (lambda entries: entries * 2, 'several entries of this name'),
    (lambda entries: [{**entries[0], 'digest': '../../x'}], 'is not a digest'),
    (lambda entries: ['x'], 'is not a JSON object')])
def test_an_entry_that_says_something_else(tmp_path: Path, receipt: Receipt, how: Callable[[list[Any]], list[Any]],
                                           message: str) -> None:
    change(tmp_path, how)
    found, = findings(receipt)
    assert found.startswith(f'error entry {NAME}: ') and message in found


def test_irrelevant_differences(tmp_path: Path, receipt: Receipt) -> None:
    """Other images, other white space, another order of fields; a mended oci-layout."""
    write(tmp_path, sample_image('other:v1', variant='other'))
    write(f'{tmp_path}:stable')
    change(tmp_path, lambda entries: [dict(reversed(entry.items())) for entry in reversed(entries)])
    (tmp_path / 'oci-layout').write_text('{ "imageLayoutVersion": "1.0.0" }\n')
    assert findings(receipt, VerifyLevel.FULL) == []


def test_damage_to_one_image_is_no_affair_of_another(tmp_path: Path, receipt: Receipt) -> None:
    other = write(tmp_path, sample_image('other:v1', variant='other'))
    (tmp_path / other.of_kind('config')[0].locator).unlink()
    assert findings(receipt) == [] and len(findings(other)) == 1


def test_each_part_of_an_index_is_verified(tmp_path: Path) -> None:
    receipt = write(tmp_path, image_index([sample_image(), sample_image(variant='arm'), artifact()],
                                          ['linux/amd64', 'linux/arm64', 'unknown/unknown']))
    assert [len(receipt.of_kind(kind)) for kind in ('index', 'manifest', 'config', 'entry')] == [1, 3, 3, 1]
    assert findings(receipt, VerifyLevel.FULL) == []
    for each in receipt.of_kind('index', 'manifest', 'config', 'layer'):
        path = tmp_path / each.locator
        content = path.read_bytes()
        path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
        assert findings(receipt, VerifyLevel.FULL)[0].startswith(f'error {each}: digest is')
        path.write_bytes(content)


def test_all_damage_is_reported_in_one_run(tmp_path: Path, receipt: Receipt) -> None:
    for name in (*BLOBS.values(), 'oci-layout', 'index.json'):
        (tmp_path / name).unlink()
    assert len(findings(receipt)) == 5


def test_a_missing_directory_is_one_error(tmp_path: Path) -> None:
    receipt = write(tmp_path / 'x')
    shutil.rmtree(tmp_path / 'x')
    assert findings(receipt) == [f'error layout://{tmp_path}/x: there is no such directory']


def test_a_receipt_of_its_own_making_leads_nowhere_else(tmp_path: Path, receipt: Receipt) -> None:
    (tmp_path.parent / 'secret').write_bytes(b'secret')
    wrong = Expectation('layer', '../secret', Digest.of(b'secret'), 6, Evidence.STREAMED)
    with pytest.raises(InvalidReceipt, match=f'expect blobs/sha256/{wrong.digest.hex}, but layer ../secret'):
        findings(replace(receipt, expectations=(*receipt.expectations, wrong)), VerifyLevel.FULL)


@pytest.mark.parametrize(('changes', 'message'), [
    ({'image_id': Digest.of(b'x')}, 'config'), ({'manifest_digest': Digest.of(b'x')}, 'manifest'),
    ({'diff_ids': [Digest.of(b'x')]}, 'layer')])
def test_a_receipt_that_contradicts_itself_is_refused(receipt: Receipt, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidReceipt, match=f'incomplete: it does not expect {message} {Digest.of(b"x")}'):
        findings(replace(receipt, **changes))


def test_a_receipt_of_fewer_layers_than_the_image_has(receipt: Receipt) -> None:
    lost = receipt.of_kind('layer')[-1]
    fewer = tuple(each for each in receipt.expectations if each != lost)
    found = findings(replace(receipt, expectations=fewer, diff_ids=receipt.diff_ids[:-1]))
    assert [each.split(':')[0].split()[1] for each in found] == ['manifest', 'config']
    assert f'names {lost.digest}, which the receipt does not expect' in found[0]
    assert 'the list of diff_ids is' in found[1]


def test_unknown_expectations_are_unverified(receipt: Receipt) -> None:
    unknown = Expectation('signature', 'x', Digest.of(b''), 0, Evidence.STREAMED)
    assert findings(replace(receipt, expectations=(*receipt.expectations, unknown))) == [
        'unverified signature x: this version does not know how to check it']
