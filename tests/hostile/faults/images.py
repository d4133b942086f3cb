"""The two images that are written over each other: everything that makes a destination call the system."""
import io
import tarfile
from pathlib import Path

from occystrap_core.testing.sample import sample_config, sample_layers
from tests.functional.archives import write_docker_archive
from tests.hostile.writers.images import NAME, VARIANTS, noise

SMALL, LARGE = 30_000, 700_000
"""Bytes of a layer; those of a large one are kept when the run is interrupted."""


def write_archives(directory: Path, size: int = SMALL) -> dict[str, str]:
    """Write both images as archives, of one name, with a layer of that size; return their URIs by variant."""
    return {variant: 'tar://' + str(write_docker_archive(
        directory / f'{variant}.tar', sample_config(tars), tars, f'{NAME}:v1'))
        for variant in VARIANTS for tars in [_tars(variant, size)]}


def _tars(variant: str, size: int) -> list[bytes]:
    return [*sample_layers(variant), noise(variant, size), _special(variant)]


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
