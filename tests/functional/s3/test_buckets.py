"""Images into a bucket and out of it again, as users do it."""
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from occystrap_core import Settings
from occystrap_core.oci import Digest, media_types
from occystrap_core.testing.sample import sample_image
from occystrap_registry.server.server_thread import RegistryServer
from tests.functional.archives import write_archive_of_noise
from tests.functional.images import skopeo
from tests.functional.s3.conftest import Run
from tests.services.command_line import CommandLine
from tests.services.localstack import ObjectStorage
from tests.services.measured import run_measured
from tests.services.requirements import EVERYTHING
from tests.unit.registry.images import HTTP, push, put_manifest
from tests.unit.registry.several import document_at, manifest_at, put_artifact, put_many


@pytest.fixture
def host(tmp_path: Path) -> Iterator[str]:
    """A registry with an index of two platforms, many:v1, and the sample image, app:v1."""
    with RegistryServer(tmp_path / 'registry') as server:
        put_many(server.host, Settings())
        push(server.host, Settings())
        yield server.host


def test_an_index_keeps_its_digest_there_and_back(bucket: str, host: str, occystrap_here: Run) -> None:
    source, place = f'registry://{host}/many:v1', f's3://{bucket}/mirror/many:v1'
    first = occystrap_here('process', '--verify=full', source, place).assert_success()
    assert '1/1 verified' in first.err
    assert '1 unchanged' in occystrap_here('process', source, place).assert_success().err
    occystrap_here('process', '--verify=full', place, f'registry://{host}/back:v1').assert_success()
    assert manifest_at(host, 'v1', 'back').content == manifest_at(host, 'v1').content
    one = occystrap_here('info', '--platform=linux/arm64', place).assert_success()
    assert str(manifest_at(host, 'arm64').headers['docker-content-digest']) in one.out


def test_a_sealed_prefix_is_a_layout_for_skopeo(bucket: str, host: str, object_storage: ObjectStorage, tmp_path: Path,
                                                occystrap_here: Run, program: Callable[..., str]) -> None:
    program('skopeo')
    for name in ('many:v1', 'app:v1'):
        occystrap_here('process', f'registry://{host}/{name}', f's3://{bucket}/{name}', '--receipt', 'receipts')
    assert 'index.json' not in object_storage.keys(bucket)
    assert '2 images' in occystrap_here('seal', f's3://{bucket}').assert_success().err
    object_storage.copy_to(bucket, tmp_path / 'copy')
    for name in ('many:v1', 'app:v1'):
        raw = skopeo('inspect', '--raw', f'oci:{tmp_path}/copy:{name}')
        assert Digest.of(raw.encode()) == Digest.of(manifest_at(host, 'v1', name.partition(':')[0]).content)
    skopeo('copy', '-q', '--all', f'oci:{tmp_path}/copy:many:v1', f'oci:{tmp_path}/again:v1')
    done = occystrap_here('verify', 'receipts', '--at', f'layout://{tmp_path}/copy', '--verify=full').assert_success()
    assert '2/2 verified' in done.err
    occystrap_here('process', f'layout://{tmp_path}/copy?image=many:v1', f'registry://{host}/disk:v1').assert_success()
    assert manifest_at(host, 'v1', 'disk').content == manifest_at(host, 'v1').content


def test_names_with_slashes_and_fields(bucket: str, host: str, object_storage: ObjectStorage,
                                       occystrap_here: Run) -> None:
    push(host, Settings(), sample_image(), 'team/app:v1')
    push(host, Settings(), sample_image(variant='other'), 'team_app:v1')
    occystrap_here('process', f'registry://{host}/*app:v1', f's3://{bucket}/p//{{repository}}:{{tag}}').assert_success()
    occystrap_here('process', f'registry://{host}/team/app:v1', f's3://{bucket}/p//team/app:v1').assert_success()
    occystrap_here('process', f'registry://{host}/team/app:v1', f's3://{bucket}/p').assert_success()
    names = {key for key in object_storage.keys(bucket) if key.startswith('p/images/')}
    assert names == {f'p/images/names/{each}.json' for each in (
        'app!3Av1', 'team_app!3Av1', 'team!2Fapp!3Av1', f'{host.replace(":", "!3A")}!2Fteam!2Fapp!3Av1')}
    occystrap_here('process', f's3://{bucket}/p?image=team_*', 'layout://out').assert_success()
    assert [each['annotations'] for each in json.loads(Path('out/index.json').read_bytes())['manifests']] == [
        {'org.opencontainers.image.ref.name': 'team_app:v1'}]
    wrong = occystrap_here('info', f's3://{bucket}/p//team/app:v3').assert_code(1)
    assert 'has no image team/app:v3' in wrong.err and 'team/app:v1' in wrong.err


def test_sixteen_writers_at_once(bucket: str, host: str, occystrap: CommandLine, object_storage: ObjectStorage) -> None:
    """Four runs of four images each, with the same layers; each seals as it ends, while others write."""
    for number in range(2, 5):
        put_manifest(host, manifest_at(host, 'v1', 'app').content, f'v{number}', media_types.OCI_MANIFEST)

    def write(number: int) -> None:
        done = occystrap('process', f'registry://{host}/app:*', f's3://{bucket}/app{number}:{{tag}}', '-J', '4')
        assert '4/4 verified' in done.assert_success().err
        occystrap('seal', f's3://{bucket}').assert_success()
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(write, range(4)))
    assert len(json.loads(object_storage.read(bucket, 'index.json'))['manifests']) == 16


def test_a_big_blob_goes_in_parts_and_is_not_sent_again(bucket: str, object_storage: ObjectStorage, tmp_path: Path,
                                                        occystrap_here: Run) -> None:
    source = f'tar://{write_archive_of_noise(tmp_path, 7 << 20)}'
    place = f's3://{bucket}/noise:v1?multipart=5M'
    assert '1/1 verified' in occystrap_here('process', source, place).assert_success().err
    listed = object_storage.client.list_objects_v2(Bucket=bucket)['Contents']
    blob = max(listed, key=lambda each: each['Size'])['Key']
    head = object_storage.client.head_object(Bucket=bucket, Key=blob, ChecksumMode='ENABLED')
    assert head['ChecksumSHA256'].endswith('-2') and head['ChecksumType'] == 'COMPOSITE'
    again = occystrap_here('process', source, f's3://{bucket}/again:v1?multipart=5M').assert_success()
    assert ' 0 B moved' in again.err
    occystrap_here('verify', f's3://{bucket}/noise:v1', '--verify=full').assert_success()
    record = f'checksums/sha256/{blob.rpartition("/")[2]}.json'
    kept = object_storage.read(bucket, record)
    upload_in_parts(object_storage, bucket, blob, bytes(head['ContentLength']))
    failed = occystrap_here('verify', f's3://{bucket}/noise:v1').assert_code(1)
    assert blob in failed.err + failed.out
    other = object_storage.client.head_object(Bucket=bucket, Key=blob, ChecksumMode='ENABLED')['ChecksumSHA256']
    object_storage.client.put_object(Bucket=bucket, Key=record, Body=kept.replace(
        head['ChecksumSHA256'].encode(), other.encode()))
    failed = occystrap_here('verify', f's3://{bucket}/noise:v1').assert_code(1)
    assert record in failed.err + failed.out


def upload_in_parts(storage: ObjectStorage, bucket: str, key: str, content: bytes) -> None:
    """Upload something as other programs do, with a sha256 of each part."""
    upload = {'Bucket': bucket, 'Key': key}
    upload['UploadId'] = storage.client.create_multipart_upload(**upload, ChecksumAlgorithm='SHA256')['UploadId']
    parts = []
    for number, start in enumerate(range(0, len(content), 5 << 20), 1):
        sent = storage.client.upload_part(**upload, PartNumber=number, Body=content[start:start + (5 << 20)],
                                          ChecksumAlgorithm='SHA256')
        parts.append({'PartNumber': number, 'ETag': sent['ETag'], 'ChecksumSHA256': sent['ChecksumSHA256']})
    storage.client.complete_multipart_upload(**upload, MultipartUpload={'Parts': parts})


def test_a_layer_is_never_in_memory(bucket: str, tmp_path: Path, occystrap: CommandLine) -> None:
    """In neither direction, in one request or in parts: a large one takes no more than one of a few bytes."""
    def peak(*ways: str) -> float:
        result, megabytes = run_measured(occystrap, 'process', '--verify=full', *ways)
        result.assert_success()
        return megabytes
    for each in 'sl':
        (tmp_path / each).mkdir()
    sizes = (('s', 1), ('l', (200 if EVERYTHING else 32) << 20))
    small, large = (write_archive_of_noise(tmp_path / each, size) for each, size in sizes)
    least = peak(f'tar://{small}', f's3://{bucket}/small:v1')
    assert peak(f'tar://{large}', f's3://{bucket}/one:v1') - least < 20
    assert peak(f'tar://{large}', f's3://{bucket}/parts/parts:v1?multipart=16M') - least < 20
    assert peak(f's3://{bucket}/one:v1', f'layout://{tmp_path}/back') - least < 20


def test_referrers_go_along(bucket: str, host: str, occystrap_here: Run) -> None:
    subject = document_at(host, 'v1').descriptor
    sbom = put_artifact(host, b'sbom', subject=subject)
    place = f's3://{bucket}/many:v1'
    occystrap_here('process', f'registry://{host}/many:v1?referrers=true', place).assert_success()
    occystrap_here('process', f'{place}?referrers=true', f'registry://{host}/back:v1').assert_success()
    found = HTTP.get(f'http://{host}/v2/back/referrers/{subject.digest}').json()['manifests']
    assert [each['digest'] for each in found] == [sbom.digest]


def test_a_prefix_above_several_layouts_is_not_sealed_and_they_are_named(
        bucket: str, host: str, object_storage: ObjectStorage, occystrap_here: Run) -> None:
    for team in ('red', 'blue'):
        occystrap_here('process', f'registry://{host}/app:v1', f's3://{bucket}/air/{team}/app:v1').assert_success()
    result = occystrap_here('seal', f's3://{bucket}/air').assert_code(1)
    assert f'below it there is s3://{bucket}/air/blue, s3://{bucket}/air/red: seal that' in result.err
    assert f's3://{bucket}/air//{{repository}}:{{tag}}' in result.err
    assert 'below' not in occystrap_here('seal', f's3://{bucket}/none').assert_code(1).err
    assert all('index.json' not in key for key in object_storage.keys(bucket))


def test_images_that_a_mirror_no_longer_has_are_pruned(bucket: str, host: str, object_storage: ObjectStorage,
                                                       occystrap_here: Run) -> None:
    push(host, Settings(), sample_image(), 'app:v2')
    occystrap_here('process', f'registry://{host}/app:v*?prune=true', f's3://{bucket}', '--prune').assert_success()
    occystrap_here('seal', f's3://{bucket}').assert_success()
    HTTP.delete(f'http://{host}/v2/app/manifests/v2').raise_for_status()
    occystrap_here('process', f'registry://{host}/app:v*?prune=true', f's3://{bucket}', '--prune').assert_success()
    assert '1/1 verified' in occystrap_here('verify', f's3://{bucket}').assert_success().err
    occystrap_here('seal', f's3://{bucket}').assert_success()
    assert len(json.loads(object_storage.read(bucket, 'index.json'))['manifests']) == 1


def test_a_layout_that_another_program_put_there(bucket: str, host: str, object_storage: ObjectStorage, tmp_path: Path,
                                                 occystrap_here: Run) -> None:
    """It is read, kept when the prefix is sealed, and said to have no receipt; its blobs are read or not verified."""
    occystrap_here('process', f'registry://{host}/many:v1', f'layout://{tmp_path}/L:other').assert_success()
    for path in (each for each in (tmp_path / 'L').rglob('*') if each.is_file() and '.occystrap' not in each.parts):
        object_storage.client.put_object(Bucket=bucket, Key=str(path.relative_to(tmp_path / 'L')),
                                         Body=path.read_bytes())
    occystrap_here('process', f's3://{bucket}?image=other', f'registry://{host}/back:v1').assert_success()
    assert manifest_at(host, 'v1', 'back').content == manifest_at(host, 'v1').content
    assert 'other' in occystrap_here('verify', f's3://{bucket}').assert_code(1).err
    occystrap_here('process', f'registry://{host}/app:v1', f's3://{bucket}').assert_success()
    occystrap_here('seal', f's3://{bucket}').assert_success()
    assert len(json.loads(object_storage.read(bucket, 'index.json'))['manifests']) == 2


@pytest.mark.parametrize('more', ['', '?multipart=5M'], ids=['one request', 'parts'])
def test_nothing_is_left_of_wrong_bytes(more: str, bucket: str, object_storage: ObjectStorage, tmp_path: Path,
                                        occystrap_here: Run) -> None:
    """No blob under that digest, no part of an upload, no record."""
    occystrap_here('process', f'tar://{write_archive_of_noise(tmp_path, 6 << 20)}', f'layout://{tmp_path}/L')
    blob = max((tmp_path / 'L/blobs/sha256').iterdir(), key=lambda path: path.stat().st_size)
    content = bytearray(blob.read_bytes())
    content[-1] ^= 1
    blob.write_bytes(content)
    failed = occystrap_here('process', f'layout://{tmp_path}/L', f's3://{bucket}{more}').assert_code(1)
    assert blob.name[:12] in failed.err
    assert not [key for key in object_storage.keys(bucket) if blob.name in key or not key.startswith('blobs/')]
    assert not object_storage.client.list_multipart_uploads(Bucket=bucket).get('Uploads')


def test_images_in_a_bucket_are_looked_into(bucket: str, host: str, occystrap_here: Run) -> None:
    occystrap_here('process', f'registry://{host}/app:v1', f's3://{bucket}/app:v1').assert_success()
    occystrap_here('check', f's3://{bucket}/app:v1').assert_success()
    occystrap_here('search', f's3://{bucket}/app:v1', 'hello').assert_success()
    status = occystrap_here('status', f'registry://{host}/app:v1', f's3://{bucket}/app:v1').assert_success()
    assert '1' in status.out + status.err
