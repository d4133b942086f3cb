"""Which image of an archive is read, as what."""
import bz2
import gzip
import io
import json
import lzma
import os
import tarfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from occystrap_core.api.uri import Location
from occystrap_core.errors import ImageNotFound, InvalidImage, OutputError, UsageError
from occystrap_core.image.image import Image
from occystrap_core.image.layer import StoredLayer, TarLayer
from occystrap_core.oci import Digest, Platform
from occystrap_core.settings import Settings
from occystrap_core.testing.sample import sample_config, sample_layers
from occystrap_tar.input import TarInput
from tests.unit.tar.archives import Members, copy, docker_members, gzipped, hex_of, oci_members, write_tar

IMAGE_ID = Digest.of(sample_config())


def opened(path: Path, image: str | None = None, platform: str | None = None, settings: Settings | None = None,
           form: str | None = None) -> Image:
    """Return the image, its layers read to their ends."""
    options = {'image': image, 'platform': platform, 'format': form}
    archive = TarInput(Location('tar', str(path), options, {}), settings or Settings())
    try:
        reference, = archive.references()
        result = archive.open(reference)
        assert result.reference == reference
        for layer in result.layers:
            layer.tar().drain()
        return result
    finally:
        archive.close()


def pointer(kind: str, data: bytes, **more: Any) -> dict[str, Any]:
    return {'mediaType': f'application/vnd.oci.image.{kind}', 'digest': f'sha256:{hex_of(data)}', 'size': len(data),
            **more}


def blob(data: bytes) -> tuple[str, bytes | str]:
    return f'blobs/sha256/{hex_of(data)}', data


def stored(architecture: str = 'amd64', variant: str = '') -> tuple[bytes, Members]:
    """Return a manifest, and the blobs of its image, the manifest among them."""
    config = sample_config(sample_layers(variant), architecture)
    layers = [gzipped(layer) for layer in sample_layers(variant)]
    manifest = json.dumps({'schemaVersion': 2, 'config': pointer('config.v1+json', config),
                           'layers': [pointer('layer.v1.tar+gzip', layer) for layer in layers]}, indent=2).encode()
    return manifest, [blob(manifest), blob(config), *map(blob, layers)]


def entry(manifest: bytes, name: str = '', architecture: str = '', kind: str = 'manifest', **more: Any,
          ) -> dict[str, Any]:
    if name:
        more['annotations'] = {'org.opencontainers.image.ref.name': name}
    if architecture:
        more['platform'] = {'os': 'linux', 'architecture': architecture}
    return pointer(f'{kind}.v1+json', manifest, **more)


def layout(path: Path, entries: Sequence[dict[str, Any]], *members: Members) -> Path:
    """Write an OCI archive."""
    index = json.dumps({'schemaVersion': 2, 'manifests': list(entries)}).encode()
    return write_tar(path, [('oci-layout', b'{"imageLayoutVersion": "1.0.0"}'), ('index.json', index),
                            *dict(each for some in members for each in some).items()])


@pytest.mark.parametrize(('name', 'found'), [
    ('registry.example/app:v1', 'registry.example/app:v1'), ('library/app:v2', 'docker.io/library/app:v2'),
    ('app:v2', 'docker.io/library/app:v2'), ('docker.io/app:v2', 'docker.io/library/app:v2'),
    ('mine', 'localhost/mine:latest'), ('bare', 'bare'), ('bare:latest', 'bare'),
    (IMAGE_ID, 'registry.example/app:v1'), (IMAGE_ID.hex[:12], 'registry.example/app:v1')])
def test_an_image_is_chosen_by_any_of_its_names(name: str, found: str, tmp_path: Path) -> None:
    tags = ('registry.example/app:v1', 'docker.io/library/app:v2', 'localhost/mine:latest', 'bare')
    path = write_tar(tmp_path / 'a.tar', docker_members(tags=tags))
    assert str(opened(path, name).reference) == found


@pytest.mark.parametrize('name', ['registry.example/app:v2', 'example/app:v1', 'mine:v1', IMAGE_ID.hex[:11],
                                  'sha256:' + 64 * 'a', 'Not A Name'])
def test_other_names_are_refused(name: str, tmp_path: Path) -> None:
    path = write_tar(tmp_path / 'a.tar', docker_members(tags=('registry.example/app:v1', 'mine:latest')))
    with pytest.raises(UsageError, match='available: registry.example/app:v1, mine:latest'):
        opened(path, name)


def test_an_image_without_a_usable_name_is_read_and_stays_without(tmp_path: Path) -> None:
    for tags in ((), ('No Name!',)):
        path = write_tar(tmp_path / 'a.tar', docker_members(tags=tags))
        assert copy(f'tar://{path}', f'tar://{tmp_path}/b.tar').reference == 'untagged'
        with tarfile.open(tmp_path / 'b.tar') as written:
            manifest = written.extractfile('manifest.json')
            assert manifest and json.load(manifest)[0]['RepoTags'] is None


def test_images_without_names_are_listed_and_chosen_by_id(tmp_path: Path) -> None:
    members = docker_members(tags=())
    manifest = json.loads(members[-1][1])
    manifest.append({**manifest[0], 'Config': 'other.json', 'RepoTags': ['other:v1']})
    both = write_tar(tmp_path / 'a.tar', [*members[:-1], ('manifest.json', json.dumps(manifest).encode())])
    archive = TarInput(Location('tar', str(both), {'image': None}, {}), Settings())
    names = [str(each) for each in archive.references()]
    assert names == [f'untagged@{IMAGE_ID}', 'other:v1']
    assert [archive.location_of(each).given['image'] for each in archive.references()] == [IMAGE_ID, 'other:v1']
    archive.close()
    assert opened(both, IMAGE_ID).config.digest == IMAGE_ID


def test_two_images_with_one_name_are_chosen_by_digest(tmp_path: Path) -> None:
    (first, first_blobs), (second, second_blobs) = stored(), stored(variant='other')
    path = layout(tmp_path / 'a.tar', [entry(first, 'app:v1'), entry(second, 'app:v1')], first_blobs, second_blobs)
    with pytest.raises(UsageError, match=f'sha256:{hex_of(first)}, sha256:{hex_of(second)}'):
        opened(path, 'app:v1')
    image = opened(path, f'sha256:{hex_of(second)}')
    assert image.manifest and image.manifest.raw == second


def test_a_mere_tag_names_an_image_of_a_layout(tmp_path: Path) -> None:
    manifest, blobs = stored()
    path = layout(tmp_path / 'a.tar', [entry(manifest, 'v1')], blobs)
    assert str(opened(path, 'v1').reference) == 'untagged:v1'


@pytest.mark.parametrize('shape', ['entries', 'named entries', 'nested', 'twice nested'])
def test_the_platform_is_chosen(shape: str, tmp_path: Path) -> None:
    images = {name: stored(name) for name in ('amd64', 'arm64')}
    name = 'app:v1' if shape == 'named entries' else ''
    entries = [entry(manifest, name, architecture) for architecture, (manifest, _) in images.items()]
    attestation = pointer('manifest.v1+json', b'no image', platform={'os': 'unknown', 'architecture': 'unknown'})
    blobs = [*(blobs for _, blobs in images.values()), [blob(b'no image')]]
    for _ in range({'nested': 1, 'twice nested': 2}.get(shape, 0)):
        index = json.dumps({'schemaVersion': 2, 'manifests': entries}).encode()
        entries, blobs = [entry(index, kind='index')], [*blobs, [blob(index)]]
    path = layout(tmp_path / 'a.tar', [*entries, attestation], *blobs)
    for image in (opened(path, platform='linux/arm64'), opened(path, settings=Settings(platform=Platform.parse(
            'linux/arm64')))):
        assert image.config.document['architecture'] == 'arm64'
        assert image.manifest and image.manifest.raw == images['arm64'][0]
    with pytest.raises(ImageNotFound, match='linux/s390x.*linux/amd64, linux/arm64'):
        opened(path, platform='linux/s390x')


def containerd_members(compressed: bool) -> Members:
    """Return what `docker save` writes from a containerd store: manifest.json beside a layout, of the same blobs."""
    manifest, blobs = stored()
    layers = [gzipped(layer) if compressed else layer for layer in sample_layers()]
    document = [{'Config': blob(sample_config())[0], 'RepoTags': ['app:v1'],
                 'Layers': [blob(layer)[0] for layer in layers]}]
    index = json.dumps({'schemaVersion': 2, 'manifests': [
        entry(b'of another platform', architecture='arm64'), entry(manifest, 'v1')]}).encode()
    return [*dict([*blobs, *map(blob, layers)]).items(), ('oci-layout', b'{"imageLayoutVersion": "1.0.0"}'),
            ('index.json', index), ('manifest.json', json.dumps(document).encode())]


def test_blobs_of_a_containerd_store_are_kept_as_they_are(tmp_path: Path) -> None:
    path = write_tar(tmp_path / 'a.tar', containerd_members(compressed=True))
    image = opened(path)
    assert image.manifest and image.manifest.raw == stored()[0] and str(image.reference) == 'app:v1'
    assert all(isinstance(layer, StoredLayer) for layer in image.layers)


def test_an_archive_of_both_formats_is_read_as_the_one_that_is_named(tmp_path: Path) -> None:
    path = write_tar(tmp_path / 'a.tar', containerd_members(compressed=False))
    names = {'docker': 'app:v1', 'oci': 'v1'}
    layers = {form: opened(path, name, form=form).layers[0] for form, name in names.items()}
    assert [type(each) for each in layers.values()] == [TarLayer, StoredLayer]


def test_plain_layers_beside_a_layout_are_tars(tmp_path: Path) -> None:
    image = opened(write_tar(tmp_path / 'a.tar', containerd_members(compressed=False)))
    assert image.manifest is None and all(isinstance(layer, TarLayer) for layer in image.layers)
    assert image.config.digest == IMAGE_ID


@pytest.mark.parametrize('lost', ['index.json', 'oci-layout', f'blobs/sha256/{hex_of(stored()[0])}'])
def test_compressed_layers_without_a_whole_layout_are_tars(lost: str, tmp_path: Path) -> None:
    members = [each for each in containerd_members(compressed=True) if each[0] != lost]
    image = opened(write_tar(tmp_path / 'a.tar', members))
    assert image.manifest is None and image.config.digest == IMAGE_ID


@pytest.mark.parametrize('members', [docker_members(), oci_members()], ids=['docker', 'oci'])
def test_layers_know_the_size_of_their_tars_and_are_read_in_one_pass(members: Members, tmp_path: Path) -> None:
    image = opened(write_tar(tmp_path / 'a.tar', members))
    assert [layer.tar_size() for layer in image.layers] == [len(tar) for tar in sample_layers()]
    with ThreadPoolExecutor(12) as threads:
        digests = list(threads.map(lambda layer: layer.tar().drain(), [*image.layers] * 20))
    assert tuple(digests) == image.diff_ids * 20


def test_a_pipe_is_read_once_and_compressed_ones_too(tmp_path: Path) -> None:
    spool = tmp_path / 'spool'
    spool.mkdir()
    content = write_tar(tmp_path / 'a.tar', docker_members()).read_bytes()
    os.mkfifo(tmp_path / 'pipe')
    for sent in (content, gzip.compress(content), lzma.compress(content), bz2.compress(content)):
        sender = threading.Thread(target=(tmp_path / 'pipe').write_bytes, args=(sent,))
        sender.start()
        assert opened(tmp_path / 'pipe', settings=Settings(temporary=str(spool))).config.digest == IMAGE_ID
        sender.join()
    assert not os.listdir(spool)


def test_sources_that_are_neither_file_nor_pipe_are_refused(tmp_path: Path) -> None:
    for path, words in [(tmp_path, f'is a directory: write dir://{tmp_path} or layout://'),
                        (Path('/dev/zero'), 'neither a file nor a pipe'),
                        (tmp_path / 'nothing', 'No such file')]:
        with pytest.raises(ImageNotFound, match=f'{path}.*{words}'):
            opened(path)


@pytest.mark.parametrize('pack', [gzip.compress, lzma.compress, bz2.compress])
def test_layers_of_all_kinds_that_docker_loads(pack: Callable[[bytes], bytes], tmp_path: Path) -> None:
    members: Members = [(name, pack(data) if isinstance(data, bytes) and name.endswith('layer.tar') else data)
                        for name, data in docker_members()]
    image = opened(write_tar(tmp_path / 'a.tar', members))
    assert isinstance(image, Image) and tuple(layer.tar().drain() for layer in image.layers) == image.diff_ids


@pytest.mark.parametrize('cut', [5, 100, -20, -1])
def test_a_compressed_archive_that_is_cut_leaves_nothing(cut: int, tmp_path: Path) -> None:
    spool = tmp_path / 'spool'
    spool.mkdir()
    whole = gzip.compress(write_tar(tmp_path / 'a.tar', docker_members()).read_bytes())
    (tmp_path / 'a.tar').write_bytes(whole[:cut])
    with pytest.raises(InvalidImage, match='a.tar'):
        opened(tmp_path / 'a.tar', settings=Settings(temporary=str(spool)))
    assert not os.listdir(spool)


def test_a_temporary_directory_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    path = tmp_path / 'a.tar'
    path.write_bytes(gzip.compress(write_tar(path, docker_members()).read_bytes()))
    with pytest.raises(OutputError, match='/nowhere.*--temp-dir'):
        opened(path, settings=Settings(temporary='/nowhere'))


def test_a_source_that_breaks_while_it_is_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(io.FileIO):
        def readinto(self, buffer: object, /) -> int:
            raise OSError(5, 'Input/output error')
    archive = TarInput(Location('tar', str(write_tar(tmp_path / 'a.tar', docker_members())),
                                {'image': None, 'platform': None}, {}), Settings())
    image = archive.open(next(iter(archive.references())))
    monkeypatch.setattr('builtins.open', lambda path, *arguments, **more: Broken(path))
    with pytest.raises(InvalidImage, match='0/layer.tar of .*a.tar.*Input/output error'):
        image.layers[0].tar().drain()
