"""Two servers with a bucket of one name: an option of the destination says which is meant, everywhere."""
from pathlib import Path

import httpx
import pytest

from occystrap_core import Settings
from occystrap_core.testing.sample import sample_image
from occystrap_registry.server.server_thread import RegistryServer
from tests.conftest import require_service
from tests.hostile.in_process import run_here
from tests.services.localstack import ObjectStorage
from tests.services.localstack import object_storage as start_object_storage
from tests.unit.registry.images import push


def test_two_servers_have_buckets_of_one_name(object_storage: ObjectStorage, tmp_path: Path,
                                              monkeypatch: pytest.MonkeyPatch) -> None:
    """What is asked of one, by an option, is neither read nor removed at the other, which the environment names."""
    monkeypatch.chdir(tmp_path)
    with require_service(start_object_storage) as other, RegistryServer(tmp_path / 'registry') as registry:
        for server in (object_storage, other):
            server.bucket('twice')
        push(registry.host, Settings())
        push(registry.host, Settings(), sample_image(variant='other'), 'app:v2')
        source, place = f'registry://{registry.host}/app:*', f's3://twice/p?endpoint={other.endpoint}'
        for destination in ('s3://twice/p', place):
            run_here('process', source, destination, '--receipt', 'receipts').assert_success()
        assert '2/2 current' in run_here('status', source, place).assert_success().err
        there = f'http://{registry.host}/v2/app/manifests'
        digest = httpx.head(f'{there}/v2', trust_env=False).headers['docker-content-digest']
        httpx.delete(f'{there}/{digest}', trust_env=False).raise_for_status()
        for options in ((), ('--receipt', 'receipts')):
            done = run_here('process', f'{source}?prune=true', place, '--prune', *options).assert_success()
            assert ', 1 pruned' in done.err or options
        assert images(other) == 1 and images(object_storage) == 2


def images(server: ObjectStorage) -> int:
    """Return how many records with an image there are."""
    return sum(b'sha256' in server.read('twice', key) for key in server.keys('twice') if '/images/' in key)
