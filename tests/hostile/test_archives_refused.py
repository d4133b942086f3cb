"""HOSTILE 20 to 29 as users meet them: bad archives are one line of error that names the archive, and leave nothing."""
import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import zstandard

from occystrap_core.oci import Digest
from occystrap_core.testing.sample import sample_config, sample_layers
from tests.hostile.in_process import run_here
from tests.hostile.refusals import is_refused
from tests.hostile.test_archives import replaced, several
from tests.unit.tar.archives import Members, docker_members, gzipped, hex_of, oci_members, write_tar

TARGETS = ['dir://{}/out', 'tar://{}/out?format=oci']


@dataclass(frozen=True)
class Layout:
    """An OCI archive of the sample image that is consistent but for what is asked for."""

    config: bytes = sample_config()
    layers: list[bytes] = field(default_factory=lambda: [gzipped(layer) for layer in sample_layers()])
    manifest: Mapping[str, Any] = field(default_factory=dict)
    padding: int = 0
    entry: Mapping[str, Any] = field(default_factory=dict)
    index: Mapping[str, Any] = field(default_factory=dict)
    layout: bytes = b'{"imageLayoutVersion": "1.0.0"}'

    def members(self) -> Members:
        """Return what is in it; manifest, its entry and the index with the fields that are given."""
        manifest = json.dumps({
            'schemaVersion': 2, 'mediaType': 'application/vnd.oci.image.manifest.v1+json',
            'config': pointer('config.v1+json', self.config),
            'layers': [pointer('layer.v1.tar+gzip', layer) for layer in self.layers], **self.manifest}).encode()
        manifest += b' ' * self.padding
        index = {'schemaVersion': 2, 'manifests': [{**pointer('manifest.v1+json', manifest), **self.entry}],
                 **self.index}
        blobs = {f'blobs/sha256/{hex_of(data)}': data for data in [manifest, self.config, *self.layers]}
        return [('oci-layout', self.layout), ('index.json', json.dumps(index).encode()), *blobs.items()]


def pointer(kind: str, data: bytes) -> dict[str, Any]:
    return {'mediaType': f'application/vnd.oci.image.{kind}', 'digest': f'sha256:{hex_of(data)}', 'size': len(data)}


def config(**changes: Any) -> bytes:
    """Return the sample's config with fields replaced, or without those that are None."""
    document = {**json.loads(sample_config()), **changes}
    return json.dumps({name: value for name, value in document.items() if value is not None}).encode()


def with_config(content: bytes) -> Members:
    """Return a docker archive with another config, under a name that promises no digest."""
    return [*docker_members(changes={'Config': 'config.json'}), ('config.json', content)]


def diff_ids(*tars: bytes) -> dict[str, Any]:
    return {'rootfs': {'type': 'layers', 'diff_ids': [Digest.of(tar) for tar in tars]}}


def pointing(place: str, **changes: Any) -> Members:
    """Return an OCI archive whose manifest describes its config or its first layer with fields replaced."""
    whole = json.loads(dict(Layout().members())[f'blobs/sha256/{manifest_hex(Layout().members())}'])
    whole['config' if place == 'config' else 'layers'] = (
        {**whole['config'], **changes} if place == 'config' else [{**whole['layers'][0], **changes},
                                                                  *whole['layers'][1:]])
    return Layout(manifest=whole).members()


def manifest_hex(members: Members) -> str:
    digest: str = json.loads(dict(members)['index.json'])['manifests'][0]['digest']
    return digest.removeprefix('sha256:')


def flipped(members: Members, number: int) -> Members:
    """Return the members with one byte of one of them changed."""
    name, content = members[number]
    assert isinstance(content, bytes)
    return replaced(members, name, content[:20] + bytes([content[20] ^ 1]) + content[21:])


A, B, C = sample_layers()
HUGE = 16 << 20
REFUSED: dict[str, tuple[Members, str]] = {
    '20 a link that leads to itself': (replaced(docker_members(), '0/layer.tar', 'layer.tar'), 'back to itself'),
    '20 a link to nothing': (replaced(docker_members(), '0/layer.tar', '../9/layer.tar'), 'no member'),
    '20 a link to a directory': (replaced(docker_members(), '0/layer.tar', '../1'), 'no member'),
    '23 null': (replaced(docker_members(), 'manifest.json', b'null'), 'manifest.json'),
    '23 no images': (replaced(docker_members(), 'manifest.json', b'[]'), 'manifest.json'),
    '23 no list': (replaced(docker_members(), 'manifest.json', b'{}'), 'manifest.json'),
    '23 nested deeply': (replaced(docker_members(), 'manifest.json', b'[' * 100_000), 'manifest.json'),
    '23 a manifest over 16 MiB': (replaced(docker_members(), 'manifest.json', b' ' * (HUGE + 1)), 'manifest.json'),
    '23 a config over 8 MiB': (with_config(sample_config() + b' ' * (8 << 20)), 'config.json'),
    '23 an OCI index that is null': (replaced(oci_members(), 'index.json', b'null'), 'JSON object'),
    '23 an OCI index without manifests': (replaced(oci_members(), 'index.json', b'{"schemaVersion": 2}'), 'index'),
    '23 an OCI index over 16 MiB': (replaced(oci_members(), 'index.json', b' ' * (HUGE + 1)), 'index.json'),
    '23 an OCI manifest over 4 MiB': (Layout(padding=4 << 20).members(), 'more than'),
    '23 an OCI config over 8 MiB': (Layout(config=sample_config() + b' ' * (8 << 20)).members(), 'more than'),
    '23 an unknown layout version': (Layout(layout=b'{"imageLayoutVersion": "2.0.0"}').members(), '2.0.0'),
    '24 no config': (docker_members(changes={'Config': 'missing.json'}), 'missing.json'),
    '24 an empty config': (with_config(b'{}'), 'rootfs'),
    '24 a config without rootfs': (with_config(config(rootfs=None)), '3 layers, the config 0'),
    '24 fewer diff_ids': (with_config(config(**diff_ids(A, B))), '3 layers'),
    '24 more diff_ids': (with_config(config(**diff_ids(A, B, C, A))), '3 layers'),
    '24 fewer diff_ids in an OCI archive': (Layout(config=config(**diff_ids(A, B))).members(), '3'),
    '24 more diff_ids in an OCI archive': (Layout(config=config(**diff_ids(A, B, C, A))).members(), '3'),
    '24 an OCI config without rootfs': (Layout(config=config(rootfs=None)).members(), '3 layers'),
    '24 no OCI config': ([each for each in oci_members() if hex_of(sample_config()) not in each[0]], 'no member'),
    '25 two layers swapped': (replaced(replaced(docker_members(), '0/layer.tar', B), '1/layer.tar', A), 'layer.tar'),
    '25 a layer that is longer': (replaced(docker_members(), '0/layer.tar', A + bytes(512)), '0/layer.tar'),
    '25 a gzipped layer of another one': (replaced(docker_members(), '0/layer.tar', gzipped(B)), '0/layer.tar'),
    '26 one layer for two diff_ids': (docker_members(changes={'Layers': ['0/layer.tar'] * 3}), 'cannot be both'),
    '26 one linked layer for two diff_ids': (
        replaced(docker_members(), '1/layer.tar', '../0/layer.tar'), 'cannot be both'),
    '27 a gzipped layer that is cut': (replaced(docker_members(), '0/layer.tar', gzipped(A)[:-9]), '0/layer.tar'),
    '27 a gzipped layer with data behind it': (
        replaced(docker_members(), '0/layer.tar', gzipped(A) + b'more'), '0/layer.tar'),
    '28 an absolute layer': (docker_members(changes={'Layers': ['/0/layer.tar', '1/layer.tar', '2/layer.tar']}),
                             'within the archive'),
    '28 a layer above': (docker_members(changes={'Layers': ['../layer.tar', '1/layer.tar', '2/layer.tar']}),
                         'within the archive'),
    '28 a layer by a detour above': (
        docker_members(changes={'Layers': ['0/../../x', '1/layer.tar', '2/layer.tar']}), 'within the archive'),
    '28 an absolute config': (docker_members(changes={'Config': '/etc/passwd'}), 'within the archive'),
    '28 a link to a host file': (replaced(docker_members(), '0/layer.tar', '/etc/passwd'), 'within the archive'),
    '28 a link above': (replaced(docker_members(), '0/layer.tar', '../../etc/passwd'), 'within the archive'),
    '28 an OCI layer above': (pointing('layer', digest='sha256:../../../etc/passwd'), 'digest'),
    '28 an OCI config above': (pointing('config', digest='sha256:../../../etc/passwd'), 'digest'),
    '28 an OCI manifest above': (Layout(entry={'digest': 'sha256:../../x'}).members(), 'digest'),
    '29 two manifests': ([*docker_members(), docker_members()[-1]], 'two members manifest.json'),
    '29 two manifests, one with ./': ([*docker_members(), ('./manifest.json', b'[]')], 'two members manifest.json'),
    '29 two manifests, one with /': ([*docker_members(), ('/manifest.json', b'[]')], 'two members manifest.json'),
    '29 two manifests, one through ..': ([*docker_members(), ('x/..//./manifest.json', b'[]')],
                                         'two members manifest.json'),
    '29 two manifests, one a link': ([('manifest.json', 'other'), ('other', docker_members()[-1][1]),
                                      *docker_members()], 'two members manifest.json'),
    '29 a directory that is a link': ([*docker_members(), ('x', 'y'), ('x/manifest.json', b'[]')],
                                      'x/manifest.json lies below the link x'),
    '29 two indexes': ([*oci_members(), oci_members()[1]], 'two members index.json'),
    '29 two configs': ([*docker_members(), docker_members()[-2]], 'two members'),
}


@pytest.fixture
def refused(tmp_path: Path) -> Callable[..., None]:
    """Hands an archive to the command; it must say so and leave nothing."""
    def check(archive: Path, *words: str, option: str = '', code: int = 1) -> None:
        spool = tmp_path / 'spool'
        spool.mkdir(exist_ok=True)
        before = sorted(tmp_path.rglob('*'))
        for target in TARGETS:
            result = run_here('process', f'tar://{archive}{option}', target.format(tmp_path), '--temp-dir', spool)
            is_refused(result, str(archive), *words, code=code)
            assert sorted(tmp_path.rglob('*')) == before
    return check


@pytest.mark.parametrize('name', REFUSED)
def test_20_to_29_a_bad_archive(name: str, refused: Callable[..., None], tmp_path: Path) -> None:
    members, words = REFUSED[name]
    refused(write_tar(tmp_path / 'bad.tar', members), words)


def test_22_none_of_several_chosen(refused: Callable[..., None], tmp_path: Path) -> None:
    line, = run_here('process', f'tar://{several(tmp_path)}', f'oci://{tmp_path}/out').errors
    assert 'other:v2, sample:v1' in line and not (tmp_path / 'out').exists()
    refused(tmp_path / 'a.tar', 'third:v3', 'sample:v1, other:v2', option='?image=third:v3', code=2)


def test_23_an_index_of_nothing(refused: Callable[..., None], tmp_path: Path) -> None:
    empty = Layout(index={'manifests': []}).members()
    refused(write_tar(tmp_path / 'bad.tar', empty), 'bad.tar holds no image', code=1)


@pytest.mark.parametrize('target', TARGETS)
def test_25_a_blob_that_is_not_its_digest(target: str, tmp_path: Path) -> None:
    archive = write_tar(tmp_path / 'bad.tar', flipped(oci_members(), 4))
    blob = oci_members()[4][0].rpartition('/')[2]
    is_refused(run_here('process', f'tar://{archive}', target.format(tmp_path)), f'sha256:{blob}')
    assert [path.name for path in tmp_path.iterdir()] == ['bad.tar']


def test_25_a_blob_that_is_not_its_diff_id_is_refused_where_it_is_unpacked(tmp_path: Path) -> None:
    archive = write_tar(tmp_path / 'bad.tar', Layout(config=config(**diff_ids(A, C, B))).members())
    is_refused(run_here('process', f'tar://{archive}', f'dir://{tmp_path}/out'), 'sha256:')
    assert [path.name for path in tmp_path.iterdir()] == ['bad.tar']


def test_26_the_same_layer_twice_is_read(tmp_path: Path) -> None:
    twice = config(**diff_ids(A, B, A))
    for layers in (['0/layer.tar', '1/layer.tar', '0/layer.tar'], ['0/layer.tar', '1/layer.tar', '2/layer.tar']):
        members = replaced(docker_members(changes={'Config': 'config.json', 'Layers': layers}), '2/layer.tar', A)
        archive = write_tar(tmp_path / 'a.tar', [*members, ('config.json', twice)])
        run_here('process', f'tar://{archive}', f'dir://{tmp_path}/out', '--verify=full').assert_success()
        assert (tmp_path / 'out' / f'{hex_of(twice)}.json').read_bytes() == twice
        assert {path.read_bytes() for path in (tmp_path / 'out').glob('*/layer.tar')} == {A, B}
    stored = Layout(config=twice, layers=[gzipped(tar) for tar in (A, B, A)]).members()
    archive = write_tar(tmp_path / 'b.tar', stored)
    run_here('process', f'tar://{archive}', f'tar://{tmp_path}/c.tar?format=oci', '--verify=full').assert_success()


@pytest.mark.parametrize('packed', [gzip.compress, zstandard.ZstdCompressor().compress], ids=['gzip', 'zstd'])
def test_27_layers_come_out_as_tars_however_they_are_packed(packed: Callable[[bytes], bytes], tmp_path: Path) -> None:
    members = replaced(replaced(docker_members(), '0/layer.tar', packed(A)), '2/layer.tar', packed(C))
    archive = write_tar(tmp_path / 'a.tar', members)
    archive.write_bytes(packed(archive.read_bytes()))
    run_here('process', f'tar://{archive}', f'dir://{tmp_path}/out').assert_success()
    assert {path.read_bytes() for path in (tmp_path / 'out').glob('*/layer.tar')} == {A, B, C}
    for path in (tmp_path / 'out').glob('*/layer.tar'):
        assert hashlib.sha256(path.read_bytes()).hexdigest() == path.parent.name


@pytest.mark.parametrize('members', [docker_members(), oci_members()], ids=['docker', 'oci'])
def test_29_cut_between_its_blocks_or_within(members: Members, refused: Callable[..., None], tmp_path: Path) -> None:
    whole = write_tar(tmp_path / 'bad.tar', members).read_bytes()
    content = (len(whole.rstrip(b'\0')) + 511) // 512 * 512
    for cut in [0, 1, 511, 512, 600, content // 2 + 7, content - 1, content, content + 512, content + 1023]:
        (tmp_path / 'bad.tar').write_bytes(whole[:cut])
        refused(tmp_path / 'bad.tar')


@pytest.mark.parametrize('packed', [gzip.compress, zstandard.ZstdCompressor().compress], ids=['gzip', 'zstd'])
def test_29_a_packed_archive_that_is_cut(packed: Callable[[bytes], bytes], refused: Callable[..., None],
                                         tmp_path: Path) -> None:
    whole = packed(write_tar(tmp_path / 'bad.tar', docker_members()).read_bytes())
    for cut in [3, 20, len(whole) // 2, len(whole) - 1]:
        (tmp_path / 'bad.tar').write_bytes(whole[:cut])
        refused(tmp_path / 'bad.tar')


def test_28_a_hard_link_to_a_host_file(refused: Callable[..., None], tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode='w') as archive:
        link = tarfile.TarInfo('0/layer.tar')
        link.type, link.linkname = tarfile.LNKTYPE, '/etc/passwd'
        archive.addfile(link)
        for name, content in docker_members()[1:]:
            assert isinstance(content, bytes)
            header = tarfile.TarInfo(name)
            header.size = len(content)
            archive.addfile(header, io.BytesIO(content))
    (tmp_path / 'bad.tar').write_bytes(buffer.getvalue())
    refused(tmp_path / 'bad.tar', 'within the archive')
