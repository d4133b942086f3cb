"""Verification finds every damage to what a bucket holds, and names it; what cannot be seen is never verified."""
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from occystrap_core import Receipt, Settings
from occystrap_registry.server.server_thread import RegistryServer
from tests.hostile.in_process import run_here
from tests.services.command_line import CommandResult
from tests.services.localstack import CREDENTIALS, ObjectStorage
from tests.unit.registry.images import push

BUCKET = 'damaged'
Damage = Callable[[ObjectStorage, str], None]


@pytest.fixture(scope='module')
def written(running_object_storage: ObjectStorage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receipt]:
    """An image in the bucket; what a test damages is mended after it."""
    directory = tmp_path_factory.mktemp('damaged')
    running_object_storage.bucket(BUCKET)
    with pytest.MonkeyPatch.context() as patch, RegistryServer(directory / 'registry') as server:
        for name, value in {**CREDENTIALS, 'AWS_ENDPOINT_URL': running_object_storage.endpoint}.items():
            patch.setenv(name, value)
        push(server.host, Settings())
        file = directory / 'receipt'
        run_here('process', f'registry://{server.host}/app:v1', f's3://{BUCKET}/p/app:v1', '--receipt', file,
                 ).assert_success()
        yield Receipt.from_json(file.read_text())


@pytest.fixture(scope='module')
def originals(written: Receipt, running_object_storage: ObjectStorage) -> dict[str, bytes]:
    """The objects before any damage."""
    return {key: running_object_storage.read(BUCKET, key) for key in running_object_storage.keys(BUCKET)}


@pytest.fixture
def mended(originals: dict[str, bytes], object_storage: ObjectStorage) -> Iterator[ObjectStorage]:
    """The storage, where all objects are put back as they were."""
    yield object_storage
    tags, elsewhere = object_storage.entity_tags(BUCKET), archives(object_storage)
    for key in set(tags) - set(originals):
        object_storage.client.delete_object(Bucket=BUCKET, Key=key)
    for key, content in originals.items():
        if tags.get(key) != hashlib.md5(content).hexdigest() or key in elsewhere:
            put(object_storage, key, content)


def archives(storage: ObjectStorage) -> set[str]:
    """Return the keys of all objects of another storage class than the usual."""
    listed = storage.client.list_objects_v2(Bucket=BUCKET)['Contents']
    return {each['Key'] for each in listed if each['StorageClass'] != 'STANDARD'}


def put(storage: ObjectStorage, key: str, content: bytes) -> None:
    """Write an object as programs do that let the server keep its sha256."""
    storage.client.put_object(Bucket=BUCKET, Key=key, Body=content, ChecksumAlgorithm='SHA256')


def flip(storage: ObjectStorage, key: str) -> None:
    content = storage.read(BUCKET, key)
    put(storage, key, content[:-1] + bytes([content[-1] ^ 1]))


DAMAGE: dict[str, Damage] = {
    'removed': lambda storage, key: storage.client.delete_object(Bucket=BUCKET, Key=key),
    'truncated': lambda storage, key: put(storage, key, storage.read(BUCKET, key)[:-1]),
    'emptied': lambda storage, key: put(storage, key, b''),
    'longer': lambda storage, key: put(storage, key, storage.read(BUCKET, key) + b'x'),
    'flipped': flip,
}


def verify(*options: str) -> CommandResult:
    return run_here('verify', f's3://{BUCKET}/p', *options)


@pytest.mark.parametrize('kind', ['config', 'manifest', 'layer', 'record'])
@pytest.mark.parametrize('damage', DAMAGE)
def test_damage_is_found_by_fast_verification(damage: str, kind: str, written: Receipt, mended: ObjectStorage,
                                              tmp_path: Path) -> None:
    name = 'images/names/app!3Av1.json' if kind == 'record' else written.of_kind(kind)[-1].locator
    DAMAGE[damage](mended, f'p/{name}')
    (tmp_path / 'receipt').write_text(written.to_json())
    done = run_here('verify', tmp_path / 'receipt').assert_code(1)
    assert '0/1 verified' in done.err and ('app:v1' if kind == 'record' else name) in done.err
    assert 'FAILED' in done.err


def test_swapped_layers_are_found(written: Receipt, mended: ObjectStorage) -> None:
    one, other = (f'p/{each.locator}' for each in written.of_kind('layer')[:2])
    contents = mended.read(BUCKET, one), mended.read(BUCKET, other)
    put(mended, one, contents[1])
    put(mended, other, contents[0])
    for level in ('fast', 'full'):
        done = verify(f'--verify={level}').assert_code(1)
        assert all(each.locator in done.err for each in written.of_kind('layer')[:2])


def test_objects_of_other_programs_are_not_verified_without_being_read(written: Receipt, mended: ObjectStorage) -> None:
    layer = written.of_kind('layer')[0].locator
    content = mended.read(BUCKET, f'p/{layer}')
    mended.client.put_object(Bucket=BUCKET, Key=f'p/{layer}', Body=content, ChecksumAlgorithm='CRC32')
    done = verify().assert_code(1)
    assert layer in done.err and 'UNVERIFIED' in done.err and '--verify=full reads' in done.err
    verify('--verify=full').assert_success()
    mended.client.put_object(Bucket=BUCKET, Key=f'p/{layer}', Body=bytes(len(content)), ChecksumAlgorithm='CRC32')
    assert 'FAILED' in verify('--verify=full').assert_code(1).err


@pytest.mark.parametrize('kind', ['layer', 'config', 'manifest', 'record'])
@pytest.mark.parametrize('archive', ['GLACIER', 'DEEP_ARCHIVE'])
def test_what_is_archived_is_not_verified(archive: str, kind: str, written: Receipt, mended: ObjectStorage) -> None:
    """The server still reports size and sha256 of an object that nobody can read."""
    name = 'images/names/app!3Av1.json' if kind == 'record' else written.of_kind(kind)[0].locator
    archived(mended, f'p/{name}', archive)
    for level in ('fast', 'full'):
        done = verify(f'--verify={level}').assert_code(1)
        assert f'p/{name}' in done.err if kind == 'record' else name in done.err
        assert 'archived; restore it first' in done.err and ' 1/1 verified' not in done.err


@pytest.mark.parametrize('readable', ['GLACIER_IR', 'STANDARD_IA', 'restored'])
def test_what_can_be_read_at_once_is_verified(readable: str, written: Receipt, mended: ObjectStorage) -> None:
    key = f'p/{written.of_kind("layer")[0].locator}'
    archived(mended, key, 'GLACIER' if readable == 'restored' else readable)
    if readable == 'restored':
        mended.client.restore_object(Bucket=BUCKET, Key=key, RestoreRequest={'Days': 1})
    for level in ('fast', 'full'):
        verify(f'--verify={level}').assert_success()


def test_a_copy_replaces_blobs_that_are_archived(written: Receipt, mended: ObjectStorage, tmp_path: Path) -> None:
    """Also under another name, whose image would share a layer that cannot be read."""
    key = f'p/{written.of_kind("layer")[0].locator}'
    with RegistryServer(tmp_path / 'registry') as server:
        push(server.host, Settings())
        for name in ('v1', 'v3'):
            archived(mended, key, 'GLACIER')
            run_here('process', f'registry://{server.host}/app:v1', f's3://{BUCKET}/p/app:{name}').assert_success()
            assert 'StorageClass' not in mended.client.head_object(Bucket=BUCKET, Key=key)
    verify('--verify=full').assert_success()


def archived(storage: ObjectStorage, key: str, storage_class: str) -> None:
    """Move an object to a storage class, as rules of a bucket do."""
    content = storage.read(BUCKET, key)
    storage.client.put_object(Bucket=BUCKET, Key=key, Body=content, ChecksumAlgorithm='SHA256',
                              StorageClass=storage_class)


def test_an_image_without_a_receipt_is_named(written: Receipt, mended: ObjectStorage) -> None:
    record = json.loads(mended.read(BUCKET, 'p/images/names/app!3Av1.json'))
    record['manifests'][0]['annotations']['org.opencontainers.image.ref.name'] = 'foreign:v1'
    put(mended, 'p/images/names/foreign!3Av1.json', json.dumps(record).encode())
    assert 'foreign:v1' in verify().assert_code(1).err


def test_a_receipt_never_stands_for_another_image(written: Receipt, mended: ObjectStorage) -> None:
    """The record is of another image now: its receipt is another object, which is not there."""
    record = json.loads(mended.read(BUCKET, 'p/images/names/app!3Av1.json'))
    record['manifests'][0]['digest'] = f'sha256:{"0" * 64}'
    put(mended, 'p/images/names/app!3Av1.json', json.dumps(record).encode())
    assert 'app:v1' in verify().assert_code(1).err


def test_an_unreachable_server_and_a_missing_bucket(written: Receipt, mended: ObjectStorage, tmp_path: Path) -> None:
    elsewhere = replace(written, options={**written.options, 'endpoint': 'http://127.0.0.1:1'})
    (tmp_path / 'receipt').write_text(elsewhere.to_json())
    done = run_here('verify', tmp_path / 'receipt', '--retries', '0').assert_code(1)
    assert 'UNVERIFIED' in done.err and 'cannot be reached' in done.err
    (tmp_path / 'receipt').write_text(replace(written, path='no-such-bucket/p').to_json())
    done = run_here('verify', tmp_path / 'receipt').assert_code(1)
    assert 'FAILED' in done.err and 'there is no such bucket' in done.err


def test_the_next_copy_mends_what_is_damaged(written: Receipt, mended: ObjectStorage, tmp_path: Path) -> None:
    with RegistryServer(tmp_path / 'registry') as server:
        push(server.host, Settings())
        flip(mended, f'p/{written.of_kind("layer")[0].locator}')
        done = run_here('process', f'registry://{server.host}/app:v1', f's3://{BUCKET}/p/app:v1').assert_success()
        assert '1/1 verified' in done.err and 'unchanged' not in done.err


@pytest.mark.parametrize('kind', ['config', 'manifest', 'layer'])
def test_a_damaged_image_is_not_copied(kind: str, written: Receipt, mended: ObjectStorage, tmp_path: Path) -> None:
    damaged = written.of_kind(kind)[0]
    flip(mended, f'p/{damaged.locator}')
    done = run_here('process', f's3://{BUCKET}/p//app:v1', f'layout://{tmp_path}/out').assert_code(1)
    assert damaged.digest in done.err and not (tmp_path / 'out/index.json').exists()
