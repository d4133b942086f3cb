import io
import tarfile

import pytest

from occystrap_core.oci.digest import Digest
from occystrap_core.testing.sample import LONG_NAME, UNICODE_NAME, sample_config, sample_image, sample_layers


def test_the_sample_is_the_same_bytes_on_every_machine() -> None:
    assert [Digest.of(tar) for tar in sample_layers()] == [
        'sha256:cf00efdf161319d47b63da3fcacf363ee3391c2637ea9b4a668cec3ad46364d1',
        'sha256:0be4e3f60ba2fcead9b05e165afe24b9a645f2b03913a35861c7294239ca226e',
        'sha256:76a0c584caf518a771cffa3571cce5f06a69bcda80ee83cff0b1c135f66bccbe']
    manifest = sample_image().manifest
    assert manifest and manifest.digest == 'sha256:9cdbac5fefada3e3801a02c35620d0b70857276e46bb914ac9e7d5ccf863dc19'


def test_its_tars_hold_what_images_hold() -> None:
    files, deletion, names = (tarfile.open(fileobj=io.BytesIO(tar)).getmembers() for tar in sample_layers())
    assert [member.name for member in files if member.mode & 0o111 and member.isfile()] == ['usr/bin/hello']
    assert [(each.name, each.linkname) for each in deletion] == [('etc/.wh.old.conf', ''), ('etc/name', 'hostname')]
    assert len(LONG_NAME) > 100
    assert [member.name for member in names] == [LONG_NAME, UNICODE_NAME, 'usr/share/hardlink']
    assert names[2].islnk() and names[2].linkname == UNICODE_NAME


@pytest.mark.parametrize('compression', ['gzip', 'gzip-fast', 'zstd'])
def test_a_stored_image_gives_blobs_and_tars_that_check_themselves(compression: str) -> None:
    image = sample_image(compression=compression)
    assert image.manifest and image.manifest.config.digest == Digest.of(sample_config())
    for layer, tar, descriptor in zip(image.layers, sample_layers(), image.manifest.layers, strict=True):
        assert layer.stored().drain() == descriptor.digest
        assert layer.tar().drain() == Digest.of(tar)


def test_a_tar_image_has_no_manifest() -> None:
    image = sample_image(stored=False)
    assert image.manifest is None
    assert [layer.tar().drain() for layer in image.layers] == list(image.diff_ids)
    assert [layer.tar_size() for layer in image.layers] == [len(tar) for tar in sample_layers()]


def test_a_variant_shares_all_but_its_last_layer() -> None:
    one, two = sample_image(variant='one').diff_ids, sample_image(variant='two').diff_ids
    assert one[:2] == two[:2] and one[2] != two[2]
