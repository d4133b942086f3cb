"""A cluster of two workers in this process, and the executor that uses them."""
from collections.abc import Iterator

import distributed
import pytest

from occystrap_dask import cluster
from tests.functional.scale.workers.local_cluster import cluster_of, finish


@pytest.fixture(autouse=True)
def _unfinished() -> None:
    finish.clear()


@pytest.fixture
def local() -> Iterator[distributed.LocalCluster]:
    """A cluster of two workers."""
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=False, dashboard_address=None) as found:
        yield found


@pytest.fixture
def executor(local: distributed.LocalCluster) -> Iterator[cluster.Cluster]:
    """The executor that uses both."""
    with cluster_of(local, 2) as found:
        yield found
