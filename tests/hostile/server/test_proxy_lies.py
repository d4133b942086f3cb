"""A downstream that says 201 and keeps other bytes of the same size: by default nobody hears 201 or 200 of it.

HOSTILE, rows 66 and 67. Each blob is read back once, and again when it was sent again.
"""
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import httpx
import pytest

from occystrap_core import Settings
from occystrap_core.oci import Descriptor, Digest, Manifest, media_types
from occystrap_core.testing.sample import sample_layers
from occystrap_registry.distribution.blob_upload import BlobUpload
from occystrap_registry.distribution.upload_session import UploadSession
from occystrap_registry.proxy.image_orders import ImageOrders
from occystrap_registry.proxy.known_digests import KnownDigests
from occystrap_registry.server.problems import Problem
from occystrap_registry.server.recent_images import FAILED
from tests.hostile.server.test_proxy import changed, send
from tests.services.command_line import CommandLine
from tests.services.proxied import ACCEPT, Proxied, Registry, proxied, started
from tests.services.served import proxied as proxied_by_command
from tests.unit.registry.images import HTTP, push

FILTER = 'normalize-timestamps'
FILTERS = pytest.mark.parametrize('filters', [(), (FILTER,)])


@pytest.fixture
def down(tmp_path: Path) -> Iterator[Registry]:
    """A registry."""
    with started(Registry(tmp_path / 'own')) as running:
        yield running


def lie(kind: str, data: bytes) -> bytes:
    """Return other bytes of a layer."""
    return changed(data) if kind == 'blob' and data[:1] != b'{' else data


def blobs_read(registry: Registry) -> int:
    """Return how many blobs were read from a registry, of which one is a config, and forget all requests."""
    count = sum(count for request, count in registry.requests.items()
                if request.startswith('GET ') and '/blobs/' in request)
    registry.requests.clear()
    return count


def require_refused(answer: httpx.Response, proxy: Proxied) -> None:
    """It is an error with a reason, and nothing is to be had."""
    error, = answer.json()['errors']
    assert answer.status_code >= 500 and 'digest' in error['message'] and error['code']
    assert proxy.recent.newest()[0].outcome == FAILED
    assert not [*proxy.down.storage.files.root.glob('**/_tags/*')]


@FILTERS
def test_a_push_to_a_liar_is_never_a_201(tmp_path: Path, filters: tuple[str, ...]) -> None:
    with proxied(tmp_path, filters) as proxy:
        proxy.down.storage.fault = lie
        require_refused(send(proxy), proxy)
        assert proxy.manifest('app').status_code == 404
        proxy.down.storage.fault = None
        assert send(proxy).status_code == 201
        for layer in Manifest.parse(proxy.manifest('app').content).layers:
            assert Digest.of(proxy.blob('app', layer.digest).content) == layer.digest


@FILTERS
def test_a_pull_through_a_liar_is_never_a_200(tmp_path: Path, filters: tuple[str, ...]) -> None:
    with proxied(tmp_path, filters, upstream=True) as proxy:
        assert proxy.up
        push(proxy.up.host, Settings())
        proxy.down.storage.fault = lie
        for _ in range(2):
            require_refused(proxy.manifest('app'), proxy)
        proxy.down.storage.fault = None
        assert proxy.manifest('app').status_code == 200


@FILTERS
def test_what_a_failed_push_has_left_is_read_back(tmp_path: Path, filters: tuple[str, ...]) -> None:
    """The blob is there when the client tries again, so that nobody sends it."""
    def lie_and_fail(kind: str, data: bytes) -> bytes:
        if kind == 'manifest':
            raise Problem(500, 'UNKNOWN', 'broken')
        return lie(kind, data)
    with proxied(tmp_path, filters) as proxy:
        proxy.down.storage.fault = lie_and_fail
        assert send(proxy).status_code >= 500
        proxy.down.storage.fault = None
        proxy.down.requests.clear()
        require_refused(send(proxy), proxy)
        assert not any(each.startswith('PUT ') and '/blobs/' in each for each in proxy.down.requests)
        assert send(proxy).status_code == 201


@pytest.mark.parametrize('by_digest', [True, False])
def test_what_others_have_put_there_is_read_back(tmp_path: Path, down: Registry, by_digest: bool) -> None:
    """Also where the whole image is there."""
    with proxied(tmp_path / 'others', down=down) as proxy:
        send(proxy).raise_for_status()
        manifest = Manifest.parse(proxy.manifest('app').content)
    path = down.storage.blob(manifest.layers[0].digest)
    path.write_bytes(changed(path.read_bytes()))
    with proxied(tmp_path, down=down) as proxy:
        answer = send(proxy, reference=manifest.digest if by_digest else 'v2')
        assert answer.status_code >= 500 and 'digest' in answer.text
        assert proxy.recent.newest()[0].outcome == FAILED and proxy.manifest('app', 'v2').status_code == 404


@FILTERS
def test_each_blob_is_read_once(tmp_path: Path, down: Registry, filters: tuple[str, ...]) -> None:
    """Also after a restart; one that was gone, and is sent again, is read again."""
    for number, expected in enumerate([len(sample_layers()) + 1, 1]):
        with proxied(tmp_path, filters, down=down) as proxy:
            send(proxy, reference=f'v{number}').raise_for_status()
            assert blobs_read(down) == expected
            send(proxy, reference=f'again{number}').raise_for_status()
            assert blobs_read(down) == 1
    stored = HTTP.get(f'http://{down.host}/v2/mirror/app/manifests/v1', headers=ACCEPT).content
    for each in Manifest.parse(stored).layers:
        HTTP.delete(f'http://{down.host}/v2/mirror/app/blobs/{each.digest}').raise_for_status()
    with proxied(tmp_path, filters, down=down) as proxy:
        down.storage.fault = lie
        assert send(proxy, reference='v3').status_code >= 500
        down.storage.fault = None
        send(proxy, reference='v4').raise_for_status()


def test_a_blob_that_two_pushes_send_is_read_after_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One push begins to send it, another sends it and reads it back, and then the first replaces it."""
    own, is_first = BlobUpload.send, threading.Lock()

    def late(upload: BlobUpload, session: UploadSession | None) -> None:
        if is_first.acquire(blocking=False):
            assert send(proxy, reference='v2').status_code == 201
            proxy.down.storage.fault = lie
        own(upload, session)
    monkeypatch.setattr(ImageOrders, 'alone', lambda *_: nullcontext())
    with proxied(tmp_path) as proxy:
        monkeypatch.setattr(BlobUpload, 'send', late)
        answer = send(proxy)
        assert answer.status_code >= 500 and 'digest' in answer.text
        assert proxy.manifest('app').status_code == 404


def test_who_sends_a_blob_reads_it_whatever_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(KnownDigests, 'is_read', lambda *_: True)
    with proxied(tmp_path) as proxy:
        proxy.down.storage.fault = lie
        require_refused(send(proxy), proxy)


def test_what_is_read_lasts_longer_than_connections(tmp_path: Path) -> None:
    with proxied(tmp_path) as proxy:
        send(proxy).raise_for_status()
        proxy.settings.shared.close()
        proxy.down.requests.clear()
        send(proxy, reference='v2').raise_for_status()
        assert blobs_read(proxy.down) == 1
        proxy.down.storage.fault = lie
        assert send(proxy, 'other').status_code >= 500


def test_a_child_of_an_index_is_read_back(tmp_path: Path) -> None:
    """Whoever puts it by its digest hears that it failed, and so does whoever lists it."""
    with proxied(tmp_path) as proxy:
        send(proxy, 'other').raise_for_status()
        manifest = Manifest.parse(proxy.manifest('other').content)
        proxy.down.storage.fault = lie
        assert send(proxy, reference=manifest.digest).status_code >= 500
        index = {'schemaVersion': 2, 'mediaType': media_types.OCI_INDEX, 'manifests': [
            Descriptor(manifest.media_type, manifest.digest, len(manifest.raw)).to_json()]}
        answer = proxy.request('PUT', 'app/manifests/all', json=index, headers={'Content-Type': media_types.OCI_INDEX})
        assert answer.status_code >= 500 and proxy.manifest('app', 'all').status_code == 404


@pytest.mark.parametrize(('options', 'status'), [
    ((), 502), (('--verify',), 502), (('--verify=full',), 502), (('--verify=fast',), 201)])
def test_what_the_command_believes(occystrap: CommandLine, down: Registry, tmp_path: Path, options: tuple[str, ...],
                                   status: int) -> None:
    """Only fast believes what has the right size; whoever pulls it hears that it is damaged."""
    down.storage.fault = lie
    with proxied_by_command(occystrap, '-d', f'registry://{down.host}/mirror', '--storage', tmp_path / 'p',
                            *options) as proxy:
        there = Proxied(proxy, down, None, None)  # type: ignore[arg-type]
        assert send(there).status_code == status
        if status == 201:
            layer = Manifest.parse(there.manifest('app').content).layers[0]
            assert there.blob('app', layer.digest).status_code == 502
