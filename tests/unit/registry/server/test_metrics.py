"""What collectors read at /metrics: valid, about everything that happened, and never in the words of clients."""
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import bcrypt
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

from occystrap_core import Settings, __version__
from occystrap_core.oci import Digest
from occystrap_registry.server import upkeep
from occystrap_registry.server.accounts import Accounts
from occystrap_registry.server.metrics import Metrics
from occystrap_registry.server.recent_images import FAILED, RecentImage, RecentImages
from occystrap_registry.server.server_thread import RegistryServer, ServerSettings
from occystrap_registry.server.status_page import StatusPage
from occystrap_registry.server.storage import Storage
from occystrap_registry.server.upkeep import Upkeep
from tests.unit.registry.images import HTTP, push
from tests.unit.registry.server.test_access import login
from tests.unit.registry.server.test_garbage import age
from tests.unit.registry.server.test_storage import LAYER, add
from tests.unit.registry.server.test_upkeep import wait_for

Samples = dict[tuple[str, ...], float]


@contextmanager
def watched(root: Path | Storage, **settings: object) -> Iterator[tuple[str, Metrics]]:
    """Serve a storage with its metrics and its page; gives where it is."""
    recent = RecentImages()
    metrics = Metrics(recent)
    page = StatusPage('a registry', 'somewhere', metrics)
    given = ServerSettings(logs=[metrics], recent=recent, routes=[*metrics.routes(), *page.routes()])
    with RegistryServer(root, settings=given._replace(**settings)) as server:  # type: ignore[arg-type]
        yield f'http://{server.host}', metrics


def samples(place: str) -> Samples:
    """Return all numbers by name and the values of labels, in the order of their names."""
    text = HTTP.get(f'{place}/metrics').text
    return {(sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
            for family in prometheus(text) for sample in family.samples}


def test_requests_are_counted(tmp_path: Path) -> None:
    with watched(tmp_path) as (place, metrics):
        host = place.removeprefix('http://')
        receipt = push(host, Settings())
        digest = receipt.of_kind('layer')[0].digest
        content = HTTP.get(f'{place}/v2/app/blobs/{digest}').content
        HTTP.get(f'{place}/v2/app/blobs/{Digest.of(b"none")}')
        HTTP.post(f'{place}/v2/app/blobs/uploads/')
        before = samples(place)
        HTTP.post(f'{place}/v2/app/blobs/uploads/', params={'digest': Digest.of(b'12345')}, content=b'12345')
        found = samples(place)
    assert found['occystrap_requests_total', '200', 'GET', 'blobs'] == 1
    assert found['occystrap_requests_total', '404', 'GET', 'blobs'] == 1
    assert found['occystrap_requests_total', '201', 'PUT', 'manifests'] == 1
    assert found['occystrap_request_duration_seconds_count', 'GET', 'blobs'] == 2
    assert found['occystrap_received_bytes_total',] - before['occystrap_received_bytes_total',] == 5
    assert found['occystrap_sent_bytes_total',] >= len(content)
    assert found['occystrap_stored_total', 'blobs'] == len(receipt.of_kind('layer')) + 2
    assert found['occystrap_stored_total', 'manifests'] == found['occystrap_images_total', 'push', 'stored'] == 1
    assert found['occystrap_uploads',] == 1 and found['occystrap_connections',] >= 1
    assert found['occystrap_disk_size_bytes',] > found['occystrap_disk_free_bytes',] > 0
    assert found['occystrap_build_info', __version__] == 1 and found['process_resident_memory_bytes',] > 1_000_000


def test_both_formats(tmp_path: Path) -> None:
    with watched(tmp_path) as (place, _):
        text = HTTP.get(f'{place}/metrics', headers={'Accept': 'application/openmetrics-text; version=1.0.0'})
        assert text.headers['content-type'].startswith('application/openmetrics-text')
        assert 'occystrap_requests' in {family.name for family in open_metrics(text.text)}
        plain = HTTP.get(f'{place}/metrics')
        assert plain.headers['content-type'].startswith('text/plain; version=')


@pytest.mark.parametrize('path', ['/v2/{}/blobs/x', '/v2/{}/manifests/{}', '/v2/{}/tags/list', '/{}', '/v2/{}',
                                  '/v2/{}/blobs/uploads/{}', '/v2/{}/referrers/{}', '/status/{}'])
def test_no_label_is_what_clients_say(path: str, tmp_path: Path) -> None:
    with watched(tmp_path) as (place, _):
        samples(place)
        before = set(samples(place))
        for number in range(3):
            HTTP.request(f'SECRET{number}', place + path.format(*[f'secret{number}'] * 2), headers={
                'User-Agent': 'secret', 'Host': 'secret'})
        text = HTTP.get(f'{place}/metrics').text
        assert 'secret' not in text.lower()
        assert len(set(samples(place)) - before) < 15, 'of one method, route and code'


def test_who_goes_before_an_answer_is_counted(tmp_path: Path) -> None:
    with watched(tmp_path) as (place, _):
        host, _, port = place.removeprefix('http://').partition(':')
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(b'POST /v2/app/blobs/uploads/?digest=' + Digest.of(b'x').encode() +
                               b' HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx')
            wait_for(lambda: samples(place)['occystrap_uploads',] == 1)
        wait_for(lambda: samples(place).get(('occystrap_requests_total', '0', 'POST', 'uploads')) == 1)
        assert samples(place)['occystrap_uploads',] == 0


def test_garbage_and_what_is_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, '_QUIET', 0.01)
    monkeypatch.setattr(upkeep, '_COLLECTING', 0.3)
    storage = Storage(tmp_path / 'storage')
    add(storage, LAYER)
    with watched(storage) as (place, metrics), Upkeep(storage, False, lambda name: False, metrics):
        wait_for(lambda: samples(place)['occystrap_storage_bytes',] == len(LAYER))
        push(place.removeprefix('http://'), Settings(), name='other:v1')
        age(storage)
        wait_for(lambda: samples(place)['occystrap_collected_bytes_total',] == len(LAYER))
        wait_for(lambda: samples(place)['occystrap_storage_blobs',] == 5)
        assert samples(place)['occystrap_collected_total', 'blobs'] == 1


def test_with_logins_names_and_numbers_need_one(tmp_path: Path) -> None:
    """Also where pulling needs none: a page that lists images tells more than who knows a name may pull."""
    (tmp_path / 'users').write_text(f'ann:{bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()}\n')
    recent = RecentImages()
    recent.add(RecentImage('hidden/app:v1', outcome=FAILED, reason='hidden'))
    for anonymous in (True, False):
        access = Accounts(tmp_path / 'users', anonymous)
        with watched(tmp_path / 'storage', access=access, recent=recent) as (place, _):
            token = {'Authorization': f'Bearer {HTTP.get(f"{place}/token").json().get("token")}'}
            for path in ('/', '/status', '/metrics', '/status.js', '//', '/v2/../status', '/status?x=/v2/'):
                for headers in ({}, token, login('ann', 'wrong')):
                    answer = HTTP.get(place + path, headers=headers)
                    assert answer.status_code == 401 and 'hidden' not in answer.text, path
                    assert answer.headers['www-authenticate'] == 'Basic realm="occystrap"', 'a browser asks for it'
            right = login('ann', 'secret')
            assert 'hidden/app:v1' in HTTP.get(place, headers=right).text
            assert HTTP.get(f'{place}/metrics', headers=right).status_code == 200


def test_who_only_has_a_secret_serves_neither(tmp_path: Path) -> None:
    with RegistryServer(tmp_path) as server:
        for path in ('/', '/status', '/metrics'):
            assert HTTP.get(f'http://{server.host}{path}').status_code == 404
