"""Damage of each kind to each file that dir:// writes, and what verification says of it."""
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from occystrap_core import Evidence, Expectation, Receipt, VerifyLevel
from occystrap_core.oci import Digest
from occystrap_core.testing.sample import sample_config, sample_image, sample_layers
from tests.unit.dir.directories import findings, read_json, write, write_several

LAYER = f'{Digest.of(sample_layers()[0]).hex}/layer.tar'
CONFIG = f'{Digest.of(sample_config()).hex}.json'
FILES = {'manifest': 'manifest.json', 'config': CONFIG, 'layer': LAYER, 'catalog': 'catalog.json'}
BOTH = [VerifyLevel.FAST, VerifyLevel.FULL]


@pytest.fixture
def receipt(tmp_path: Path) -> Receipt:
    """A receipt of the sample image in `tmp_path`."""
    return write(tmp_path)


def remove(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    path.write_bytes(b'')


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def lengthen(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b'\n')


def link(path: Path) -> None:
    path.rename(path.with_name('elsewhere'))
    path.symlink_to('elsewhere')


def directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize('level', BOTH)
@pytest.mark.parametrize('kind', FILES)
@pytest.mark.parametrize('damage, message', [
    (remove, 'is missing'), (empty, ''), (cut, ''), (link, 'is a symbolic link'), (directory, 'is a directory'),
    (pipe, 'is a pipe')])
def test_missing_and_incomplete_files_are_errors_by_name(tmp_path: Path, receipt: Receipt, kind: str,
                                                         damage: Callable[[Path], None], message: str,
                                                         level: VerifyLevel) -> None:
    damage(tmp_path / FILES[kind])
    found = findings(receipt, level)
    assert found and found[0].startswith(f'error {kind} {FILES[kind]}: ') and message in found[0]


@pytest.mark.parametrize('kind', ['manifest', 'config', 'layer'])
def test_a_longer_file_is_an_error_that_gives_both_sizes(tmp_path: Path, receipt: Receipt, kind: str) -> None:
    size = (tmp_path / FILES[kind]).stat().st_size
    lengthen(tmp_path / FILES[kind])
    assert findings(receipt) == [f'error {kind} {FILES[kind]}: size in bytes is {size + 1}, expected {size}']


@pytest.mark.parametrize('kind', ['manifest', 'config'])
def test_any_flipped_bit_of_a_document_is_found_fast(tmp_path: Path, receipt: Receipt, kind: str) -> None:
    path = tmp_path / FILES[kind]
    whole = path.read_bytes()
    for place in range(0, len(whole), 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1:])
        (found,) = findings(receipt)
        assert found.startswith(f'error {kind} {FILES[kind]}: digest is sha256:') and 'expected sha256:' in found


def test_a_flipped_bit_of_a_layer_is_found_by_full_verification_alone(tmp_path: Path, receipt: Receipt) -> None:
    with (tmp_path / LAYER).open('r+b') as file:
        file.seek(30000)
        byte = file.read(1)[0]
        file.seek(30000)
        file.write(bytes([byte ^ 1]))
    assert findings(receipt, VerifyLevel.FAST) == []
    (found,) = findings(receipt, VerifyLevel.FULL)
    assert found.startswith(f'error layer {LAYER}: digest is') and f'expected {Digest.of(sample_layers()[0])}' in found


def test_layers_of_one_size_that_were_swapped_are_found_by_full_verification(tmp_path: Path, receipt: Receipt) -> None:
    one, two = (tmp_path / Digest.of(tar).hex for tar in sample_layers()[1:])
    one.rename(tmp_path / 'x')
    two.rename(one)
    (tmp_path / 'x').rename(two)
    assert len(findings(receipt, VerifyLevel.FULL)) == 2


def test_layers_of_different_sizes_that_were_swapped_are_found_fast(tmp_path: Path, receipt: Receipt) -> None:
    one, two = (tmp_path / Digest.of(tar).hex for tar in sample_layers()[:2])
    one.rename(tmp_path / 'x')
    two.rename(one)
    (tmp_path / 'x').rename(two)
    assert len(findings(receipt)) == 2


@pytest.mark.parametrize('change', [
    lambda images: images * 2,
    lambda images: [{**images[0], 'RepoTags': ['evil:latest']}],
    lambda images: [{**images[0], 'Layers': images[0]['Layers'][::-1]}],
    lambda images: [{**images[0], 'Layers': images[0]['Layers'][:-1]}],
    lambda images: []])
def test_a_manifest_that_says_something_else_is_found(
        tmp_path: Path, receipt: Receipt, change: Callable[[object], object]) -> None:
    path = tmp_path / 'manifest.json'
    path.write_text(json.dumps(change(read_json(path))))
    assert findings(receipt)[0].startswith('error manifest manifest.json: ')


@pytest.mark.parametrize('catalog, message', [
    ({}, 'does not list'),
    ({'occystrap/sample': {'v2': 'manifest.json'}}, 'does not list'),
    ({'occystrap/sample': {'v1': 'manifest-x.json'}}, 'does not list'),
    ({'occystrap/sample': {'v1': 'manifest.json', 'v2': 'manifest.json'}}, 'lists occystrap/sample:v2 with manifest'),
    ({'occystrap/sample': {'v1': 'manifest.json'}, 'evil': {'v1': 'manifest.json'}}, 'lists evil:v1 with manifest'),
    ({'occystrap/sample': {'v1': '../manifest.json'}}, 'does not map tags to names of manifests'),
    ({'occystrap/sample': 'manifest.json'}, 'does not map tags'),
    ([], 'is not a JSON object')])
def test_a_catalog_that_says_something_else_is_found(
        tmp_path: Path, receipt: Receipt, catalog: object, message: str) -> None:
    (tmp_path / 'catalog.json').write_text(json.dumps(catalog))
    found = findings(receipt)
    assert found[0].startswith('error catalog catalog.json: ') and message in found[0]


def test_a_catalog_may_list_other_images(tmp_path: Path) -> None:
    (receipt,) = write_several(tmp_path, 'a.example/one:v1')
    write_several(tmp_path, 'two:v1', 'one:v2', 'b.example/one:v1')
    assert findings(receipt, VerifyLevel.FULL) == []


def test_manifests_of_two_images_that_were_swapped_are_found(tmp_path: Path) -> None:
    one, two = write_several(tmp_path, 'one:v1', 'two:v1')
    paths = [tmp_path / receipt.of_kind('manifest')[0].locator for receipt in (one, two)]
    contents = [path.read_bytes() for path in paths]
    for path, data in zip(paths, reversed(contents), strict=True):
        path.write_bytes(data)
    assert findings(one) and findings(two)


def test_damage_to_one_image_is_no_affair_of_another(tmp_path: Path) -> None:
    one, two = write_several(tmp_path, 'one:v1', 'two:v1')
    (tmp_path / two.of_kind('config')[0].locator).unlink()
    assert findings(one) == [] and len(findings(two)) == 1


def test_all_damage_is_reported_in_one_run(tmp_path: Path, receipt: Receipt) -> None:
    for path in (LAYER, CONFIG, 'manifest.json'):
        (tmp_path / path).unlink()
    assert len(findings(receipt)) == 3


def test_a_missing_directory_is_one_error(tmp_path: Path) -> None:
    receipt = write(tmp_path / 'x')
    shutil.rmtree(tmp_path / 'x')
    assert findings(receipt) == [f'error dir://{tmp_path}/x: there is no such directory']


def test_a_layer_reached_through_a_linked_directory_is_an_error(tmp_path: Path, receipt: Receipt) -> None:
    parent = (tmp_path / LAYER).parent
    parent.rename(tmp_path / 'elsewhere')
    parent.symlink_to('elsewhere')
    assert findings(receipt) == [f'error layer {LAYER}: lies in a symbolic link, not in a directory']


def test_the_directory_itself_may_be_reached_through_a_link(tmp_path: Path) -> None:
    receipt = write(tmp_path / 'x')
    (tmp_path / 'link').symlink_to('x')
    assert findings(replace(receipt, path=str(tmp_path / 'link')), VerifyLevel.FULL) == []


def test_a_receipt_of_its_own_making_leads_nowhere_else(tmp_path: Path, receipt: Receipt) -> None:
    (tmp_path.parent / 'secret').write_bytes(b'secret')
    for locator in ('../secret', str(tmp_path.parent / 'secret')):
        wrong = Expectation('layer', locator, Digest.of(b'secret'), 6, Evidence.STREAMED)
        assert 'leads out of the directory' in findings(replace(receipt, expectations=(wrong,)), VerifyLevel.FULL)[0]


def test_unknown_expectations_are_unverified(tmp_path: Path, receipt: Receipt) -> None:
    unknown = Expectation('signature', 'x', Digest.of(b''), 0, Evidence.STREAMED)
    assert findings(replace(receipt, expectations=(*receipt.expectations, unknown))) == [
        'unverified signature x: this version does not know how to check it']


def test_unreadable_files_are_unverified(tmp_path: Path, receipt: Receipt, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, **where: int) -> os.stat_result:
        raise PermissionError(13, 'Permission denied', path)
    monkeypatch.setattr('occystrap_dir.workspace.beneath.os.lstat', refuse)
    assert set(findings(receipt)) >= {f'unverified layer {LAYER}: cannot be read: Permission denied'}


def test_the_receipt_that_the_directory_keeps_verifies_it_anywhere(tmp_path: Path) -> None:
    write(tmp_path / 'x', sample_image('r.example/app:v1'))
    shutil.move(tmp_path / 'x', tmp_path / 'y')
    kept = Receipt.from_json((tmp_path / 'y/.occystrap/receipts/manifest.json').read_text())
    assert findings(replace(kept, path=str(tmp_path / 'y')), VerifyLevel.FULL) == []
