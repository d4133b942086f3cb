"""/etc/passwd of an image that is no file, or leads elsewhere: a bundle is made of what is there."""
import io
import json
import os
import tarfile
from pathlib import Path

import pytest

from occystrap_core import Image, Settings
from occystrap_core.oci import Digest, ImageConfig, Reference
from occystrap_core.tar import TarLayer
from tests.unit.dir.directories import read_json
from tests.unit.tar.archives import write

REGULAR = b'root:x:0:0::/from-the-image:/bin/sh\n'


def image(*members: tarfile.TarInfo) -> Image:
    """An image of one layer with these entries, and the file etc/real."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode='w') as tar:
        for each in members:
            tar.addfile(each)
        tar.addfile(entry('etc/real', size=len(REGULAR)), io.BytesIO(REGULAR))
    data = target.getvalue()
    config = {'os': 'linux', 'config': {}, 'rootfs': {'type': 'layers', 'diff_ids': [Digest.of(data)]}}
    return Image(Reference.parse('odd:v1'), ImageConfig.parse(json.dumps(config).encode()),
                 [TarLayer(0, Digest.of(data), lambda: io.BytesIO(data), len(data))])


def entry(name: str, **fields: object) -> tarfile.TarInfo:
    """An entry of a layer with these fields."""
    header = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(header, field, value)
    return header


@pytest.mark.parametrize('member, home', [
    (entry('etc/passwd', type=tarfile.DIRTYPE, mode=0o755), '/'),
    (entry('etc/passwd', type=tarfile.FIFOTYPE), '/'),
    pytest.param(entry('etc/passwd', type=tarfile.CHRTYPE, devmajor=1, devminor=5), '/', marks=pytest.mark.skipif(
        os.geteuid() != 0, reason='only root makes devices')),
    (entry('etc/passwd', type=tarfile.SYMTYPE, linkname='passwd'), '/'),
    (entry('etc/passwd', type=tarfile.SYMTYPE, linkname='/../../etc/real'), '/from-the-image'),
    (entry('etc/passwd', type=tarfile.SYMTYPE, linkname='real'), '/from-the-image'),
    (entry('etc/passwd', type=tarfile.LNKTYPE, linkname='etc/real'), '/from-the-image')])
def test_accounts_are_read_from_files_of_the_image_alone(tmp_path: Path, member: tarfile.TarInfo, home: str) -> None:
    write(image(member), f'oci://{tmp_path}/bundle', Settings(sync=False))
    assert f'HOME={home}' in read_json(tmp_path / 'bundle/config.json')['process']['env']
