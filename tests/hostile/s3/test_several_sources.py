"""Several programs at one prefix: no source of an image is forgotten, and none removes another's image."""
import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from occystrap_core import OutputError, Receipt, Settings
from occystrap_core.verification.provenance import Bringer
from occystrap_registry.server.server_thread import RegistryServer
from occystrap_s3.kept_receipts import kept_in_bucket
from occystrap_s3.layout.bucket_layout import BucketLayout
from occystrap_s3.layout.removed_records import note_bringers, remove
from tests.hostile.in_process import run_here
from tests.services.localstack import ObjectStorage
from tests.unit.registry.images import push
from tests.unit.registry.several import document_at, put_artifact, put_many

RECORD = 'p/images/names/app!3Av1.json'


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A registry with one image."""
    monkeypatch.chdir(tmp_path)
    with RegistryServer(tmp_path / 'registry') as server:
        push(server.host, Settings())
        yield server.host


@pytest.fixture
def bucket(object_storage: ObjectStorage, request: pytest.FixtureRequest) -> str:
    return object_storage.bucket(f'several-{hashlib.sha256(request.node.nodeid.encode()).hexdigest()[:12]}')


@pytest.fixture
def settings() -> Iterator[Settings]:
    settings = Settings()
    with closing(settings.shared):
        yield settings


def copy(bucket: str, host: str, name: str) -> None:
    """Copy the image from a source of its own."""
    Path(name).write_text(f'{host}/app:v1?insecure=true\n')
    run_here('process', f'list://{name}', f's3://{bucket}/p//app:v1', '--receipt', f'{name}.receipts').assert_success()


def kept(bucket: str) -> Receipt:
    """Return the receipt that the bucket keeps."""
    from occystrap_core.api.uri import WrittenUri
    receipt, = kept_in_bucket(WrittenUri('s3', f'{bucket}/p', {})).receipts  # type: ignore[arg-type]
    return receipt


def sources(bucket: str) -> list[str]:
    return [Path(each.in_list or each.source).name for each in kept(bucket).brought_by]


def brought(receipt: Receipt, *names: str) -> Receipt:
    return replace(receipt, brought_by=tuple(Bringer(each, receipt.destination, '') for each in names))


def test_who_copies_again_what_was_damaged_is_not_the_only_source(bucket: str, host: str,
                                                                  object_storage: ObjectStorage) -> None:
    copy(bucket, host, 'one')
    object_storage.client.delete_object(Bucket=bucket, Key=f'p/{kept(bucket).of_kind("layer")[0].locator}')
    copy(bucket, host, 'two')
    assert sources(bucket) == ['one', 'two']


def test_who_copies_an_image_with_its_signatures_is_not_the_only_source(bucket: str, host: str) -> None:
    """The record, which lists them, is another one then, and so is the receipt."""
    put_many(host, Settings())
    source, place = f'registry://{host}/many:v1', f's3://{bucket}/p//app:v1'
    Path('one').write_text(f'{host}/many:v1?insecure=true\n')
    run_here('process', 'list://one', place).assert_success()
    put_artifact(host, b'sbom', subject=document_at(host, 'v1').descriptor)
    run_here('process', f'{source}?referrers=true', place).assert_success()
    assert sources(bucket) == ['many:v1', 'one'] and kept(bucket).of_kind('entry')[1:]


def test_sources_that_write_an_image_at_once(bucket: str, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has looked before another has written: the second is refused, and looks again."""
    monkeypatch.setattr(BucketLayout, '_kept', lambda *_: None)
    for name in ('one', 'two', 'three'):
        copy(bucket, host, name)
    assert sources(bucket) == ['one', 'three', 'two']


def test_sources_that_are_noted_at_once(bucket: str, host: str, settings: Settings) -> None:
    copy(bucket, host, 'first')
    receipt, names = kept(bucket), [f'{number:02}' for number in range(16)]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda name: note_bringers([brought(receipt, name)], settings, False), names))
    assert sorted(sources(bucket)) == [*names, 'first']
    note_bringers([brought(receipt, *names[1:])], settings, True)
    assert sources(bucket) == ['00', 'first']


def test_an_image_that_another_source_brings_meanwhile_stays(bucket: str, host: str, settings: Settings,
                                                             object_storage: ObjectStorage) -> None:
    """The other one has found it unchanged, so that its record is still that which the pruning run has read."""
    copy(bucket, host, 'one')
    receipt = kept(bucket)
    copy(bucket, host, 'two')
    reason, = remove([receipt], [], settings, False)
    assert reason.endswith('two has copied it meanwhile') and b'sha256' in object_storage.read(bucket, RECORD)
    assert remove([kept(bucket)], [], settings, False) == [''] and b'sha256' not in object_storage.read(bucket, RECORD)


def test_who_removed_an_image_does_not_bring_it_when_another_does(bucket: str, host: str, settings: Settings) -> None:
    copy(bucket, host, 'one')
    assert remove([kept(bucket)], [], settings, False) == ['']
    copy(bucket, host, 'two')
    assert sources(bucket) == ['two']


def test_a_source_that_cannot_be_noted_is_a_note(bucket: str, host: str, settings: Settings,
                                                 object_storage: ObjectStorage) -> None:
    """All others are noted; the run, whose images are there, does not fail."""
    copy(bucket, host, 'one')
    receipt = kept(bucket)
    for each in object_storage.keys(bucket):
        if each.startswith('p/receipts/'):
            object_storage.client.delete_object(Bucket=bucket, Key=each)
    with pytest.raises(OutputError, match='receipts/.* does not exist'):
        note_bringers([brought(receipt, 'two')], settings, False)
