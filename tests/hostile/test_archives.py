"""HOSTILE section 2, archives as input: what is read, what is refused, and words that say why."""
import gzip
import json
import shutil
from pathlib import Path

import pytest
import zstandard

from occystrap_core.errors import ImageNotFound, InvalidImage, OccystrapError, UsageError
from occystrap_core.oci import Digest
from occystrap_core.testing.sample import sample_config, sample_layers
from tests.unit.tar.archives import Members, copy, docker_members, hex_of, oci_members, write_tar

IMAGE_ID = Digest.of(sample_config())


def read(path: Path, option: str = '') -> Digest:
    """Copy the archive into a new directory beside it, and return the image's ID."""
    shutil.rmtree(f'{path}.out', ignore_errors=True)
    return copy(f'tar://{path}{option}', f'dir://{path}.out').image_id


def replaced(members: Members, name: str, content: bytes | str) -> Members:
    """Return the members with the content of one of them replaced."""
    return [(each, content if each == name else old) for each, old in members]


@pytest.mark.parametrize('members', [docker_members(), docker_members('./'), oci_members()],
                         ids=['docker', 'docker with ./', 'oci'])
def test_21_layouts_are_read(members: Members, tmp_path: Path) -> None:
    assert read(write_tar(tmp_path / 'a.tar', members)) == IMAGE_ID


def test_21_docker_25_layout_is_read(tmp_path: Path) -> None:
    blobs = [f'blobs/sha256/{hex_of(layer)}' for layer in sample_layers()]
    config = f'blobs/sha256/{hex_of(sample_config())}'
    manifest = json.dumps([{'Config': config, 'RepoTags': None, 'Layers': blobs}]).encode()
    members = [*zip(blobs, sample_layers(), strict=True), (config, sample_config()), ('index.json', b'{}'),
               ('oci-layout', b'{}'), ('manifest.json', manifest)]
    assert read(write_tar(tmp_path / 'a.tar', members)) == IMAGE_ID


@pytest.mark.parametrize('packed', [gzip.compress, zstandard.ZstdCompressor().compress], ids=['gzip', 'zstd'])
@pytest.mark.parametrize('members', [docker_members(), oci_members()], ids=['docker', 'oci'])
def test_27_compressed_archives_are_read(packed: object, members: Members, tmp_path: Path) -> None:
    path = write_tar(tmp_path / 'a.tar', members)
    path.write_bytes(packed(path.read_bytes()))  # type: ignore[operator]
    assert read(path) == IMAGE_ID


def test_27_compressed_layers_are_read(tmp_path: Path) -> None:
    members = [(name, gzip.compress(content) if name.endswith('.tar') and isinstance(content, bytes) else content)
               for name, content in docker_members()]
    assert read(write_tar(tmp_path / 'a.tar', members)) == IMAGE_ID


def test_20_symlinked_layers_are_read(tmp_path: Path) -> None:
    members = [('real/layer.tar', sample_layers()[0]),
               *replaced(docker_members(), '0/layer.tar', '../real/layer.tar')]
    assert read(write_tar(tmp_path / 'a.tar', members)) == IMAGE_ID


def several(tmp_path: Path) -> Path:
    """Return an archive of two images with layers in common."""
    config = sample_config(sample_layers()[:2])
    members = docker_members()
    manifest = json.loads(members[-1][1])
    manifest.append({'Config': f'{hex_of(config)}.json', 'RepoTags': ['other:v2'],
                     'Layers': ['0/layer.tar', '1/layer.tar']})
    return write_tar(tmp_path / 'a.tar', [*members[:-1], (f'{hex_of(config)}.json', config),
                                          ('manifest.json', json.dumps(manifest).encode())])


def test_22_one_of_several_is_chosen(tmp_path: Path) -> None:
    path = several(tmp_path)
    assert read(path, '?image=sample:v1') == IMAGE_ID
    assert read(path, '?image=other:v2') != IMAGE_ID
    with pytest.raises(UsageError, match='no image third:v3.*sample:v1, other:v2'):
        read(path, '?image=third:v3')


@pytest.mark.parametrize('manifest', [b'null', b'[]', b'{}', b'[null]', b'[{}]', b'"x"', b'not json',
                                      b'[{"Config": 1}]', b'[{"Config": "c", "Layers": "l"}]', b'[' * 100_000])
def test_23_malformed_manifests_are_refused(manifest: bytes, tmp_path: Path) -> None:
    with pytest.raises(InvalidImage, match='manifest.json'):
        read(write_tar(tmp_path / 'a.tar', replaced(docker_members(), 'manifest.json', manifest)))


def test_23_huge_documents_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidImage, match='more than'):
        read(write_tar(tmp_path / 'a.tar', replaced(docker_members(), 'manifest.json', b' ' * (17 << 20))))
    name = f'{hex_of(sample_config())}.json'
    with pytest.raises(InvalidImage, match='more than'):
        read(write_tar(tmp_path / 'a.tar', replaced(docker_members(), name, b' ' * (9 << 20))))


@pytest.mark.parametrize(('changes', 'words'), [
    ({'Config': 'missing.json'}, 'missing.json'),
    ({'Config': '../x.json'}, 'within the archive'),
    ({'Config': '/x.json'}, 'within the archive'),
    ({'Layers': ['0/layer.tar', '1/layer.tar']}, '2 layers'),
    ({'Layers': ['0/layer.tar', '1/layer.tar', '2/layer.tar', '0/layer.tar']}, '4 layers'),
    ({'Layers': ['0/layer.tar', '1/layer.tar', '9/layer.tar']}, '9/layer.tar'),
    ({'Layers': ['0/layer.tar', '1/layer.tar', '../layer.tar']}, 'within the archive'),
    ({'Layers': ['0/layer.tar', '0/layer.tar', '2/layer.tar']}, 'cannot be both'),
])
def test_24_26_28_documents_that_do_not_fit_together_are_refused(changes: dict[str, object], words: str,
                                                                 tmp_path: Path) -> None:
    with pytest.raises(InvalidImage, match=words):
        read(write_tar(tmp_path / 'a.tar', docker_members(changes=changes)))


@pytest.mark.parametrize('config', [b'{}', b'null', b'{"rootfs": {}}', b'{"rootfs": {"diff_ids": ["sha256:x"]}}'])
def test_24_malformed_configs_are_refused(config: bytes, tmp_path: Path) -> None:
    members = [*docker_members(changes={'Config': 'config.json'}), ('config.json', config)]
    with pytest.raises(InvalidImage):
        read(write_tar(tmp_path / 'a.tar', members))


def test_25_config_that_is_not_its_digest_is_refused(tmp_path: Path) -> None:
    name = f'{hex_of(sample_config())}.json'
    changed = sample_config().replace(b'hello', b'HELLO')
    with pytest.raises(InvalidImage, match=hex_of(changed)):
        read(write_tar(tmp_path / 'a.tar', replaced(docker_members(), name, changed)))


@pytest.mark.parametrize('content', [sample_layers()[1], sample_layers()[0][:-1], sample_layers()[0] + b'\0', b''])
def test_25_layer_that_is_not_its_diff_id_is_refused(content: bytes, tmp_path: Path) -> None:
    with pytest.raises(InvalidImage, match='0/layer.tar'):
        read(write_tar(tmp_path / 'a.tar', replaced(docker_members(), '0/layer.tar', content)))


@pytest.mark.parametrize('number', range(5))
def test_25_oci_blob_that_is_not_its_digest_is_refused(number: int, tmp_path: Path) -> None:
    members = oci_members()
    name, content = members[2 + number]
    assert isinstance(content, bytes)
    flipped = content[:20] + bytes([content[20] ^ 1]) + content[21:]
    with pytest.raises(InvalidImage):
        read(write_tar(tmp_path / 'a.tar', replaced(members, name, flipped)))


def test_20_link_in_a_circle_is_refused(tmp_path: Path) -> None:
    members = replaced(replaced(docker_members(), '0/layer.tar', '../1/layer.tar'), '1/layer.tar', '../0/layer.tar')
    with pytest.raises(InvalidImage, match='back to itself'):
        read(write_tar(tmp_path / 'a.tar', members))


def test_28_link_out_of_the_archive_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidImage, match='within the archive'):
        read(write_tar(tmp_path / 'a.tar', replaced(docker_members(), '0/layer.tar', '../../etc/passwd')))


def test_29_two_manifests_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidImage, match='two members manifest.json'):
        read(write_tar(tmp_path / 'a.tar', [*docker_members(), docker_members()[-1]]))


def test_29_cut_at_every_block_is_refused(tmp_path: Path) -> None:
    for members in (docker_members(), oci_members()):
        whole = write_tar(tmp_path / 'a.tar', members).read_bytes()
        content = (len(whole.rstrip(b'\0')) + 511) // 512 * 512
        for cut in range(0, content + 1024, 512):
            (tmp_path / 'a.tar').write_bytes(whole[:cut])
            with pytest.raises(OccystrapError):
                read(tmp_path / 'a.tar')
            assert not (tmp_path / 'a.tar.out').exists()


def test_23_what_is_no_image_archive_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidImage, match='not an image archive'):
        read(write_tar(tmp_path / 'a.tar', [('file', b'content')]))
    with pytest.raises(ImageNotFound, match='No such file'):
        read(tmp_path / 'missing.tar')
