"""sha512 digests of layers, configs, manifests and indexes: copied unchanged, verified, and damage found."""
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from occystrap_core.oci import Descriptor, Digest, blob_name, media_types
from occystrap_core.testing.sample import sample_config, sample_layers
from occystrap_registry.server.server_thread import RegistryServer
from tests.hostile.in_process import run_here

ARM = {'os': 'linux', 'architecture': 'arm64'}


def put(layout: Path, raw: bytes, media_type: str) -> Descriptor:
    """Put a blob under its sha512 digest and return its descriptor."""
    digest = Digest.of(raw, 'sha512')
    path = layout / blob_name(digest)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(raw)
    return Descriptor(media_type, digest, len(raw))


def put_image(layout: Path, architecture: str = 'amd64', algorithm: str = 'sha256') -> Descriptor:
    """Put an image whose diff_ids are made by `algorithm`."""
    tars = sample_layers(architecture)
    config = json.loads(sample_config(tars, architecture))
    config['rootfs']['diff_ids'] = [Digest.of(tar, algorithm) for tar in tars]
    manifest = {'schemaVersion': 2, 'mediaType': media_types.OCI_MANIFEST,
                'config': put(layout, json.dumps(config).encode(), media_types.OCI_CONFIG).to_json(),
                'layers': [put(layout, tar, media_types.OCI_LAYER).to_json() for tar in tars]}
    return put(layout, json.dumps(manifest).encode(), media_types.OCI_MANIFEST)


def name(layout: Path, descriptor: Descriptor) -> None:
    """Make the layout's index.json, with one image of name v1."""
    (layout / 'oci-layout').write_text('{"imageLayoutVersion": "1.0.0"}')
    entry = {**descriptor.to_json(), 'annotations': {'org.opencontainers.image.ref.name': 'v1'}}
    (layout / 'index.json').write_text(json.dumps({'schemaVersion': 2, 'manifests': [entry]}))


def run(*arguments: str | Path, code: int = 0) -> str:
    """Run the command without waiting for the disk; return what it prints on stderr."""
    result = run_here(*arguments)
    assert result.code == code, result
    return result.err


def blobs(layout: Path) -> dict[str, bytes]:
    return {str(path.relative_to(layout)): path.read_bytes() for path in layout.glob('blobs/*/*')}


@pytest.fixture(params=['sha256', 'sha512'])
def image(request: pytest.FixtureRequest, tmp_path: Path) -> Descriptor:
    """An image in the layout `source`, with diff_ids of either kind."""
    descriptor = put_image(tmp_path / 'source', algorithm=request.param)
    name(tmp_path / 'source', descriptor)
    return descriptor


@pytest.fixture
def host(tmp_path: Path) -> Iterator[str]:
    with RegistryServer(tmp_path / 'registry') as server:
        yield server.host


def test_through_a_registry_by_digest_and_by_tag(image: Descriptor, tmp_path: Path, host: str) -> None:
    for destination in (f'{host}/app@{image.digest}', f'{host}/app:v1'):
        assert '1/1 verified' in run('process', '--verify=full', f'layout://{tmp_path}/source:v1',
                                     f'registry://{destination}')
    run('process', '--verify=full', f'registry://{host}/app@{image.digest}', f'layout://{tmp_path}/back:v1')
    assert blobs(tmp_path / 'back') == blobs(tmp_path / 'source')
    run('process', '--verify=full', f'registry://{host}/app:v1', f'registry://{host}/other:v1')


@pytest.mark.parametrize('destination', ['layout://{}/out:v1', 'tar://{}/out.tar?format=oci', 'tar://{}/out.tar',
                                         'dir://{}/out', 'dir://{}/out?checksums=true', 'dir://{}/out?expand=true',
                                         'oci://{}/out', 'mounts://{}/out'])
@pytest.mark.parametrize('level', ['fast', 'full'])
def test_every_format(destination: str, level: str, image: Descriptor, tmp_path: Path) -> None:
    place = destination.format(tmp_path)
    command = ('process', f'--verify={level}', '--receipt', tmp_path / 'receipts', f'layout://{tmp_path}/source:v1',
               place)
    assert '1/1 verified' in run(*command)
    assert '1/1 verified' in run(*command)
    run('verify', f'--verify={level}', tmp_path / 'receipts')
    if not place.startswith(('oci', 'mounts')):
        run('process', '--verify=full', place.partition('?')[0], f'dir://{tmp_path}/back')
        tars = {path.read_bytes() for path in (tmp_path / 'back').glob('*/layer.tar')}
        assert tars == set(sample_layers('amd64'))


def test_an_index_is_copied_whole(tmp_path: Path, host: str) -> None:
    source = tmp_path / 'source'
    entries = [put_image(source).to_json(), put_image(source, 'arm64').to_json() | {'platform': ARM}]
    index = put(source, json.dumps({'schemaVersion': 2, 'mediaType': media_types.OCI_INDEX,
                                    'manifests': entries}).encode(), media_types.OCI_INDEX)
    name(source, index)
    run('process', '--verify=full', '--platform=all', f'layout://{source}:v1', f'registry://{host}/app@{index.digest}')
    run('process', '--verify=full', '--platform=all', f'registry://{host}/app@{index.digest}',
        f'layout://{tmp_path}/back:v1')
    assert blobs(tmp_path / 'back') == blobs(source)
    run('process', '--platform=linux/arm64', f'registry://{host}/app@{index.digest}', f'dir://{tmp_path}/arm')
    assert '"arm64"' in ''.join(path.read_text() for path in (tmp_path / 'arm').glob('*.json'))


def test_referrers_of_a_sha512_digest(tmp_path: Path, host: str) -> None:
    source = tmp_path / 'source'
    image = put_image(source)
    name(source, image)
    run('process', f'layout://{source}:v1', f'registry://{host}/app@{image.digest}')
    signature = json.dumps({
        'schemaVersion': 2, 'mediaType': media_types.OCI_MANIFEST, 'artifactType': 'application/x.signature',
        'config': put(source, b'{}', 'application/vnd.oci.empty.v1+json').to_json(), 'layers': [],
        'subject': image.to_json()}).encode()
    client = httpx.Client(base_url=f'http://{host}/v2/app', trust_env=False, verify=False)
    client.post('/blobs/uploads/', params={'digest': Digest.of(b'{}', 'sha512')}, content=b'{}').raise_for_status()
    client.put(f'/manifests/{Digest.of(signature, "sha512")}', content=signature,
               headers={'Content-Type': media_types.OCI_MANIFEST}).raise_for_status()
    run('process', '--verify=full', f'registry://{host}/app@{image.digest}?referrers=true',
        f'layout://{tmp_path}/back:v1')
    assert set(blobs(tmp_path / 'back').values()) >= {signature}
    run('process', '--verify=full', f'layout://{tmp_path}/back:v1?referrers=true',
        f'registry://{host}/other@{image.digest}')
    found = client.get(f'http://{host}/v2/other/referrers/{image.digest}').json()['manifests']
    assert len(found) == 1 and found[0]['artifactType'] == 'application/x.signature'


def damage(layout: Path, image: Descriptor, which: str) -> Path:
    """Flip a bit of the manifest, config or second layer of an image; return its path."""
    path = layout / blob_name(image.digest)
    if which != 'manifest':
        found = json.loads(path.read_bytes())[which]
        path = layout / blob_name(Digest((found[1] if which == 'layers' else found)['digest']))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    return path


@pytest.mark.parametrize('which', ['config', 'layers', 'manifest'])
def test_damage_is_found(which: str, image: Descriptor, tmp_path: Path) -> None:
    run('process', '--receipt', tmp_path / 'receipts', f'layout://{tmp_path}/source:v1', f'layout://{tmp_path}/out:v1')
    path = damage(tmp_path / 'out', image, which)
    errors = run('verify', '--full', tmp_path / 'receipts', code=1)
    assert path.name[:12] in errors


@pytest.mark.parametrize('which', ['config', 'layers', 'manifest'])
def test_a_damaged_source_is_refused(which: str, image: Descriptor, tmp_path: Path) -> None:
    damage(tmp_path / 'source', image, which)
    errors = run('process', f'layout://{tmp_path}/source:v1', f'dir://{tmp_path}/out', code=1)
    assert 'has digest sha512:' in errors and not [*(tmp_path / 'out').glob('*.json')]


def test_a_filter_makes_an_image_of_either_kind(image: Descriptor, tmp_path: Path, host: str) -> None:
    run('process', '--verify=full', '-f', 'normalize-timestamps', f'layout://{tmp_path}/source:v1',
        f'registry://{host}/app:v1')
    run('process', '--verify=full', f'registry://{host}/app:v1', f'tar://{tmp_path}/out.tar')
    with tarfile.open(tmp_path / 'out.tar') as archive:
        assert sum(member.name.endswith('layer.tar') for member in archive) == 3


def test_a_second_tag_and_what_no_image_names_any_more(tmp_path: Path) -> None:
    for architecture in ('amd64', 'arm64'):
        name(tmp_path / architecture, put_image(tmp_path / architecture, architecture))
        run('process', f'--platform=linux/{architecture}', f'layout://{tmp_path}/{architecture}:v1',
            f'layout://{tmp_path}/out:v1')
    assert blobs(tmp_path / 'out') == blobs(tmp_path / 'arm64')


@pytest.mark.parametrize('digest', ['blake3:' + 'a' * 64, 'sha384:' + 'a' * 96])
def test_other_algorithms_are_refused_by_name(digest: str, tmp_path: Path) -> None:
    algorithm = digest.partition(':')[0]
    name(tmp_path / 'source', put_image(tmp_path / 'source'))
    index = json.loads((tmp_path / 'source/index.json').read_text())
    index['manifests'][0]['digest'] = digest
    (tmp_path / 'source/index.json').write_text(json.dumps(index))
    assert f'digest algorithm {algorithm} is not supported' in run(
        'process', f'layout://{tmp_path}/source:v1', f'dir://{tmp_path}/out', code=1)
    for place in (f'registry://localhost:1/app@{digest}', f'layout://{tmp_path}/source@{digest}'):
        errors = run('process', place, f'dir://{tmp_path}/out', code=2)
        assert f'digest algorithm {algorithm} is not supported' in errors and errors.count('\n') == 1
