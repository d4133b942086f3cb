"""Images go into buckets and out of them by the hands of workers, which have credentials of their own."""
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from tests.conftest import require_service
from tests.functional.scale.bulk import assert_all_there, mirror_at
from tests.services.command_line import CommandLine
from tests.services.dask_cluster import dask_cluster
from tests.services.localstack import CREDENTIALS, ObjectStorage
from tests.services.recorded import recorded
from tests.services.registry import Registry
from tests.services.requirements import EVERYTHING
from tests.services.sixty_images import SixtyImages, sixty_images

COUNT = 4
CANARY = 'canary-4711'


@pytest.fixture(scope='module')
def sixty() -> Iterator[SixtyImages]:
    """Images that share layers, in a registry."""
    with require_service(sixty_images) as service:
        yield service


@contextmanager
def _processes() -> Iterator[tuple[str, Callable[[], bytes]]]:
    yield 'processes:workers=2', lambda: b''


@contextmanager
def _dask() -> Iterator[tuple[str, Callable[[], bytes]]]:
    """A worker with credentials, and what goes over the wire between it and its client."""
    with require_service(lambda: dask_cluster(1, **CREDENTIALS)) as cluster, recorded(cluster.port) as between:
        yield f'dask:scheduler=tcp://{between.host}', lambda: bytes(between.seen) + cluster.logs().encode()


@pytest.mark.parametrize('workers', [_processes, pytest.param(_dask, marks=pytest.mark.skipif(
    not EVERYTHING, reason='OCCYSTRAP_TEST_ALL=1 runs it'))], ids=['processes', 'dask'])
def test_into_a_bucket_and_back(
        workers: Callable[[], AbstractContextManager[tuple[str, Callable[[], bytes]]]], bucket: str,
        sixty: SixtyImages, object_storage: ObjectStorage, registry_factory: Callable[..., Registry],
        occystrap: CommandLine, tmp_path: Path) -> None:
    back, place = registry_factory(), f's3://{bucket}/mirror'
    here = f'?endpoint={object_storage.endpoint}'
    with workers() as (executor, seen):
        for source, goes, receipts in (
                (sixty.listed(tmp_path, COUNT), f'{place}//{{repository}}:{{tag}}{here}', 'there'),
                (f'{place}{here}', mirror_at(back.host), 'back')):
            result = occystrap('process', source, goes, '--receipt', receipts, '--executor', executor, fresh=True,
                               env={'AWS_SECRET_ACCESS_KEY': CANARY, 'AWS_ENDPOINT_URL': ''})
            assert result.assert_success().err.splitlines()[-1].endswith(f', {COUNT}/{COUNT} verified'), result
            assert_all_there(occystrap, tmp_path / receipts, COUNT)
        assert CANARY.encode() not in seen()
    assert len([each for each in object_storage.keys(bucket) if '/images/' in each]) == COUNT
