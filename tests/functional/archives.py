"""Docker archives made by hand, in the layout that skopeo writes."""
import io
import json
import random
import tarfile
from collections.abc import Sequence
from pathlib import Path

from occystrap_core.oci import Digest
from occystrap_core.testing.sample import sample_config


def write_docker_archive(path: Path, config: bytes, layers: Sequence[bytes], *tags: str) -> Path:
    """Write an archive of one image and return its path."""
    names = [f'{Digest.of(layer).hex}.tar' for layer in layers]
    config_name = f'{Digest.of(config).hex}.json'
    manifest = json.dumps([{'Config': config_name, 'RepoTags': list(tags), 'Layers': names}]).encode()
    with tarfile.open(path, 'w') as archive:
        for name, content in [*zip(names, layers, strict=True), (config_name, config), ('manifest.json', manifest)]:
            header = tarfile.TarInfo(name)
            header.size = len(content)
            archive.addfile(header, io.BytesIO(content))
    return path


def write_archive_of_noise(directory: Path, size: int) -> Path:
    """Write an archive whose one layer, with a file of `size` bytes, does not compress."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode='w') as tar:
        noise = tarfile.TarInfo('noise')
        noise.size = size
        tar.addfile(noise, io.BytesIO(random.Random('noise').randbytes(size)))
    layer = packed.getvalue()
    return write_docker_archive(directory / 'noise.tar', sample_config([layer]), [layer], 'noise:v1')
