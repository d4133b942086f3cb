"""Orders: a copy as a value that travels, for programs and commands that live longer than a run."""
import pickle
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from occystrap_core import (
    AccessDenied, Cancelled, ImageNotFound, OccystrapError, OutputError, Receipt, ServiceUnavailable, Settings,
    UsageError,
)
from occystrap_core.oci import Descriptor, Digest, Manifest, media_types
from occystrap_core.orders import ImageDone, ImageOrder, NothingToFilter, require_possible, run_order
from occystrap_registry.server.server_thread import RegistryServer
from occystrap_registry.server.storage import Storage
from tests.services.proxied import wait_until
from tests.unit.registry.images import HTTP, push, put_manifest

FILTER = 'normalize-timestamps'


class Place:
    """A registry with an image `app:v1`; `after` is called after each request."""

    def __init__(self, root: Path) -> None:
        self.storage = Storage(root)
        self.after: Callable[[str], object] = lambda request: None
        self.server = RegistryServer(self.storage, observer=self._observe)

    @property
    def host(self) -> str:
        """Its address."""
        return self.server.host

    @property
    def connections(self) -> set[object]:
        """Those that are open."""
        return {*self.server._server.server_state.connections}

    def _observe(self, method: str, path: str, status: int) -> None:
        self.after(f'{method} {path}')

    def order(self, to: str = 'copy:v1', *filters: str, name: str = 'app:v1') -> ImageOrder:
        """Return the order to copy an image within the registry."""
        return ImageOrder(f'registry://{self.host}/{name}', f'registry://{self.host}/{to}', filters)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A running one."""
    made = Place(tmp_path / 'registry')
    with made.server:
        pushed = Settings()
        push(made.host, pushed)
        pushed.shared.close()
        yield made


@pytest.fixture
def lasting(settings: Settings) -> Iterator[Settings]:
    """Settings of somebody who gives several orders."""
    yield settings
    settings.shared.close()


def test_order_and_result_travel(place: Place, lasting: Settings) -> None:
    order: ImageOrder = pickle.loads(pickle.dumps(place.order('copy:v1', FILTER)))
    done: ImageDone = pickle.loads(pickle.dumps(run_order(order, lasting)))
    assert done.order == order and done.outcome == 'verified' and done.require() is done
    receipt = Receipt.from_json(done.receipt)
    assert receipt.sealed and receipt.verdict and receipt.verdict.outcome == 'verified'
    stored = HTTP.get(f'http://{place.host}/v2/copy/manifests/v1', headers={'Accept': media_types.OCI_MANIFEST})
    assert Digest.of(stored.content) == receipt.manifest_digest == done.digest == done.report['manifest_digest']


def test_facts_about_hosts_last_and_findings_at_destinations_do_not(place: Place, lasting: Settings) -> None:
    first, connections = run_order(place.order('copy:v1', FILTER), lasting), place.connections
    for path in place.storage.layout('copy').glob('blobs/sha256/*'):
        place.storage.discard_blob('copy', Digest.of_hex(path.name))
    assert run_order(place.order('copy:v1', FILTER), lasting).outcome == 'verified'
    assert all(place.storage.has_blob('copy', each.digest) for each in Receipt.from_json(first.receipt).expectations)
    assert connections & place.connections
    lasting.shared.close()
    assert run_order(place.order('copy:v1', FILTER), lasting).succeeded
    wait_until(lambda: not connections & place.connections)  # the server may notice later that they are closed


@pytest.mark.parametrize(('source', 'kind', 'message'), [
    ('registry://{host}/app:v2', ImageNotFound, 'app:v2 does not exist; available: v1'),
    ('registry://127.0.0.1:1/app:v1', ServiceUnavailable, '127.0.0.1:1'),
    ('nowhere://app', UsageError, 'nowhere://'),
    ('registry://{host}/*:*', UsageError, 'names 2 images: choose one'),
    ('registry://ann:secret-word@{host}/app:v1', UsageError, 'has a login in it'),
    ('registry://{host}/app:v1?username=ann&password=secret-word', UsageError, 'has a login in it'),
])
def test_failures_are_values_with_a_type(place: Place, settings: Settings, source: str, kind: type[OccystrapError],
                                         message: str) -> None:
    push(place.host, settings, name='other:v1')
    order = ImageOrder(source.replace('{host}', place.host), f'registry://{place.host}/copy-{{repository}}:{{tag}}')
    done = run_order(order, replace(settings, retries=0))
    travelled = pickle.loads(pickle.dumps(done)).error
    assert type(done.error) is type(travelled) and isinstance(travelled, kind) and message in str(travelled)
    assert not (done.succeeded or done.outcome or done.receipt) and 'secret-word' not in str(travelled)
    with pytest.raises(kind):
        done.require()


def test_a_login_that_is_missing(private: RegistryServer, place: Place, settings: Settings) -> None:
    done = run_order(place.order()._replace(source=f'registry://{private.host}/app:v1'), settings)
    assert isinstance(done.error, AccessDenied)


@pytest.fixture
def private(tmp_path: Path) -> Iterator[RegistryServer]:
    """A registry that needs a password."""
    with RegistryServer(tmp_path / 'private', password='secret') as running:
        yield running


def test_an_image_lost_after_writing_is_a_failure(place: Place, settings: Settings) -> None:
    def lose(request: str) -> None:
        if request == 'PUT /v2/copy/manifests/v1':
            for path in place.storage.layout('copy').glob('blobs/sha256/*'):
                path.unlink()
    place.after = lose
    done = run_order(place.order('copy:v1', FILTER), settings)
    assert done.outcome == 'failed' and isinstance(done.error, OutputError) and done.receipt
    assert f'registry://{place.host}/copy:v1 is not what was written: ' in str(done.error)


def test_an_artifact_has_nothing_to_filter(place: Place, settings: Settings) -> None:
    data = b'chart'
    HTTP.post(f'http://{place.host}/v2/app/blobs/uploads/', params={'digest': Digest.of(data)}, content=data)
    part = Descriptor('application/x-chart', Digest.of(data), len(data))
    put_manifest(place.host, Manifest.build(part, [part]).raw, 'chart', media_types.OCI_MANIFEST)
    order = place.order('copy:chart', FILTER, name='app:chart')
    assert type(run_order(order, settings).error) is NothingToFilter
    assert run_order(order._replace(filters=()), settings).succeeded


def test_a_failed_order_leaves_others_alone_and_all_can_be_cancelled(place: Place, settings: Settings) -> None:
    assert run_order(place.order(name='app:missing'), settings).error
    assert not settings.cancellation.cancelled and run_order(place.order(), settings).succeeded
    settings.cancellation.cancel()
    with pytest.raises(Cancelled):
        run_order(place.order('another:v1'), settings)


@pytest.mark.parametrize(('order', 'message'), [
    (ImageOrder('registry://h/a', 'registry://h/b', ('normalise',)), 'normalise'),
    (ImageOrder('registry://h/a', 'registry://h/b', ('exclude:pat=x',)), "pat"),
    (ImageOrder('registry://h/a', 'registry://h/b?colour=red'), "colour"),
    (ImageOrder('registry://h/a', 'registry://ann:word@h/b'), 'has a login in it'),
    (ImageOrder('registry://h/a', 'registry://h/b', (), 'linux/'), 'linux/')])
def test_impossible_orders_are_refused_beforehand(order: ImageOrder, message: str, settings: Settings) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        require_possible(order, settings)
    assert 'ann:word' not in str(caught.value)
