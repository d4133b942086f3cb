"""HOSTILE, rows 66 and 67: whatever downstream, upstream and clients do, nothing is answered for that is not proved.

The proxy serves others afterwards.
"""
import base64
import errno
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import bcrypt
import httpx
import pytest

from occystrap_core import Settings, VerifyLevel
from occystrap_core.oci import Descriptor, Digest, Manifest, media_types
from occystrap_core.testing.sample import sample_config, sample_image, sample_layers
from occystrap_registry.proxy.image_orders import Limits
from occystrap_registry.proxy.opened_proxy import Proxy, open_proxy
from occystrap_registry.server.access import USER
from occystrap_registry.server.accounts import Accounts
from occystrap_registry.server.problems import Problem
from occystrap_registry.server.recent_images import FAILED
from occystrap_registry.server.server_thread import ServerSettings
from tests.services.proxied import Proxied, Registry, proxied, remote, started, wait_until, trusting
from tests.unit.registry.images import push
from tests.unit.registry.scripted import Answer, Scripted

FILTER = 'normalize-timestamps'


@pytest.fixture(autouse=True)
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No logins of whoever runs the tests."""
    for name in ('OCCYSTRAP_USERNAME', 'OCCYSTRAP_PASSWORD', 'REGISTRY_AUTH_FILE'):
        monkeypatch.delenv(name, raising=False)
    for name in ('DOCKER_CONFIG', 'XDG_RUNTIME_DIR', 'XDG_CONFIG_HOME'):
        monkeypatch.setenv(name, str(tmp_path / 'nothing'))


def send(proxy: Proxied, name: str = 'app', reference: str = 'v1') -> httpx.Response:
    """Push the sample image by plain requests; return the answer to its manifest."""
    blobs = [sample_config(sample_layers()), *sample_layers()]
    for blob in blobs:
        proxy.request('POST', f'{name}/blobs/uploads/?digest={Digest.of(blob)}', content=blob).raise_for_status()
    config, *layers = [Descriptor(media_types.OCI_LAYER, Digest.of(blob), len(blob)) for blob in blobs]
    manifest = Manifest.build(Descriptor(media_types.OCI_CONFIG, config.digest, config.size), layers)
    return proxy.request('PUT', f'{name}/manifests/{reference}', content=manifest.raw,
                         headers={'Content-Type': manifest.media_type})


def changed(data: bytes) -> bytes:
    """Return other bytes of the same size."""
    return data[:-1] + bytes([data[-1] ^ 1])


def raising(error: Exception) -> Callable[[str, bytes], bytes]:
    """Return a fault that raises an error for a manifest."""
    def fault(kind: str, data: bytes) -> bytes:
        if kind == 'manifest':
            raise error
        return data
    return fault


@pytest.mark.parametrize('filters', [(), (FILTER,)])
@pytest.mark.parametrize(('fault', 'level', 'status', 'reason'), [
    (lambda kind, data: changed(data) if kind == 'manifest' else data, VerifyLevel.FAST, 0, 'digest'),
    (lambda kind, data: changed(data) if kind == 'blob' else data, VerifyLevel.FULL, 0, 'digest'),
    (lambda kind, data: data[:-1] if kind == 'blob' else data, VerifyLevel.FAST, 0, ''),
    (raising(OSError(errno.ENOSPC, 'no space left')), VerifyLevel.FAST, 507, 'no space left'),
    (raising(Problem(403, 'DENIED', 'not for you')), VerifyLevel.FAST, 502, 'not for you'),
    (raising(Problem(500, 'UNKNOWN', 'broken')), VerifyLevel.FAST, 0, 'broken'),
    (raising(Problem(429, 'TOOMANYREQUESTS', 'slower')), VerifyLevel.FAST, 503, 'slower'),
], ids=['lies about manifests', 'lies about blobs', 'cuts blobs', 'full', 'refuses', 'broken', 'limits'])
def test_a_bad_downstream_is_never_a_201(tmp_path: Path, fault: Callable[[str, bytes], bytes], level: VerifyLevel,
                                         status: int, reason: str, filters: tuple[str, ...]) -> None:
    with proxied(tmp_path, filters, level=level) as proxy:
        proxy.down.storage.fault = fault
        answer = send(proxy)
        error, = answer.json()['errors']
        assert answer.status_code in ({status} if status else {500, 502, 503})
        assert reason in error['message'] and proxy.recent.newest()[0].outcome == FAILED
        assert proxy.manifest('app').status_code == 404 and not [*proxy.down.storage.files.root.glob('**/_tags/*')]
        assert proxy.request('GET', '').status_code == 200
        proxy.down.storage.fault = None
        if level is VerifyLevel.FAST and 'digest' not in reason:
            assert send(proxy, 'other').status_code == 201


def test_a_downstream_that_is_down_or_silent(tmp_path: Path) -> None:
    with proxied(tmp_path) as proxy:
        assert send(proxy).status_code == 201
        proxy.down.server.stop()
        answer = send(proxy, reference='v2')
        assert answer.status_code == 503 and answer.headers['retry-after']
        assert proxy.manifest('app').status_code == 503 and proxy.blob('app', Digest.of(b'1')).status_code == 503
        assert proxy.request('GET', '').status_code == 200


def test_an_image_has_a_deadline(tmp_path: Path) -> None:
    gate = threading.Event()

    def wait(kind: str, data: bytes) -> bytes:
        gate.wait(20)
        return data
    with proxied(tmp_path, limits=Limits(deadline=0.3)) as proxy:
        proxy.down.storage.fault = wait
        try:
            answer = send(proxy)
        finally:
            gate.set()
        assert answer.status_code == 504 and '--deadline' in answer.text and proxy.manifest('app').status_code == 404


@pytest.mark.parametrize('upstream', [False, True])
def test_a_manifest_that_is_damaged_downstream_is_not_served(tmp_path: Path, upstream: bool) -> None:
    with proxied(tmp_path, upstream=upstream) as proxy:
        push(proxy.up.host if proxy.up else proxy.host, Settings())
        good = proxy.manifest('app')
        path = proxy.down.storage.blob(Digest(good.headers['docker-content-digest']))
        path.write_bytes(changed(path.read_bytes()))
        after = proxy.manifest('app')
        if upstream:  # it is copied again
            assert after.status_code == 200 and after.content == good.content == path.read_bytes()
        else:
            assert after.status_code in (500, 502) and 'digest' in after.text


def test_a_blob_that_is_damaged_downstream_is_never_complete(tmp_path: Path) -> None:
    large = os.urandom(5 << 20)
    with proxied(tmp_path) as proxy:
        push(proxy.host, Settings())
        layer = Manifest.parse(proxy.manifest('app').content).layers[0]
        part = Descriptor('text/plain', Digest.of(large), len(large))
        config = replace(Manifest.parse(proxy.manifest('app').content).config, media_type='text/plain')

        def put() -> None:
            proxy.request('POST', f'app/blobs/uploads/?digest={part.digest}', content=large).raise_for_status()
            proxy.request('PUT', 'app/manifests/large', content=Manifest.build(config, [part]).raw,
                          headers={'Content-Type': media_types.OCI_MANIFEST}).raise_for_status()
        put()
        assert proxy.blob('app', part.digest).content == large
        for digest in (layer.digest, part.digest):
            path = proxy.down.storage.blob(digest)
            path.write_bytes(changed(path.read_bytes()))
        small = proxy.blob('app', layer.digest)
        assert small.status_code == 502 and 'digest' in small.text
        with pytest.raises(httpx.RemoteProtocolError):
            proxy.blob('app', part.digest)
        assert proxy.blob('app', part.digest, Range='bytes=0-3').status_code in (206, 502)
        assert proxy.request('GET', '').status_code == 200
        put()
        assert proxy.blob('app', part.digest).content == large, 'it was sent again'


def test_a_client_that_goes_away_harms_nobody(tmp_path: Path) -> None:
    with proxied(tmp_path) as proxy:
        host, port = proxy.host.split(':')
        upload = proxy.request('POST', 'app/blobs/uploads/').headers['location']
        for head in (f'PATCH {upload} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nabc',
                     'PUT /v2/app/manifests/v1 HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{'):
            with socket.create_connection((host, int(port))) as connection:
                connection.sendall(head.encode())
        push(proxy.host, Settings())
        digest = Manifest.parse(proxy.manifest('app').content).config.digest
        for _ in range(5):
            with socket.create_connection((host, int(port))) as connection:
                connection.sendall(f'GET /v2/app/blobs/{digest} HTTP/1.1\r\nHost: x\r\n\r\n'.encode())
        assert send(proxy, 'other').status_code == 201 and proxy.manifest('app', 'v1').status_code == 200


def test_a_client_that_goes_while_its_image_is_stored_leaves_it_whole(tmp_path: Path) -> None:
    with proxied(tmp_path) as proxy:
        send(proxy, 'before')
        gate, begun = threading.Event(), threading.Event()

        def wait(kind: str, data: bytes) -> bytes:
            begun.set()
            gate.wait(10)
            return data
        proxy.down.storage.fault = wait
        with pytest.raises(httpx.ReadTimeout), httpx.Client(trust_env=False, timeout=0.3) as client:
            client.put(f'http://{proxy.host}/v2/before/manifests/v2', content=proxy.manifest('before').content,
                       headers={'Content-Type': media_types.OCI_MANIFEST})
        assert begun.wait(10)
        gate.set()
        wait_until(lambda: proxy.recent.count == 2)
        assert proxy.manifest('before', 'v2').content == proxy.manifest('before').content


def test_fifty_push_at_once(tmp_path: Path) -> None:
    with proxied(tmp_path, [FILTER]) as proxy:
        answers: list[int] = []
        threads = [threading.Thread(target=lambda name=f'team/{number % 5}', tag=f'v{number % 10}': answers.append(
            send(proxy, name, tag).status_code)) for number in range(50)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert answers == [201] * 50
        assert {proxy.manifest(f'team/{number % 5}', f'v{number % 10}').status_code for number in range(50)} == {200}


def test_there_is_a_quota(tmp_path: Path) -> None:
    with proxied(tmp_path, quota=300_000) as proxy:
        data = os.urandom(400_000)
        answer = proxy.request('POST', f'app/blobs/uploads/?digest={Digest.of(data)}', content=data)
        assert answer.status_code == 507 and '--quota' in answer.text
        assert not list(proxy.down.storage.temporary.iterdir()) and send(proxy).status_code == 201


def test_three_logins_never_mix(tmp_path: Path) -> None:
    """Downstream and upstream let in by passwords of their own, and refuse any other; clients have theirs."""
    users = tmp_path / 'users'
    users.write_text(f'ann:{bcrypt.hashpw(b"of-ann", bcrypt.gensalt(4)).decode()}\n')
    logins = f'{USER}:down@', f'{USER}:up@'
    with proxied(tmp_path, [FILTER], upstream=True, logins=logins, served=ServerSettings(
            access=Accounts(users, anonymous_pull=False))) as proxy:
        assert proxy.up and proxy.manifest('app').status_code == 401
        assert proxy.request('GET', '', auth=(USER, 'down')).status_code == 401
        authorized = trusting(credentials={proxy.up.host: (USER, 'up'), proxy.host: ('ann', 'of-ann')})
        push(proxy.up.host, authorized)
        push(proxy.host, authorized, name='own:v1')
        for name in ('app', 'own'):
            found = proxy.request('GET', f'{name}/manifests/v1', auth=('ann', 'of-ann'))
            assert found.status_code == 200, found.text


def test_a_clients_login_goes_nowhere(tmp_path: Path) -> None:
    """Whatever downstream and upstream ask for, they hear of no client's password."""
    canary = 'canary-5c1f'
    with Scripted() as down, Scripted() as up:
        up.routes['GET /v2/'] = Answer(401, b'', [('WWW-Authenticate', 'Basic realm="x"')])
        settings = Settings(timeout=3.0, retries=0)
        plan = Proxy(tmp_path / 'p', remote(f'{down.host}/d', settings), remote(f'{up.host}/u', settings))
        basic, one = base64.b64encode(f'ann:{canary}'.encode()).decode(), Digest.of(b'1')
        manifest = Manifest.build(Descriptor('text/plain', one, 1), []).raw
        with open_proxy(plan, settings, ServerSettings()) as server, httpx.Client(trust_env=False) as client:
            for authorization in (f'Bearer {canary}', f'Basic {basic}'):
                for method, path, body in (
                        ('GET', 'app/manifests/v1', b''), ('GET', f'app/blobs/{one}', b''),
                        ('HEAD', f'app/blobs/{one}', b''), ('GET', 'app/tags/list', b''), ('GET', '_catalog', b''),
                        ('GET', f'app/referrers/{one}', b''), ('PUT', 'app/manifests/early', manifest),
                        ('POST', f'app/blobs/uploads/?digest={one}', b'1'), ('PUT', 'app/manifests/v1', manifest)):
                    answer = client.request(method, f'http://{server.host}/v2/{path}', content=body,
                                            headers={'Authorization': authorization, 'Cookie': canary}, timeout=20)
                    assert canary not in answer.text and (method != 'PUT' or answer.status_code >= 400)
        heard = json.dumps([[each.target, each.headers] for each in (*down.requests, *up.requests)])
        assert {each.method for each in down.requests} >= {'GET', 'HEAD', 'POST'} and up.requests
        assert canary not in heard and basic not in heard


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Registry]:
    """A registry."""
    with started(Registry(tmp_path / 'own')) as running:
        yield running


def test_the_staging_area_is_nobodys(tmp_path: Path, own: Registry) -> None:
    """It is shown to orders on a port of this machine, which any user can reach: by a password alone."""
    with proxied(tmp_path, down=own) as proxy:
        send(proxy)
        host = next(host for host in proxy.settings.credentials)
        with httpx.Client(trust_env=False) as client:
            for path in ('', 'app/tags/list', '_catalog'):
                assert client.get(f'http://{host}/v2/{path}').status_code == 401
            user, password = proxy.settings.credentials[host]
            assert len(password) == 32 and client.put(
                f'http://{host}/v2/app/manifests/v1', auth=(user, password)).status_code == 405
    assert sample_image().manifest


def test_a_subject_leads_no_image_past_the_filters(tmp_path: Path) -> None:
    """An image with a subject is an image, which anybody pulls by its tag; a signature of one passes as it is."""
    with proxied(tmp_path, [FILTER]) as proxy:
        send(proxy)
        plain = Manifest.parse(proxy.manifest('app').content)
        subject = Descriptor(media_types.OCI_MANIFEST, Digest.of(b'none'), 4)
        document = {**json.loads(plain.raw), 'subject': subject.to_json()}
        raw = json.dumps({**document, 'annotations': {'by': 'somebody'}}).encode()
        image = proxy.request('PUT', 'app/manifests/subject', content=raw,
                              headers={'Content-Type': media_types.OCI_MANIFEST}).raise_for_status()
        assert image.headers['Occystrap-Stored-Digest']
        assert proxy.recent.newest()[0].filters == (FILTER,)
        signature = json.dumps({**document, 'config': {**document['config'], 'mediaType': 'text/plain'}}).encode()
        answer = proxy.request('PUT', f'app/manifests/{Digest.of(signature)}', content=signature,
                               headers={'Content-Type': media_types.OCI_MANIFEST}).raise_for_status()
        assert answer.headers['Occystrap-Stored-Digest'] == Digest.of(signature)
