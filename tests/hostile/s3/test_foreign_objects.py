"""Objects that somebody else has put into a bucket, moved, or replaced: none is taken for an image of the layout,
nothing of others is overwritten, and no word in the bucket leads to another server."""
import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path

import httpx
import pytest

from occystrap_core import Receipt, Settings
from occystrap_core.testing.sample import sample_image
from occystrap_registry.server.server_thread import RegistryServer
from occystrap_s3.layout.keys import receipt_key
from tests.hostile.in_process import run_here
from tests.services.command_line import CommandResult
from tests.services.localstack import ObjectStorage
from tests.unit.registry.images import push

RECORD = 'p/images/names/app!3Av{}.json'


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A registry with two images."""
    monkeypatch.chdir(tmp_path)
    with RegistryServer(tmp_path / 'registry') as server:
        push(server.host, Settings())
        push(server.host, Settings(), sample_image(variant='other'), 'app:v2')
        yield server.host


@pytest.fixture
def bucket(object_storage: ObjectStorage, host: str, request: pytest.FixtureRequest) -> str:
    """A bucket with both images at the prefix p."""
    name = object_storage.bucket(f'foreign-{hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:12]}')
    for tag in ('v1', 'v2'):
        run_here('process', f'registry://{host}/app:{tag}', f's3://{name}/p//app:{tag}').assert_success()
    return name


def put(storage: ObjectStorage, bucket: str, key: str, content: bytes) -> None:
    storage.client.put_object(Bucket=bucket, Key=key, Body=content, ChecksumAlgorithm='SHA256')


def verify(bucket: str, *options: str) -> CommandResult:
    return run_here('verify', f's3://{bucket}/p', '--retries=0', *options)


def receipt_of(storage: ObjectStorage, bucket: str, record: str) -> tuple[str, Receipt]:
    """Return the key of the receipt of a record, and the receipt."""
    key = f'p/{receipt_key(record.removeprefix("p/"), storage.read(bucket, record))}'
    return key, Receipt.from_json(storage.read(bucket, key))


@pytest.mark.parametrize('level', ['fast', 'full'])
def test_a_record_at_the_key_of_another_image_is_found(level: str, object_storage: ObjectStorage, bucket: str,
                                                       host: str) -> None:
    """It has a receipt, that of its own image: one image twice is not two images."""
    put(object_storage, bucket, RECORD.format(2), object_storage.read(bucket, RECORD.format(1)))
    line, = verify(bucket, f'--verify={level}').assert_code(1).errors
    assert 'app!3Av2.json is the record of another image' in line and 'copy the image again' in line
    assert 'another image' in run_here('info', f's3://{bucket}/p//app:v2').assert_code(1).err
    again = run_here('process', f'registry://{host}/app:v2', f's3://{bucket}/p//app:v2').assert_success()
    assert 'unchanged' not in again.err and '2/2 verified' in verify(bucket, '--full').assert_success().err


@pytest.mark.parametrize('options', [{'endpoint': 'http://127.0.0.1:1'}, {'profile': 'nobody'}])
def test_a_kept_receipt_leads_to_no_other_server(options: dict[str, str], object_storage: ObjectStorage, bucket: str,
                                                 ) -> None:
    """Neither where its bucket was copied from, nor where whoever edits it would like the credentials to go."""
    key, receipt = receipt_of(object_storage, bucket, RECORD.format(1))
    put(object_storage, bucket, key, replace(receipt, options={**receipt.options, **options}).to_json().encode())
    assert '2/2 verified' in verify(bucket).assert_success().err


def test_a_kept_receipt_of_another_scheme_proves_nothing(object_storage: ObjectStorage, bucket: str) -> None:
    key, receipt = receipt_of(object_storage, bucket, RECORD.format(1))
    put(object_storage, bucket, key, replace(receipt, scheme='layout').to_json().encode())
    done = verify(bucket).assert_code(1)
    assert '1/2 verified' in done.err and 'no receipt of this image' in done.err


def test_an_object_that_is_not_a_record_is_not_an_image(object_storage: ObjectStorage, bucket: str) -> None:
    content = object_storage.read(bucket, RECORD.format(1))
    for name in ('x/index.json', 'notes.json', 'names/sub/images/names/a!3Av1.json', 'names/\x1b[31mred\n.json',
                 'digests/sha256-zz.json', 'names/../../../up.json', 'names/a!zz.json'):
        put(object_storage, bucket, f'p/images/{name}', b'junk' if 'v1' not in name else content)
    assert '2/2 verified' in verify(bucket).assert_success().err
    assert '2/2 images' in run_here('process', f's3://{bucket}/p', 'layout://out').assert_success().err
    assert '2 images' in run_here('seal', f's3://{bucket}/p').assert_success().err


def test_a_layout_below_the_records_of_another_is_its_own(bucket: str, host: str) -> None:
    run_here('process', f'registry://{host}/app:v1', f's3://{bucket}/p/images//app:v3').assert_success()
    run_here('seal', f's3://{bucket}/p/images').assert_success()
    assert '2/2 verified' in verify(bucket).assert_success().err


def test_seal_overwrites_nothing_of_others(object_storage: ObjectStorage, bucket: str) -> None:
    """And it leaves nothing where no image is."""
    for name, content in product(('oci-layout', 'index.json'), (b'<html>', b'[]', b'{}')):
        put(object_storage, bucket, f'p/{name}', content)
        before = object_storage.keys(bucket)
        line, = run_here('seal', f's3://{bucket}/p').assert_code(1).errors
        assert (name in line or 'layout version' in line) and object_storage.read(bucket, f'p/{name}') == content
        assert object_storage.keys(bucket) == before
        object_storage.client.delete_object(Bucket=bucket, Key=f'p/{name}')
    before = object_storage.keys(bucket)
    line, = run_here('seal', f's3://{bucket}/q').assert_code(1).errors
    assert 'has no image' in line and object_storage.keys(bucket) == before


def test_a_blob_in_parts_that_was_replaced_with_its_record(object_storage: ObjectStorage, bucket: str, host: str,
                                                           ) -> None:
    """The server reports what it was sent, and the record agrees: only a receipt, or the bytes, can tell."""
    source, place = f'registry://{host}/app:v1', f's3://{bucket}/p//parts:v1?multipart=1'
    run_here('process', source, place, '--receipt', 'receipt').assert_success()
    layer = Receipt.from_json(Path('receipt').read_text()).of_kind('layer')[0]
    forge(object_storage, bucket, layer.digest, layer.size)
    against = 'verify', f's3://{bucket}/p//parts:v1', '--against', source
    assert 'UNVERIFIED' in run_here(*against).assert_code(1).err
    assert 'FAILED' in run_here(*against, '--full').assert_code(1).err
    assert 'unverified: layer ' in verify(bucket).assert_code(1).err
    key, receipt = receipt_of(object_storage, bucket, 'p/images/names/parts!3Av1.json')
    edited = replace(receipt, expectations=[each for each in receipt.expectations if each.kind != 'checksum'])
    put(object_storage, bucket, key, edited.to_json().encode())
    done = verify(bucket).assert_code(1)
    assert 'UNVERIFIED' in done.err and layer.locator in done.err
    assert '1/1 verified' in run_here('process', '--verify=full', source, place).assert_success().err
    assert '3/3 verified' in verify(bucket, '--full').assert_success().err


def forge(storage: ObjectStorage, bucket: str, digest: str, size: int) -> None:
    """Replace a blob by zeros, in parts, and the record of the server's checksum by one that agrees."""
    there = {'Bucket': bucket, 'Key': f'p/blobs/{digest.replace(":", "/")}'}
    upload = {**there, 'UploadId': storage.client.create_multipart_upload(
        **there, ChecksumAlgorithm='SHA256', ChecksumType='COMPOSITE')['UploadId']}
    part = storage.client.upload_part(**upload, PartNumber=1, Body=bytes(size), ChecksumAlgorithm='SHA256')
    storage.client.complete_multipart_upload(**upload, MultipartUpload={'Parts': [
        {'PartNumber': 1, 'ETag': part['ETag'], 'ChecksumSHA256': part['ChecksumSHA256']}]})
    found = storage.client.head_object(**there, ChecksumMode='ENABLED')['ChecksumSHA256']
    record = {'digest': digest, 'size': size, 'checksumSHA256': found}
    put(storage, bucket, f'p/checksums/{digest.replace(":", "/")}.json',
        json.dumps(record, separators=(',', ':')).encode())


@pytest.mark.parametrize('named', ['', '/app:v2'])
@pytest.mark.parametrize('level', ['fast', 'full'])
def test_an_image_whose_record_is_gone_is_missed(level: str, named: str, object_storage: ObjectStorage, bucket: str,
                                                 host: str) -> None:
    """Its receipt says that there was one; a new copy mends it, and so does pruning, after which nobody misses it."""
    object_storage.client.delete_object(Bucket=bucket, Key=RECORD.format(2))
    failed = run_here('verify', f's3://{bucket}/p{named}', f'--verify={level}').assert_code(1)
    lost = RECORD.format(2).removeprefix('p/')
    assert f'error: entry app:v2: the record of the image, {lost}, is not there' in failed.err
    assert f'{0 if named else 1}/{1 if named else 2} verified' in failed.err
    run_here('process', f'registry://{host}/app:v2', f's3://{bucket}/p//app:v2').assert_success()
    assert '2/2 verified' in verify(bucket, f'--verify={level}').assert_success().err


@pytest.mark.parametrize('damage', ['torn', 'of another image'])
def test_a_record_and_the_receipt_that_tells_of_it(damage: str, object_storage: ObjectStorage, bucket: str) -> None:
    (key, _), (other, _) = (receipt_of(object_storage, bucket, RECORD.format(number)) for number in (2, 1))
    content = object_storage.read(bucket, key if damage == 'torn' else other)
    put(object_storage, bucket, key, content[:-9] if damage == 'torn' else content)
    object_storage.client.delete_object(Bucket=bucket, Key=RECORD.format(2))
    failed = verify(bucket).assert_code(1)
    assert f'{key.removeprefix("p/")}: the record of an image is gone' in failed.err and '1/2 verified' in failed.err


def test_a_lost_record_is_pruned_once(object_storage: ObjectStorage, bucket: str, host: str) -> None:
    """The image is marked as removed, like any other."""
    run_here('process', f'registry://{host}/app:v*?prune=true', f's3://{bucket}/q//{{name}}:{{tag}}').assert_success()
    object_storage.client.delete_object(Bucket=bucket, Key=RECORD.format(2).replace('p/', 'q/', 1))
    manifests = f'http://{host}/v2/app/manifests'
    digest = httpx.head(f'{manifests}/v2', trust_env=False).headers['docker-content-digest']
    httpx.delete(f'{manifests}/{digest}', trust_env=False).raise_for_status()
    run_here('process', '--prune', f'registry://{host}/app:v*?prune=true',
             f's3://{bucket}/q//{{name}}:{{tag}}').assert_success()
    assert '1/1 verified' in run_here('verify', f's3://{bucket}/q').assert_success().err


def test_an_object_that_is_not_a_receipt_tells_of_no_image(object_storage: ObjectStorage, bucket: str) -> None:
    put(object_storage, bucket, 'p/receipts/notes.txt', b'x')
    put(object_storage, bucket, f'p/receipts/{"0" * 64}.json', b'{}')
    assert '2/2 verified' in verify(bucket).assert_success().err
