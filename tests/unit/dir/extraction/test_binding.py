"""A list of files is that of the image and the layers that the receipt is of, or it proves nothing."""
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from occystrap_core import Expectation, Receipt
from occystrap_core.files import hash_file
from occystrap_core.image.image import Image
from occystrap_core.oci import Digest, ImageConfig
from occystrap_core.settings import VerifyLevel
from occystrap_core.testing.sample import sample_config, sample_image, sample_layers
from occystrap_core.verification.results import Outcome
from occystrap_dir.file_list.head import Head
from occystrap_dir.mounts.mount_files import MountCatalog
from tests.unit.tar.archives import verify, write

SCHEMES = {'oci': 'oci://{}', 'dir': 'dir://{}?expand=true'}


def findings(receipt: Receipt) -> str:
    """Return all findings of both levels."""
    return '\n'.join(str(found) for level in (VerifyLevel.FAST, VerifyLevel.FULL)
                     for found in verify(receipt, level).findings)


def with_lists_of(receipt: Receipt, other: Receipt) -> Receipt:
    """Return a receipt that expects the lists of another image, which lie in its place with their trees."""
    lists = {each.locator: each for each in other.of_kind('files')}
    return replace(receipt, expectations=tuple(
        lists[each.locator]._replace(covers=each.covers) if each.kind == 'files' else each
        for each in receipt.expectations))


@pytest.mark.parametrize('scheme', SCHEMES)
def test_the_list_of_another_image_is_refused(scheme: str, tmp_path: Path) -> None:
    receipt = write(sample_image(), SCHEMES[scheme].format(tmp_path / 'one'))
    other = write(sample_image(variant='another'), SCHEMES[scheme].format(tmp_path / 'two'))
    put_tree_of(tmp_path / 'two', tmp_path / 'one', scheme)
    assert 'was made from' in findings(with_lists_of(receipt, other))


@pytest.mark.parametrize('scheme', SCHEMES)
def test_the_list_of_another_image_of_the_same_layers_is_refused(scheme: str, tmp_path: Path) -> None:
    receipt = write(sample_image(), SCHEMES[scheme].format(tmp_path / 'one'))
    other = write(image_of_another_architecture(), SCHEMES[scheme].format(tmp_path / 'two'))
    put_tree_of(tmp_path / 'two', tmp_path / 'one', scheme)
    assert f'was made from {other.image_id}' in findings(with_lists_of(receipt, other))


def image_of_another_architecture() -> Image:
    """Return an image of the sample's layers with another config."""
    image = sample_image(stored=False)
    return Image(image.reference, ImageConfig.parse(sample_config(sample_layers(), 'arm64')), image.layers)


def put_tree_of(other: Path, place: Path, scheme: str) -> None:
    """Put the unpacked files of one destination, and their list, into another."""
    names = {'oci': ('rootfs', '.occystrap/rootfs.mtree'), 'dir': ('manifest', '.occystrap/trees/manifest.mtree')}
    tree, listing = names[scheme]
    shutil.rmtree(place / tree)
    (other / tree).rename(place / tree)
    (other / listing).replace(place / listing)


def test_a_list_of_an_earlier_version_proves_nothing(tmp_path: Path) -> None:
    receipt = write(sample_image(), f'oci://{tmp_path}/out')
    listing = tmp_path / 'out/.occystrap/rootfs.mtree'
    old = b''.join(line for line in listing.open('rb') if not line.startswith(b'#') or line.startswith(b'#mtree'))
    listing.write_bytes(old)
    expected = Expectation('files', '.occystrap/rootfs.mtree', *hash_file(str(listing)))
    edited = with_lists_of(receipt, replace(receipt, expectations=(expected,)))
    assert 'list of files of another version' in findings(edited)


def test_a_layer_without_the_list_of_its_files_proves_nothing(tmp_path: Path) -> None:
    receipt = write(sample_image(), f'mounts://{tmp_path}/out')
    dropped = receipt.of_kind('files')[0]
    edited = replace(receipt, expectations=tuple(each for each in receipt.expectations if each != dropped))
    assert verify(receipt).outcome is Outcome.VERIFIED and verify(edited).outcome is Outcome.UNVERIFIED
    assert 'does not have the list of its files' in findings(edited)


def test_a_mount_of_other_layers_than_the_receipts_is_refused(tmp_path: Path) -> None:
    receipt = write(sample_image(), f'mounts://{tmp_path}/out')
    catalog = MountCatalog.parse((tmp_path / 'out/mount.json').read_bytes(), 'mount.json')
    (name, mounted), = catalog.images.items()
    catalog.images[name] = mounted._replace(layers=mounted.layers[::-1])
    (tmp_path / 'out/mount.json').write_bytes(catalog.to_json())
    mount, = receipt.of_kind('mount')
    raw = catalog.images[name].canonical()
    other = mount._replace(digest=Digest.of(raw), size=len(raw))
    edited = replace(receipt, expectations=tuple(
        other if each == mount else each for each in receipt.expectations))
    assert 'lists other layers than the receipt' in findings(edited)


MALFORMED: Mapping[str, bytes] = {
    'layer without size': b'#layer sha256:' + b'0' * 64, 'no digest': b'#layer md5:1 1', 'size': b'#layer sha256:0 -1',
    'place': b'#filesystem step=x', 'flags': b'#filesystem step=1 flags=1', 'image': b'#image x'}


@pytest.mark.parametrize('name', MALFORMED)
def test_a_malformed_head_is_an_error(name: str, tmp_path: Path) -> None:
    receipt = write(sample_image(), f'oci://{tmp_path}/out')
    listing = tmp_path / 'out/.occystrap/rootfs.mtree'
    lines = listing.read_bytes().splitlines(keepends=True)
    listing.write_bytes(b''.join([*lines[:2], MALFORMED[name] + b'\n', *lines[2:]]))
    expected = Expectation('files', '.occystrap/rootfs.mtree', *hash_file(str(listing)))
    assert '.occystrap/rootfs.mtree: ' in findings(with_lists_of(receipt, replace(receipt, expectations=(expected,))))


def test_a_head_is_read_as_it_was_written(tmp_path: Path) -> None:
    write(sample_image(), f'oci://{tmp_path}/out')
    listing = tmp_path / 'out/.occystrap/rootfs.mtree'
    with open(listing, 'rb') as file:
        head = Head.read(file)
    assert listing.read_bytes().startswith(b''.join(head.to_lines()))
    assert head.diff_ids == [Digest.of(tar) for tar in sample_layers()]
    assert [layer.size for layer in head.layers] == [len(tar) for tar in sample_layers()]
