"""`occystrap proxy` as it ends: what is under way may end, within its time."""
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from occystrap_core.oci import Descriptor, Digest, Manifest, media_types
from occystrap_core.testing.sample import sample_config, sample_layers
from tests.services.command_line import CommandLine
from tests.services.proxied import Registry, started
from tests.services.served import proxied
from tests.unit.registry.images import HTTP
from tests.unit.registry.scripted import Answer, Scripted


class Gated(Registry):
    """A registry that takes no manifest before its gate is open."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.gate, self.reached = threading.Event(), threading.Event()
        self.storage.fault = self._wait

    def _wait(self, kind: str, data: bytes) -> bytes:
        if kind == 'manifest':
            self.reached.set()
            assert self.gate.wait(20)
        return data


@pytest.fixture
def downstream(tmp_path: Path) -> Iterator[Gated]:
    with started(Gated(tmp_path / 'down')) as running:
        yield running
        running.gate.set()


def send(host: str) -> httpx.Response:
    """Push the sample image; return the answer to its manifest."""
    blobs = [sample_config(sample_layers()), *sample_layers()]
    for data in blobs:
        HTTP.post(f'http://{host}/v2/app/blobs/uploads/', params={'digest': Digest.of(data)}, content=data
                  ).raise_for_status()
    config, *layers = [Descriptor(media_types.OCI_LAYER, Digest.of(data), len(data)) for data in blobs]
    config = Descriptor(media_types.OCI_CONFIG, config.digest, config.size)
    return HTTP.put(f'http://{host}/v2/app/manifests/v1', content=Manifest.build(config, layers).raw, timeout=30,
                    headers={'Content-Type': media_types.OCI_MANIFEST})


@pytest.mark.parametrize(('drain', 'ends'), [('20', True), ('0.3', False)])
def test_a_push_under_way_may_end(drain: str, ends: bool, occystrap: CommandLine, downstream: Gated, tmp_path: Path,
                                  ) -> None:
    """After SIGTERM nobody else is heard; where its time is up, a push fails, and leaves no tag."""
    with proxied(occystrap, '-d', f'registry://{downstream.host}', '-f', 'normalize-timestamps', '--drain', drain,
                 '--storage', tmp_path / 'p') as proxy, ThreadPoolExecutor(1) as threads:
        pushed = threads.submit(send, host := proxy.host)
        assert downstream.reached.wait(20)
        proxy.process.send_signal(signal.SIGTERM)
        assert proxy.hear() == f'Stopping: requests under way have {float(drain):.0f} seconds to end'
        if ends:
            with pytest.raises(httpx.TransportError):
                while HTTP.get(f'http://{host}/healthz'):
                    pass
            downstream.gate.set()
            assert pushed.result().status_code == 201
        else:
            answer = pushed.result()
            assert answer.status_code == 503 and answer.headers['retry-after'] == '10'
            assert answer.json()['errors'][0]['code'] == 'UNAVAILABLE'
        assert proxy.process.wait(20) == 0
    downstream.gate.set()
    tags = HTTP.get(f'http://{downstream.host}/v2/app/tags/list')
    assert tags.json().get('tags', []) == (['v1'] if ends else [])


def test_who_names_no_registry_hears_of_it(occystrap: CommandLine, tmp_path: Path) -> None:
    """It may be one nevertheless, so the proxy starts."""
    with Scripted() as web:
        web.routes['GET /v2/'] = Answer(200, b'<html>', [('Content-Type', 'text/html')])
        with proxied(occystrap, '-d', f'registry://{web.host}', '--storage', tmp_path / 'p') as proxy:
            assert proxy.hear().startswith(f'occystrap: warning: {web.host} does not answer as a registry')
