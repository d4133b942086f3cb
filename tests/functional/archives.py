"""Archives made by hand: docker's, in the layout that skopeo writes, and those of any members."""
import io
import json
import random
import tarfile
from collections.abc import Mapping, Sequence
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


def members(path: Path) -> dict[str, bytes]:
    """Return the content of an archive."""
    with tarfile.open(path) as archive:
        names = archive.getnames()
        assert len(set(names)) == len(names)
        return {name: content.read() for name in names if (content := archive.extractfile(name))}


def rebuild(path: Path, content: Mapping[str, bytes | None]) -> None:
    """Write an archive of these members, as occystrap writes them."""
    data = b''
    for name, each in content.items():
        if each is not None:
            header = tarfile.TarInfo(name)
            header.size = len(each)
            data += header.tobuf(tarfile.GNU_FORMAT) + each + bytes(-len(each) % 512)
    path.write_bytes(data + bytes(1024))
