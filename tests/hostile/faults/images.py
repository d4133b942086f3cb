"""The two images that are written over each other: everything that makes a destination call the system."""
import io
import tarfile
from pathlib import Path

from occystrap_core.testing.sample import sample_config, sample_layers
from tests.functional.archives import write_docker_archive
from tests.hostile.writers.images import NAME, VARIANTS, noise

_NOISE = 30_000


def write_archives(directory: Path) -> dict[str, str]:
    """Write both images as archives, of one name; return their URIs by variant."""
    return {variant: 'tar://' + str(write_docker_archive(
        directory / f'{variant}.tar', sample_config(_tars(variant)), _tars(variant), f'{NAME}:v1'))
        for variant in VARIANTS}


def _tars(variant: str) -> list[bytes]:
    return [*sample_layers(variant), noise(variant, _NOISE), _special(variant)]


def _special(variant: str) -> bytes:
    """A layer with an extended attribute, a pipe, and a file in the place of another."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode='w', format=tarfile.PAX_FORMAT) as tar:
        pipe, marked, host = (tarfile.TarInfo(name) for name in ('pipe', 'usr/bin/marked', 'etc/hostname'))
        pipe.type = tarfile.FIFOTYPE
        marked.pax_headers = {'SCHILY.xattr.user.variant': variant}
        host.size = len(variant)
        for each in (pipe, marked):
            tar.addfile(each)
        tar.addfile(host, io.BytesIO(variant.encode()))
    return target.getvalue()
