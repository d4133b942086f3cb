"""What a registry does besides answering: lists of layouts, garbage collection, and what it says when that fails."""
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from occystrap_core import ServiceUnavailable
from occystrap_registry.commands.server_options import until_signal
from occystrap_registry.server import upkeep
from occystrap_registry.server.server_thread import RegistryServer
from occystrap_registry.server.storage import Storage
from occystrap_registry.server.upkeep import Upkeep
from tests.unit.registry.images import HTTP
from tests.unit.registry.server.test_garbage import age
from tests.unit.registry.server.test_storage import LAYER, add, entries, image


@pytest.fixture
def storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Storage:
    """A storage that is looked after all the time."""
    monkeypatch.setattr(upkeep, '_QUIET', 0.01)
    monkeypatch.setattr(upkeep, '_COLLECTING', 0.0)
    return Storage(tmp_path / 'storage')


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_garbage_goes_and_lists_follow_while_it_runs(storage: Storage) -> None:
    image(storage, 'v1')
    lost = add(storage, LAYER)
    age(storage)
    with Upkeep(storage, untagged=False, is_busy=lambda name: False):
        wait_for(lambda: not storage.blob(lost).exists())
        digest = image(storage, 'v2', config=b'{}')
        wait_for(lambda: ('v2', digest) in entries(storage))


def test_a_mistake_of_ours_stops_nothing(storage: Storage, capsys: pytest.CaptureFixture[str],
                                         monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread goes on, and says it once: otherwise the disk would fill up, unnoticed."""
    monkeypatch.setattr(upkeep, 'collect', lambda *arguments: {}['x'])
    with Upkeep(storage, untagged=False, is_busy=lambda name: False):
        wait_for(lambda: "upkeep failed: KeyError: 'x'; report it" in capsys.readouterr().err)
        image(storage, 'v1')
        wait_for((storage.layout('app') / 'index.json').exists)
    assert 'upkeep failed' not in capsys.readouterr().err


def test_untagged_images_go_beside_a_repository_without_any(storage: Storage) -> None:
    """To which a blob was pushed, and nothing else."""
    digest = image(storage)
    add(storage, LAYER, 'a/new')
    age(storage)
    with Upkeep(storage, untagged=True, is_busy=lambda name: False):
        wait_for(lambda: not storage.blob(digest).exists())


def test_lists_are_current_at_the_end(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, '_QUIET', 60.0)
    with Upkeep(storage, untagged=False, is_busy=lambda name: False):
        digest = image(storage, 'v1')
    assert entries(storage) == {('v1', digest)}


def test_uploads_in_progress_are_left_alone(storage: Storage) -> None:
    with RegistryServer(storage) as server:
        assert server.uploads
        HTTP.post(f'http://{server.host}/v2/app/blobs/uploads/')
        assert server.uploads.is_under_way('app') and not server.uploads.is_under_way('other')


def test_a_failure_is_said_once_and_stops_nothing(storage: Storage, capsys: pytest.CaptureFixture[str]) -> None:
    digest = image(storage, 'v1')
    lost = add(storage, LAYER, 'other')
    image(storage, 'v1', repository='other', config=b'{}')
    storage.blob(digest).write_bytes(b'{}')
    age(storage)
    with Upkeep(storage, untagged=False, is_busy=lambda name: False):
        wait_for(lambda: not storage.blob(lost).exists())
        wait_for(lambda: 'is damaged' in capsys.readouterr().err)
        time_to_say_it_again = storage.blob(add(storage, LAYER, 'other'))
        age(storage)
        wait_for(lambda: not time_to_say_it_again.exists())
    assert 'is damaged' not in capsys.readouterr().err


def test_a_server_that_ends_by_itself_is_an_error(storage: Storage) -> None:
    with RegistryServer(storage) as server:
        server.stop()
        with pytest.raises(ServiceUnavailable, match='has stopped unexpectedly'):
            with until_signal(server, 1):
                pass
