"""What was answered a moment ago is answered on the event loop if nothing has to be waited for; else on a thread."""
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import pytest

from occystrap_core.oci import Digest
from occystrap_registry.server import warm_answers
from occystrap_registry.server.server_thread import RegistryServer
from occystrap_registry.server.storage import Storage
from occystrap_registry.server.warm_answers import SMALL, WarmPaths
from tests.unit.registry.images import HTTP, put_manifest
from tests.unit.registry.server.test_storage import add, image

ON_LOOP = 'registry'
"""The thread of a server."""


class Watched(Storage):
    """Notes on which threads it is read."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.threads = list[str]()

    def manifest(self, repository: str, reference: Digest | str) -> tuple[Digest, str, bytes]:
        """Note the thread."""
        self.threads.append(threading.current_thread().name)
        return super().manifest(repository, reference)

    def blob_size(self, repository: str, digest: Digest) -> int:
        """Note the thread."""
        self.threads.append(threading.current_thread().name)
        return super().blob_size(repository, digest)

    def seen(self) -> list[bool]:
        """Return whether it was read on the loop, each time since the last call."""
        found, self.threads = [name == ON_LOOP for name in self.threads], []
        return found


def test_the_second_answer_needs_no_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = Watched(tmp_path)
    digest = add(storage, b'a blob')
    image(storage, 'v1')
    with RegistryServer(storage) as server:
        place = f'http://{server.host}/v2/app'
        for method, path in (('GET', 'manifests/v1'), ('HEAD', f'blobs/{digest}')):
            for _ in range(3):
                assert HTTP.request(method, f'{place}/{path}').status_code == 200
            assert storage.seen() == [False, True, True], path
        assert HTTP.get(f'{place}/blobs/{digest}').content == b'a blob'
        monkeypatch.setattr(warm_answers, '_WARM', 0.0)
        HTTP.get(f'{place}/manifests/v1')
        assert storage.seen() == [False]


def test_changes_are_seen_at_once(tmp_path: Path) -> None:
    storage = Watched(tmp_path)
    first, second = image(storage, 'v1'), image(storage, config=b'{"architecture":"arm64","os":"linux"}')
    with RegistryServer(storage) as server:
        place = f'http://{server.host}/v2/app/manifests'
        for _ in range(2):
            assert HTTP.head(f'{place}/v1').headers['docker-content-digest'] == first
        put_manifest(server.host, storage.manifest('app', second)[2], 'v1', storage.manifest('app', second)[1])
        assert HTTP.head(f'{place}/v1').headers['docker-content-digest'] == second
        HTTP.delete(f'{place}/v1')
        assert HTTP.head(f'{place}/v1').status_code == 404 and storage.seen()[-1]


def test_large_manifests_and_what_has_to_wait_stay_on_threads(tmp_path: Path) -> None:
    storage = Watched(tmp_path)
    image(storage, 'v1', config=b'{"architecture":"amd64","os":"linux"}')
    large = storage.manifest('app', 'v1')[2][:-1] + b',"annotations":{"note":"' + b'x' * SMALL + b'"}}'
    storage.seen()
    with RegistryServer(storage) as server:
        put_manifest(server.host, large, 'large', 'application/vnd.oci.image.manifest.v1+json')
        for method in ('HEAD', 'GET', 'GET'):
            assert HTTP.request(method, f'http://{server.host}/v2/app/manifests/large').status_code == 200
        with held(storage):
            for _ in range(2):
                assert HTTP.get(f'http://{server.host}/v2/app/manifests/v1').status_code == 200
        assert storage.seen() == [False] * 5


class Opened(Watched):
    """Notes, too, on which threads blobs are opened."""

    def open_blob(self, repository: str, digest: Digest) -> BinaryIO:
        """Note the thread."""
        self.threads.append(threading.current_thread().name)
        return super().open_blob(repository, digest)


def test_only_who_has_read_a_blob_makes_it_warm(tmp_path: Path) -> None:
    storage = Opened(tmp_path)
    digest = add(storage, b'a blob')
    with RegistryServer(storage) as server:
        place = f'http://{server.host}/v2/app/blobs/{digest}'
        for method, part, is_warm in (('HEAD', None, False), ('HEAD', None, True), ('GET', '0-1', False),
                                      ('GET', '0-1', False), ('GET', None, False), ('GET', '0-1', False),
                                      ('GET', None, True)):
            HTTP.request(method, place, headers={'Range': f'bytes={part}'} if part else {}).raise_for_status()
            assert storage.seen() == [is_warm], (method, part)


class Contended(Watched):
    """Is wanted by another thread while it is read."""

    taken: bool | None = None

    def blob_size(self, repository: str, digest: Digest) -> int:
        """Have another thread try to take the guard at once."""
        with ThreadPoolExecutor() as others:
            self.taken = others.submit(self._take).result(10)
        return super().blob_size(repository, digest)

    def _take(self) -> bool:
        with self.at_hand() as is_at_hand:
            return is_at_hand


def test_nothing_gets_in_between_on_the_loop(tmp_path: Path) -> None:
    storage = Contended(tmp_path)
    digest = add(storage, b'a blob')
    with RegistryServer(storage) as server:
        for is_on_loop in (False, True):
            HTTP.head(f'http://{server.host}/v2/app/blobs/{digest}').raise_for_status()
            assert storage.seen() == [is_on_loop] and storage.taken is not is_on_loop


@contextmanager
def held(storage: Storage) -> Iterator[None]:
    """Hold the guard of a storage on another thread, as garbage collection does."""
    holds, ends = threading.Event(), threading.Event()

    def hold() -> None:
        with storage.guard:
            holds.set()
            ends.wait(10)
    thread = threading.Thread(target=hold)
    thread.start()
    holds.wait(10)
    yield
    ends.set()
    thread.join()


def test_not_everything_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm_answers, '_MOST', 2)
    paths = WarmPaths()
    for path in ('a', 'b', 'a', 'c'):
        paths.add(path)
    assert [path in paths for path in 'abc'] == [True, False, True]
