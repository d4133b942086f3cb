"""The embedded registry keeps the distribution spec: what it takes, what it gives back, what it refuses."""
import hashlib
import json
import os
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from occystrap_core import ServiceUnavailable
from occystrap_core.oci import Descriptor, Digest, Manifest, media_types
from occystrap_registry.server.server_thread import RegistryServer
from tests.unit.registry.images import HTTP

DATA = os.urandom(3 << 20)
DIGEST = Digest.of(DATA)
NOTHING = Digest.of(b'nothing')


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RegistryServer]:
    """A running registry."""
    with RegistryServer(tmp_path) as running:
        yield running


@pytest.fixture
def client(server: RegistryServer) -> Iterator[httpx.Client]:
    """A client of it."""
    with httpx.Client(base_url=f'http://{server.host}', trust_env=False, verify=False) as connected:
        yield connected


def push(client: httpx.Client, data: bytes, name: str = 'a/b') -> Digest:
    """Push a blob in one request."""
    digest = Digest.of(data)
    assert client.post(f'/v2/{name}/blobs/uploads/', params={'digest': digest}, content=data).status_code == 201
    return digest


def code(response: httpx.Response) -> str:
    """Return the code in the OCI error JSON."""
    return str(response.json()['errors'][0]['code'])


def manifest_of(client: httpx.Client, name: str = 'a/b') -> Manifest:
    """Push the parts of an image and return its manifest."""
    parts = [push(client, b'{"config": 1}', name), push(client, b'layer', name)]
    return Manifest.build(Descriptor(media_types.OCI_CONFIG, parts[0], 13),
                          [Descriptor(media_types.OCI_LAYER, parts[1], 5)])


def put(client: httpx.Client, raw: bytes, reference: str = 'v1', kind: str = media_types.OCI_MANIFEST,
        ) -> httpx.Response:
    """Put a manifest."""
    return client.put(f'/v2/a/b/manifests/{reference}', content=raw, headers={'Content-Type': kind})


def test_it_is_a_registry(client: httpx.Client) -> None:
    response = client.get('/v2/')
    assert response.status_code == 200
    assert response.headers['docker-distribution-api-version'] == 'registry/2.0'


def test_blob_in_one_request_comes_back(client: httpx.Client) -> None:
    push(client, DATA)
    response = client.get(f'/v2/a/b/blobs/{DIGEST}')
    assert response.content == DATA and response.headers['docker-content-digest'] == DIGEST
    head = client.head(f'/v2/a/b/blobs/{DIGEST}')
    assert head.status_code == 200 and head.headers['content-length'] == str(len(DATA))


@pytest.mark.parametrize('sizes', [[len(DATA)], [1 << 20, 1 << 20, 1 << 20], [1, 5, len(DATA) - 6]])
def test_blob_in_chunks_comes_back(client: httpx.Client, sizes: list[int]) -> None:
    location, offset = client.post('/v2/a/b/blobs/uploads/').headers['location'], 0
    for size in sizes:
        headers = {'Content-Range': f'{offset}-{offset + size - 1}'}
        response = client.patch(location, content=DATA[offset:offset + size], headers=headers)
        offset += size
        assert response.status_code == 202 and response.headers['range'] == f'0-{offset - 1}'
        location = response.headers['location']
    assert client.get(location).headers['range'] == f'0-{len(DATA) - 1}'
    assert client.put(location, params={'digest': DIGEST}).status_code == 201
    assert client.get(f'/v2/a/b/blobs/{DIGEST}').content == DATA


def test_docker_pushes_by_patch_without_a_range(client: httpx.Client) -> None:
    location = client.post('/v2/a/b/blobs/uploads/').headers['location']
    location = client.patch(location, content=iter([DATA[:1000], DATA[1000:]])).headers['location']
    assert client.put(location, params={'digest': DIGEST}).status_code == 201


@pytest.mark.parametrize('content_range', ['5-9', '0-1', '1-10', '9-0', 'garbage'])
def test_gap_or_overlap_is_416(client: httpx.Client, content_range: str) -> None:
    location = client.post('/v2/a/b/blobs/uploads/').headers['location']
    client.patch(location, content=b'123', headers={'Content-Range': '0-2'})
    response = client.patch(location, content=b'4567', headers={'Content-Range': content_range})
    assert response.status_code == 416 and response.headers['range'] == '0-2'


def test_wrong_or_missing_digest_is_400_and_leaves_nothing(client: httpx.Client, tmp_path: Path) -> None:
    assert code(client.post('/v2/a/b/blobs/uploads/', params={'digest': NOTHING}, content=b'x')) == 'DIGEST_INVALID'
    location = client.post('/v2/a/b/blobs/uploads/').headers['location']
    assert client.put(location, content=b'x').status_code == 400
    assert client.put(location, params={'digest': NOTHING}, content=b'x').status_code == 400
    assert client.put(location, params={'digest': NOTHING}).status_code == 404
    assert not list((tmp_path / 'temporary').iterdir()) and not list((tmp_path / 'blobs/sha256').iterdir())


@pytest.mark.parametrize('digest', ['sha256:', 'sha256:XYZ', '../../etc/passwd', f'sha256:{"A" * 64}', 'md5:00'])
def test_malformed_digests_are_400(client: httpx.Client, digest: str) -> None:
    assert client.get(f'/v2/a/b/blobs/{digest}').status_code in (400, 404)
    assert client.post('/v2/a/b/blobs/uploads/', params={'digest': digest}).status_code == 400


@pytest.mark.parametrize('name', ['..', '%2e%2e/x', 'a/%2e%2e/b', 'UPPER', 'a//b', '-a', 'a' * 256, 'a%00b', '.a'])
def test_malformed_names_are_refused_and_create_nothing(client: httpx.Client, name: str, tmp_path: Path) -> None:
    for request in (client.build_request('POST', f'/v2/{name}/blobs/uploads/'),
                    client.build_request('GET', f'/v2/{name}/manifests/v1'),
                    client.build_request('GET', f'/v2/{name}/tags/list')):
        assert 400 <= client.send(request).status_code < 500
    assert not list((tmp_path / 'temporary').iterdir()) and not list((tmp_path / 'repositories').iterdir())


@pytest.mark.parametrize('upload', ['x', '..', '%2e%2e', '0' * 32, '../../blobs/sha256/x'])
def test_forged_uploads_are_refused(client: httpx.Client, upload: str) -> None:
    for method in ('GET', 'PATCH', 'PUT', 'DELETE'):
        response = client.request(method, f'/v2/a/b/blobs/uploads/{upload}', params={'digest': DIGEST})
        assert 400 <= response.status_code < 500


def test_others_are_served_while_the_room_of_an_upload_is_freed(client: httpx.Client, monkeypatch: pytest.MonkeyPatch,
                                                                ) -> None:
    upload = client.post('/v2/a/b/blobs/uploads/').headers['location']
    client.patch(upload, content=DATA).raise_for_status()
    freed, may_end, real = threading.Event(), threading.Event(), os.close

    def close(descriptor: int) -> None:
        if os.fstat(descriptor).st_size == len(DATA):
            freed.set()
            may_end.wait(10)
        real(descriptor)
    monkeypatch.setattr(os, 'close', close)
    assert client.delete(upload).status_code == 204 and freed.wait(10)
    assert client.get('/v2/').status_code == 200 and not may_end.is_set()
    may_end.set()


def test_upload_of_another_repository_is_unknown(client: httpx.Client) -> None:
    location = client.post('/v2/a/b/blobs/uploads/').headers['location']
    assert client.patch(location.replace('/a/b/', '/c/d/'), content=b'x').status_code == 404
    assert client.delete(location).status_code == 204
    assert client.get(location).status_code == 404


@pytest.mark.parametrize(('requested', 'status', 'first', 'last'), [
    ('bytes=0-3', 206, 0, 3), ('bytes=5-', 206, 5, len(DATA) - 1), ('bytes=-4', 206, len(DATA) - 4, len(DATA) - 1),
    ('bytes=0-', 200, 0, len(DATA) - 1), ('lines=1-2', 200, 0, len(DATA) - 1),
    (f'bytes=10-{len(DATA) + 9}', 206, 10, len(DATA) - 1)])
def test_ranges(client: httpx.Client, requested: str, status: int, first: int, last: int) -> None:
    push(client, DATA)
    response = client.get(f'/v2/a/b/blobs/{DIGEST}', headers={'Range': requested})
    assert response.status_code == status and response.content == DATA[first:last + 1]


def test_range_outside_is_416(client: httpx.Client) -> None:
    push(client, DATA)
    response = client.get(f'/v2/a/b/blobs/{DIGEST}', headers={'Range': f'bytes={len(DATA)}-'})
    assert response.status_code == 416 and response.headers['content-range'] == f'bytes */{len(DATA)}'


def test_empty_blob(client: httpx.Client) -> None:
    digest = push(client, b'')
    assert client.get(f'/v2/a/b/blobs/{digest}').content == b''


def test_blobs_belong_to_repositories_until_mounted(client: httpx.Client) -> None:
    push(client, DATA, 'origin')
    assert code(client.get(f'/v2/other/blobs/{DIGEST}')) == 'BLOB_UNKNOWN'
    mounted = client.post('/v2/other/blobs/uploads/', params={'mount': DIGEST, 'from': 'origin'})
    assert mounted.status_code == 201 and client.get(f'/v2/other/blobs/{DIGEST}').content == DATA
    assert client.post('/v2/other/blobs/uploads/', params={'mount': NOTHING, 'from': 'origin'}).status_code == 202
    assert client.delete(f'/v2/other/blobs/{DIGEST}').status_code == 202
    assert client.head(f'/v2/other/blobs/{DIGEST}').status_code == 404
    assert client.head(f'/v2/origin/blobs/{DIGEST}').status_code == 200


def test_manifest_comes_back_byte_for_byte(client: httpx.Client) -> None:
    manifest = manifest_of(client)
    assert put(client, manifest.raw).status_code == 201
    for reference in ('v1', manifest.digest):
        response = client.get(f'/v2/a/b/manifests/{reference}')
        assert response.content == manifest.raw
        assert response.headers['docker-content-digest'] == manifest.digest
        assert response.headers['content-type'] == media_types.OCI_MANIFEST
        head = client.head(f'/v2/a/b/manifests/{reference}')
        assert head.headers['content-length'] == str(len(manifest.raw)) and head.content == b''


def test_index_of_manifests_that_are_here(client: httpx.Client) -> None:
    manifest = manifest_of(client)
    index = json.dumps({'schemaVersion': 2, 'mediaType': media_types.OCI_INDEX,
                        'manifests': [manifest.descriptor.to_json()]}).encode()
    assert code(put(client, index, 'all', media_types.OCI_INDEX)) == 'MANIFEST_BLOB_UNKNOWN'
    put(client, manifest.raw, manifest.digest)
    assert put(client, index, 'all', media_types.OCI_INDEX).status_code == 201


@pytest.mark.parametrize('raw', [b'', b'not json', b'{}', b'[]', b'null', b'{"schemaVersion": 1}',
                                 b'{"schemaVersion": 2, "layers": [], "config": {}, "manifests": []}'])
def test_invalid_manifests_are_refused(client: httpx.Client, raw: bytes) -> None:
    response = put(client, raw)
    assert response.status_code == 400 and code(response) == 'MANIFEST_INVALID'


def test_manifest_of_missing_blobs_is_400(client: httpx.Client) -> None:
    manifest = Manifest.build(Descriptor(media_types.OCI_CONFIG, NOTHING, 1), [])
    response = put(client, manifest.raw)
    assert response.status_code == 400 and code(response) == 'MANIFEST_BLOB_UNKNOWN'


def test_manifest_under_another_digest_is_400(client: httpx.Client) -> None:
    assert code(put(client, manifest_of(client).raw, NOTHING)) == 'DIGEST_INVALID'


def test_huge_manifest_is_413(client: httpx.Client) -> None:
    assert put(client, b' ' * ((4 << 20) + 1)).status_code == 413


def test_deleting_a_manifest_takes_its_tags(client: httpx.Client) -> None:
    manifest = manifest_of(client)
    put(client, manifest.raw, 'v1')
    put(client, manifest.raw, 'v2')
    assert client.delete('/v2/a/b/manifests/v1').status_code == 202
    assert client.get('/v2/a/b/tags/list').json()['tags'] == ['v2']
    assert client.delete(f'/v2/a/b/manifests/{manifest.digest}').status_code == 202
    assert code(client.get('/v2/a/b/manifests/v2')) == 'MANIFEST_UNKNOWN'


def test_tags_and_catalog_in_pages(client: httpx.Client) -> None:
    manifest = manifest_of(client)
    for number in range(5):
        put(client, manifest.raw, f'v{number}')
    target, seen = '/v2/a/b/tags/list?n=2', []
    while target:
        response = client.get(target)
        seen += response.json()['tags']
        target = response.headers.get('link', '').partition('>')[0].lstrip('<')
    assert seen == ['v0', 'v1', 'v2', 'v3', 'v4']
    assert client.get('/v2/_catalog').json() == {'repositories': ['a/b']}
    assert code(client.get('/v2/nowhere/tags/list')) == 'NAME_UNKNOWN'


@pytest.mark.parametrize('number', ['x', '-1', '9' * 5000, '\u0663'])
def test_malformed_page_sizes_are_400(number: str, client: httpx.Client) -> None:
    response = client.get('/v2/_catalog', params={'n': number})
    assert (response.status_code, code(response)) == (400, 'PAGINATION_NUMBER_INVALID')


def test_unknown_endpoints_and_methods_are_refused_in_json(client: httpx.Client) -> None:
    assert code(client.get('/v1/')) == 'UNSUPPORTED'
    refused = client.patch('/v2/a/b/manifests/v1')
    assert (refused.status_code, code(refused)) == (405, 'UNSUPPORTED')


def raw_request(server: RegistryServer, text: bytes) -> bytes:
    """Send bytes as they are and return the answer's first line."""
    with socket.create_connection(server.host.split(':')[:2], timeout=5) as connection:  # type: ignore[arg-type]
        connection.sendall(text)
        return connection.recv(65536).partition(b'\r\n')[0]


@pytest.mark.parametrize('framing', [b'Content-Length: -1', b'Content-Length: 1\r\nContent-Length: 2',
                                     b'Transfer-Encoding: chunked\r\n\r\nZZ'])
def test_broken_framing_is_400(server: RegistryServer, framing: bytes) -> None:
    answer = raw_request(server, b'POST /v2/a/blobs/uploads/?digest=' + DIGEST.encode() + b' HTTP/1.1\r\nHost: x\r\n'
                         + framing + b'\r\n\r\n')
    assert b' 400 ' in answer


def test_upload_that_breaks_off_leaves_nothing(server: RegistryServer, tmp_path: Path) -> None:
    with socket.create_connection(server.host.split(':')[:2], timeout=5) as connection:  # type: ignore[arg-type]
        connection.sendall(b'POST /v2/a/blobs/uploads/?digest=' + DIGEST.encode()
                           + b' HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n' + bytes(1000))
    for _ in range(50):
        if not list((tmp_path / 'temporary').iterdir()):
            return
        import time
        time.sleep(0.1)
    assert not list((tmp_path / 'temporary').iterdir())


def test_taken_port_is_a_clear_error(server: RegistryServer, tmp_path: Path) -> None:
    with pytest.raises(ServiceUnavailable, match='in use'):
        RegistryServer(tmp_path / 'other', port=int(server.host.partition(':')[2]))


def test_observer_hears_of_requests(tmp_path: Path) -> None:
    heard: list[tuple[str, str, int]] = []
    with RegistryServer(tmp_path, observer=lambda *request: heard.append(request)) as server:
        httpx.get(f'http://{server.host}/v2/', trust_env=False, verify=False)
    assert heard == [('GET', '/v2/', 200)]


def test_a_blob_pushed_in_parallel_is_whole(server: RegistryServer) -> None:
    from concurrent.futures import ThreadPoolExecutor

    def once(_: int) -> int:
        with httpx.Client(base_url=f'http://{server.host}', trust_env=False, verify=False) as client:
            push(client, DATA)
            return len(client.get(f'/v2/a/b/blobs/{DIGEST}').content)

    with ThreadPoolExecutor(6) as threads:
        assert set(threads.map(once, range(12))) == {len(DATA)}
    assert hashlib.sha256(DATA).hexdigest() == DIGEST.hex


def test_fifty_clients_at_once(server: RegistryServer) -> None:
    """Each pushes an image of its own upon a layer of all, moves one tag of all, and pulls both back."""
    shared = os.urandom(300_000)

    def client(number: int) -> None:
        own, place = f'{number}'.encode() * 50_000, f'http://{server.host}/v2/many/app{number % 5}'
        for data in (shared, own):
            HTTP.post(f'{place}/blobs/uploads/', params={'digest': Digest.of(data)}, content=data).raise_for_status()
        raw = json.dumps({'schemaVersion': 2, 'mediaType': media_types.OCI_MANIFEST, 'config': {
            'mediaType': media_types.OCI_CONFIG, 'digest': Digest.of(own), 'size': len(own)}, 'layers': [
                {'mediaType': media_types.OCI_LAYER, 'digest': Digest.of(shared), 'size': len(shared)}]}).encode()
        for tag in (f'v{number}', 'latest'):
            HTTP.put(f'{place}/manifests/{tag}', content=raw, headers={
                'Content-Type': media_types.OCI_MANIFEST}).raise_for_status()
        assert HTTP.get(f'{place}/manifests/v{number}').content == raw
        assert [HTTP.get(f'{place}/blobs/{Digest.of(data)}').content for data in (shared, own)] == [shared, own]
        latest = HTTP.get(f'{place}/manifests/latest')
        assert Digest.of(latest.content) == latest.headers['docker-content-digest']
    with ThreadPoolExecutor(50) as threads:
        list(threads.map(client, range(50)))
    for number in range(5):
        tags = HTTP.get(f'http://{server.host}/v2/many/app{number}/tags/list').json()['tags']
        assert len(tags) == 11
