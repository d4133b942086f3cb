"""Trees that were unpacked, damaged in every way that verification claims to see: the damaged item is named."""
import json
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from occystrap_core import OutputError, Receipt, Settings
from occystrap_core.settings import VerifyLevel
from occystrap_core.testing.sample import LONG_NAME, UNICODE_NAME, sample_image
from tests.unit.tar.archives import verify, write

Damage = Callable[[Path], object]


@pytest.fixture(params=['oci', 'mounts'])
def written(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Receipt, Path]:
    """The receipt of an unpacked image, and the directory that holds etc and usr of its lowest layer."""
    receipt = write(sample_image(), f'{request.param}://{tmp_path}/out', Settings(sync=False))
    assert not verify(receipt).findings and not verify(receipt, VerifyLevel.FAST).findings
    root = tmp_path / 'out/rootfs'
    return receipt, root if root.exists() else tmp_path / 'out' / receipt.of_kind('layer')[0].locator


def flip(path: Path) -> None:
    """Change one byte, but no metadata."""
    found = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))


def swap_with_link(root: Path) -> None:
    """Put a link to the same content in the place of a directory."""
    (root / 'usr').rename(root.parent.parent / 'elsewhere')
    (root / 'usr').symlink_to(root.parent.parent / 'elsewhere')


DAMAGES: dict[str, tuple[str, Damage]] = {
    'missing': ('etc/hostname: is missing', lambda root: (root / 'etc/hostname').unlink()),
    'missing directory': ('usr: is missing', lambda root: shutil.rmtree(root / 'usr')),
    'cut': ('usr/bin/hello: size in bytes', lambda root: os.truncate(root / 'usr/bin/hello', 100)),
    'longer': ('etc/hostname: size in bytes', lambda root: (root / 'etc/hostname').write_text('longer than it was')),
    'extra': ('etc/new: exists', lambda root: (root / 'etc/new').write_text('x')),
    'extra in an emptied place': ('usr/bin/more: exists', lambda root: (root / 'usr/bin/more').mkdir()),
    'mode': ('usr/bin/hello: mode is 0644, expected 0755', lambda root: (root / 'usr/bin/hello').chmod(0o644)),
    'mode of a directory': ('etc: mode is 0700', lambda root: (root / 'etc').chmod(0o700)),
    'time': ('etc/hostname: time', lambda root: os.utime(root / 'etc/hostname')),
    'another type': ('usr: type is link, expected dir', swap_with_link),
}


@pytest.mark.parametrize('name', DAMAGES)
def test_damage_is_seen_by_fast_verification(name: str, written: tuple[Receipt, Path]) -> None:
    receipt, root = written
    message, damage = DAMAGES[name]
    damage(root)
    for level in (VerifyLevel.FAST, VerifyLevel.FULL):
        assert any(message in str(found) for found in verify(receipt, level).findings), verify(receipt, level).findings


def test_a_flipped_bit_is_seen_by_full_verification(written: tuple[Receipt, Path]) -> None:
    receipt, root = written
    flip(root / 'usr/bin/hello')
    assert not verify(receipt, VerifyLevel.FAST).findings
    found, = verify(receipt).findings
    assert 'usr/bin/hello: digest is sha256:' in str(found)


@pytest.mark.skipif(os.geteuid() != 0, reason='only root can give a file away')
def test_another_owner_is_seen(written: tuple[Receipt, Path]) -> None:
    receipt, root = written
    os.chown(root / 'etc/hostname', 5, 0)
    os.utime(root / 'etc/hostname', (1_500_000_000, 1_500_000_000))
    assert [str(each).partition('etc/')[2] for each in verify(receipt, VerifyLevel.FAST).findings] == [
        'hostname: owner is 5:0, expected 0:0']


def test_links_and_odd_names_are_seen(tmp_path: Path) -> None:
    receipt = write(sample_image(), f'oci://{tmp_path}/out')
    root = tmp_path / 'out/rootfs'
    (root / 'etc/name').unlink()
    (root / 'etc/name').symlink_to('/etc/passwd')
    content = (root / UNICODE_NAME).read_bytes()
    status = (root / UNICODE_NAME).stat()
    (root / UNICODE_NAME).unlink()
    (root / UNICODE_NAME).write_bytes(content)
    (root / UNICODE_NAME).chmod(stat.S_IMODE(status.st_mode))
    os.utime(root / UNICODE_NAME, ns=(status.st_mtime_ns, status.st_mtime_ns))
    (root / LONG_NAME).unlink()
    found = '\n'.join(map(str, verify(receipt, VerifyLevel.FAST).findings))
    assert 'rootfs/etc/name: target is /etc/passwd, expected hostname' in found
    assert 'is not a hard link to the expected file' in found
    assert f'rootfs/{LONG_NAME}: is missing' in found


@pytest.mark.parametrize('name', ['config.json', '.occystrap/rootfs.mtree'])
def test_documents_of_a_bundle(name: str, tmp_path: Path) -> None:
    receipt = write(sample_image(), f'oci://{tmp_path}/out')
    path = tmp_path / 'out' / name
    content = path.read_bytes()
    flip(path)
    assert any(name in str(found) for found in verify(receipt, VerifyLevel.FAST).findings)
    path.write_bytes(content[:-1])
    assert any(name in str(found) for found in verify(receipt, VerifyLevel.FAST).findings)
    path.unlink()
    assert any(f'{name}: is missing' in str(found) for found in verify(receipt, VerifyLevel.FAST).findings)
    shutil.rmtree(tmp_path / 'out')
    assert 'there is no such directory' in str(verify(receipt, VerifyLevel.FAST).findings)


@pytest.mark.parametrize('name', ['mount.json', 'mount.sh'])
def test_documents_of_mounts(name: str, tmp_path: Path) -> None:
    receipt = write(sample_image(), f'mounts://{tmp_path}/out')
    path = tmp_path / 'out' / name
    content = path.read_bytes()
    path.write_bytes(content.replace(b'layer', b'LAYER'))
    assert any(name in str(found) for found in verify(receipt, VerifyLevel.FAST).findings)
    path.write_bytes(content[:-2])
    assert any(name in str(found) for found in verify(receipt, VerifyLevel.FAST).findings)
    path.unlink()
    assert any('is missing' in str(found) for found in verify(receipt, VerifyLevel.FAST).findings)


def test_a_mount_of_other_layers(tmp_path: Path) -> None:
    receipt = write(sample_image(), f'mounts://{tmp_path}/out')
    catalog = json.loads((tmp_path / 'out/mount.json').read_text())
    for image in catalog.values():
        image['layers'].reverse()
    (tmp_path / 'out/mount.json').write_text(json.dumps(catalog))
    assert any('does not list the image with these layers' in str(found)
               for found in verify(receipt, VerifyLevel.FAST).findings)


def test_a_missing_whiteout(tmp_path: Path) -> None:
    receipt = write(sample_image(), f'mounts://{tmp_path}/out')
    mark = tmp_path / 'out' / receipt.of_kind('layer')[1].locator / 'etc/old.conf'
    found = mark.lstat()
    assert stat.S_ISCHR(found.st_mode) and found.st_rdev == 0
    mark.unlink()
    assert any('etc/old.conf: is missing' in str(each) for each in verify(receipt, VerifyLevel.FAST).findings)


def test_a_damaged_layer_is_unpacked_again_with_force(tmp_path: Path) -> None:
    receipt = write(sample_image(), f'mounts://{tmp_path}/out')
    layer = tmp_path / 'out' / receipt.of_kind('layer')[0].locator
    (layer / 'etc/hostname').unlink()
    (layer / 'etc/litter').write_text('x')
    with pytest.raises(OutputError, match='etc/litter: exists'):
        write(sample_image(), f'mounts://{tmp_path}/out')
    again = write(sample_image(), f'mounts://{tmp_path}/out', Settings(force=True))
    assert not verify(again).findings and not (layer / 'etc/litter').exists()
