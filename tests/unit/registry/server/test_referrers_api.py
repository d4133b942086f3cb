"""The referrers API of the embedded registry (distribution-spec, Listing Referrers)."""
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from occystrap_core.oci import Digest, media_types
from occystrap_registry.server.server_thread import RegistryServer
from occystrap_registry.server.storage import Storage

SUBJECT = Digest.of(b'the image, which need not be here')
OTHER = Digest.of(b'another')


@pytest.fixture
def client(tmp_path: Path) -> Iterator[httpx.Client]:
    """A client of an empty registry."""
    with RegistryServer(tmp_path) as server:
        with httpx.Client(base_url=f'http://{server.host}', trust_env=False, verify=False) as client:
            yield client


def put(client: httpx.Client, content: str, subject: Digest | None = SUBJECT, **fields: Any) -> httpx.Response:
    """Put an artifact; its content is an annotation."""
    config = {'mediaType': 'application/vnd.oci.empty.v1+json', 'digest': Digest.of(b'{}'), 'size': 2}
    client.post('/v2/a/b/blobs/uploads/', params={'digest': config['digest']}, content=b'{}').raise_for_status()
    document = {'schemaVersion': 2, 'mediaType': media_types.OCI_MANIFEST, 'artifactType': 'a/sbom', 'config': config,
                'layers': [], 'annotations': {'content': content}, **fields}
    if subject:
        document['subject'] = {'mediaType': media_types.OCI_MANIFEST, 'digest': subject, 'size': 7}
    raw = json.dumps(document).encode()
    return client.put(f'/v2/a/b/manifests/{Digest.of(raw)}', content=raw,
                      headers={'Content-Type': media_types.OCI_MANIFEST})


def listed(client: httpx.Client, target: str = f'/v2/a/b/referrers/{SUBJECT}') -> list[dict[str, Any]]:
    """Return all entries, of all pages."""
    entries: list[dict[str, Any]] = []
    while target:
        response = client.get(target).raise_for_status()
        assert response.headers['content-type'] == media_types.OCI_INDEX
        entries += response.json()['manifests']
        target = response.headers.get('link', '').partition('>')[0].lstrip('<')
    return entries


def test_nothing_refers_to_it(client: httpx.Client) -> None:
    response = client.get(f'/v2/a/b/referrers/{SUBJECT}')
    assert response.status_code == 200 and response.json()['manifests'] == []
    assert response.json()['mediaType'] == media_types.OCI_INDEX


def test_a_manifest_with_a_subject_is_listed(client: httpx.Client) -> None:
    response = put(client, 'one')
    assert response.status_code == 201 and response.headers['oci-subject'] == SUBJECT
    assert 'oci-subject' not in put(client, 'none', None).headers
    put(client, 'elsewhere', OTHER)
    entry, = listed(client)
    assert entry['digest'] == response.headers['docker-content-digest']
    assert entry['artifactType'] == 'a/sbom' and entry['annotations'] == {'content': 'one'}
    assert client.get(f'/v2/a/b/manifests/{entry["digest"]}').headers['content-length'] == str(entry['size'])


def test_a_referrer_that_is_deleted_while_it_is_listed_hides_no_other(client: httpx.Client,
                                                                      monkeypatch: pytest.MonkeyPatch) -> None:
    """A 404 would mean to clients that there is no such API, and no signature."""
    names = sorted(put(client, each).headers['docker-content-digest'] for each in ('one', 'two', 'three'))
    real = Storage.referrers

    def late(storage: Storage, repository: str, subject: Digest) -> list[Digest]:
        found = real(storage, repository, subject)
        storage.delete_manifest(repository, Digest(names[1]))
        return found
    monkeypatch.setattr(Storage, 'referrers', late)
    assert [each['digest'] for each in listed(client)] == [names[0], names[2]]


def test_one_kind_alone(client: httpx.Client) -> None:
    put(client, 'sbom')
    put(client, 'signature', artifactType='a/signature')
    response = client.get(f'/v2/a/b/referrers/{SUBJECT}', params={'artifactType': 'a/signature'})
    assert response.headers['oci-filters-applied'] == 'artifactType'
    assert [each['annotations']['content'] for each in response.json()['manifests']] == ['signature']


@pytest.mark.parametrize('query', ['n=2', 'n=2&artifactType=a/sbom'])
def test_pages(query: str, client: httpx.Client) -> None:
    for number in range(5):
        put(client, str(number))
    entries = listed(client, f'/v2/a/b/referrers/{SUBJECT}?{query}')
    assert sorted(each['annotations']['content'] for each in entries) == ['0', '1', '2', '3', '4']


def test_a_deleted_one_is_not_listed(client: httpx.Client) -> None:
    digest = put(client, 'gone').headers['docker-content-digest']
    put(client, 'stays')
    client.delete(f'/v2/a/b/manifests/{digest}').raise_for_status()
    assert [each['annotations']['content'] for each in listed(client)] == ['stays']


@pytest.mark.parametrize('subject', ['sha256:x', '..', '%2e%2e', 'v1'])
def test_malformed_digests_are_400(subject: str, client: httpx.Client) -> None:
    assert client.get(f'/v2/a/b/referrers/{subject}').status_code in (400, 404)


@pytest.mark.parametrize('fields', [{'subject': 7}, {'subject': {}}, {'artifactType': 7, 'subject': {
    'mediaType': 'x', 'digest': SUBJECT, 'size': 1}}])
def test_malformed_subjects_are_400(fields: dict[str, Any], client: httpx.Client) -> None:
    raw = json.dumps({**json.loads(put(client, 'sound').request.content), **fields}).encode()
    response = client.put('/v2/a/b/manifests/v1', content=raw, headers={'Content-Type': media_types.OCI_MANIFEST})
    assert response.status_code == 400 and response.json()['errors'][0]['code'] == 'MANIFEST_INVALID'
