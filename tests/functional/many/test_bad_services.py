"""The services that make a network bad do what their names say, or the tests that use them prove nothing."""
import subprocess
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from http.client import IncompleteRead

import pytest

from tests.services.faults import FaultProxy
from tests.services.registry import Registry
from tests.services.sample import put_sample_image
from tests.services.tiny_image import LAYER_TYPE, MANIFEST_TYPE
from tests.services.uploads import put_blob


@pytest.fixture
def manifest(registry: Registry) -> str:
    """The path of a manifest in the registry."""
    put_sample_image(registry, 'bad/services', 'v1')
    return '/v2/bad/services/manifests/v1'


def get(host: str, path: str) -> str:
    """Return what became of a request."""
    request = urllib.request.Request(f'http://{host}{path}', headers={'Accept': MANIFEST_TYPE})
    try:
        with urllib.request.urlopen(request) as answer:
            answer.read()
            return 'whole'
    except urllib.error.HTTPError as error:
        assert error.headers['Retry-After'] in ('0', '1')
        return str(error.code)
    except (OSError, IncompleteRead):
        return 'lost'


def test_faults_come_in_their_shares_and_the_same_each_time(
        registry: Registry, manifest: str, fault_proxy: Callable[..., FaultProxy]) -> None:
    outcomes = []
    for _ in range(2):
        proxy = fault_proxy(registry.host, refused=0.3, cut=0.3, seed=5)
        outcomes.append([get(proxy.host, manifest) for _ in range(100)])
    assert outcomes[0] == outcomes[1]
    counts = Counter(outcomes[0])
    assert 20 <= counts['429'] + counts['503'] <= 40 and counts['429'] and counts['503']
    assert 10 <= counts['lost'] <= 32 and counts['whole'] >= 35


def test_latency_is_waited_for_connections_and_requests(
        registry: Registry, manifest: str, fault_proxy: Callable[..., FaultProxy]) -> None:
    proxy = fault_proxy(registry.host, latency=0.1)
    started = time.monotonic()
    assert get(proxy.host, manifest) == 'whole'
    assert time.monotonic() - started >= 0.2


def test_transferred_bytes_are_counted(registry: Registry, fault_proxy: Callable[..., FaultProxy]) -> None:
    proxy = fault_proxy(registry.host)
    digest = put_blob(replace(registry, host=proxy.host), 'bad/counted', b'x' * 1000, LAYER_TYPE)['digest']
    assert proxy.blob_writes() == {digest: 1}
    assert [each.received for each in proxy.requests if each.method == 'PUT'] == [1000]
    for _ in range(2):
        urllib.request.urlopen(f'http://{proxy.host}/v2/bad/counted/blobs/{digest}').read()
    assert proxy.blob_reads() == {digest: 2} and proxy.bytes_read() == {digest: 2000}


def test_nginx_speaks_http2_and_limits_bodies(registry: Registry, nginx: Callable[..., Registry],
                                              program: Callable[..., str]) -> None:
    curl, front = program('curl'), nginx(registry, client_max_body_size='1k')

    def ask(*options: str) -> str:
        command = [curl, '-s', '-o', '/dev/null', '--cacert', str(front.ca), '-w', '%{http_version} %{http_code}']
        return subprocess.run([*command, *options], capture_output=True, text=True, check=True).stdout
    assert ask(f'{front.url}/v2/') == '2 200'
    assert ask('--data-binary', 'x' * 2000, f'{front.url}/v2/bad/services/blobs/uploads/') == '2 413'
