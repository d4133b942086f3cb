"""Pushing through a proxy: what is answered for is filtered, downstream, and proved to be there."""
import json
from pathlib import Path

import pytest

from occystrap_core import Settings
from occystrap_core.oci import Descriptor, Digest, Manifest, media_types
from occystrap_core.testing.sample import sample_config, sample_image, sample_layers
from occystrap_registry.server.recent_images import VERIFIED
from tests.services.proxied import Proxied, proxied, trusting
from tests.unit.registry.images import index_of, push

FILTER = 'normalize-timestamps'


def put(proxy: Proxied, name: str, reference: str, raw: bytes, media_type: str = media_types.OCI_MANIFEST) -> Digest:
    """Put a manifest, which must be taken; return its digest downstream."""
    answer = proxy.request('PUT', f'{name}/manifests/{reference}', content=raw, headers={'Content-Type': media_type})
    assert answer.status_code == 201, answer.text
    assert answer.headers['docker-content-digest'] == Digest.of(raw)
    return Digest(answer.headers['occystrap-stored-digest'])


def put_blob(proxy: Proxied, name: str, data: bytes) -> Descriptor:
    """Put a blob."""
    digest = Digest.of(data)
    proxy.request('POST', f'{name}/blobs/uploads/?digest={digest}', content=data).raise_for_status()
    return Descriptor('text/plain', digest, len(data))


def test_without_filters_the_digest_stays(tmp_path: Path) -> None:
    with proxied(tmp_path) as proxy:
        receipt = push(proxy.host, Settings(), name='team/app:v1')
        found = proxy.manifest('team/app')
        assert Digest.of(found.content) == receipt.manifest_digest == found.headers['docker-content-digest']
        assert proxy.manifest('team/app', str(receipt.manifest_digest)).content == found.content
        assert proxy.down.storage.tagged('mirror/team/app', 'v1') == receipt.manifest_digest
        image, = proxy.recent.newest()
        assert image.outcome == VERIFIED and image.name == 'team/app:v1' and image.digest == receipt.manifest_digest
        assert image.reference == f'{proxy.down.host}/mirror/team/app:v1' and image.size and not image.filters


def test_with_filters_it_is_another_which_the_answer_says(tmp_path: Path) -> None:
    with proxied(tmp_path, [FILTER]) as proxy:
        receipt = push(proxy.host, trusting(), name='app:v1')
        original, found = receipt.manifest_digest, proxy.manifest('app')
        assert original and Digest.of(found.content) == found.headers['docker-content-digest'] != original
        raw = sample_image().manifest
        assert raw and put(proxy, 'app', 'v2', raw.raw) == Digest.of(found.content)
        gone = proxy.manifest('app', original)
        assert gone.status_code == 404 and Digest.of(found.content) in gone.json()['errors'][0]['message']
        for layer in found.json()['layers']:
            assert Digest.of(proxy.blob('app', layer['digest']).content) == layer['digest']
        staged = {each['digest'] for each in json.loads(raw.raw)['layers']} - {
            each['digest'] for each in found.json()['layers']}
        assert staged and all(proxy.blob('app', each).status_code == 404 for each in staged)
        assert proxy.recent.newest()[0].filters == (FILTER,)


def test_an_index_with_all_its_platforms(tmp_path: Path) -> None:
    with proxied(tmp_path, [FILTER]) as proxy:
        children = []
        for name in ('amd64', 'arm64'):
            push(proxy.host, trusting(), sample_image(variant=name), name=f'app:{name}')
            manifest = sample_image(variant=name).manifest
            assert manifest
            stored = put(proxy, 'app', manifest.digest, manifest.raw)
            assert stored == proxy.manifest('app', name).headers['docker-content-digest'] != manifest.digest
            assert proxy.manifest('app', stored).status_code == 200
            children.append((Descriptor(media_types.OCI_MANIFEST, manifest.digest, len(manifest.raw)), f'linux/{name}'))
        index = json.dumps(index_of(children)).encode()
        stored = put(proxy, 'app', 'v1', index, media_types.OCI_INDEX)
        found = proxy.manifest('app')
        assert Digest.of(found.content) == stored != Digest.of(index)
        entries = found.json()['manifests']
        assert [each['platform']['architecture'] for each in entries] == ['amd64', 'arm64']
        for each in entries:
            assert Digest.of(proxy.manifest('app', each['digest']).content) == each['digest']


def test_what_is_left_out_of_an_index_is_said(tmp_path: Path) -> None:
    """Whoever pushes an attestation beside an image hears that it is not there, in words of names that he knows."""
    with proxied(tmp_path, [FILTER]) as proxy:
        push(proxy.host, trusting(), name='app:amd64')
        part, image = put_blob(proxy, 'app', b'{}'), sample_image().manifest
        assert image
        attestation = json.dumps({**json.loads(Manifest.build(part, [part]).raw), 'artifactType': 'a/sbom'}).encode()
        for each in (image.raw, attestation):
            put(proxy, 'app', Digest.of(each), each)
        parts = (image.raw, 'linux/amd64'), (attestation, 'unknown/unknown')
        index = json.dumps(index_of([(Descriptor(media_types.OCI_MANIFEST, Digest.of(each), len(each)), platform)
                                     for each, platform in parts])).encode()
        answer = proxy.request('PUT', 'app/manifests/v1', content=index,
                               headers={'Content-Type': media_types.OCI_INDEX})
        assert answer.status_code == 201 and len(proxy.manifest('app').json()['manifests']) == 1
        left_out = f'{Digest.of(attestation)} is not an image and is left out of the filtered index'
        warning = answer.headers['warning']
        assert warning.startswith(f"299 occystrap \"app@{Digest.of(index)}: {left_out}") and '127.0.0.1' not in warning


@pytest.mark.parametrize('filters', [[], [FILTER]])
def test_referrers_follow_what_keeps_its_digest(tmp_path: Path, filters: list[str]) -> None:
    with proxied(tmp_path, filters) as proxy:
        subject = push(proxy.host, trusting(), name='app:v1').manifest_digest
        assert subject
        part = put_blob(proxy, 'app', b'{}')
        raw = json.dumps({**json.loads(Manifest.build(part, [part]).raw), 'artifactType': 'a/sbom', 'subject': {
            'mediaType': media_types.OCI_MANIFEST, 'digest': subject, 'size': 1}}).encode()
        answer = proxy.request('PUT', f'app/manifests/{Digest.of(raw)}', content=raw,
                               headers={'Content-Type': media_types.OCI_MANIFEST})
        assert answer.status_code == 201
        listed = proxy.request('GET', f'app/referrers/{subject}').json()['manifests']
        if filters:
            assert 'left out' in answer.headers['warning'] and 'occystrap-stored-digest' not in answer.headers
            assert not listed and proxy.manifest('app', Digest.of(raw)).status_code == 404
        else:
            assert [each['digest'] for each in listed] == [Digest.of(raw)] and answer.headers['oci-subject'] == subject
            none = proxy.request('GET', f'app/referrers/{subject}?artifactType=b').json()['manifests']
            assert not none


@pytest.mark.parametrize('filters', [[], [FILTER]])
def test_digests_of_sha512(tmp_path: Path, filters: list[str]) -> None:
    """They stay where nothing is filtered; what filters make has new ones, which are sha256."""
    with proxied(tmp_path, filters) as proxy:
        parts = []
        for data in (sample_config(), *sample_layers()):
            parts.append(Descriptor(media_types.OCI_LAYER, Digest.of(data, 'sha512'), len(data)))
            proxy.request('POST', f'app/blobs/uploads/?digest={parts[-1].digest}', content=data).raise_for_status()
        config = Descriptor(media_types.OCI_CONFIG, parts[0].digest, parts[0].size)
        raw = Manifest.build(config, parts[1:]).raw
        digest = Digest.of(raw, 'sha512')
        answer = proxy.request('PUT', f'app/manifests/{digest}?tag=v1', content=raw,
                               headers={'Content-Type': media_types.OCI_MANIFEST})
        assert answer.status_code == 201 and answer.headers['docker-content-digest'] == digest
        stored = Digest(answer.headers['occystrap-stored-digest'])
        found = proxy.manifest('app')
        assert Digest.of(found.content, stored.algorithm) == stored and (stored == digest) is not bool(filters)
        assert proxy.manifest('app', digest).status_code == (404 if filters else 200)
        for method in ('GET', 'HEAD'):
            assert proxy.manifest('app', method=method).headers['docker-content-digest'] == stored
        for layer in Manifest.parse(found.content).layers:
            assert layer.digest.algorithm == stored.algorithm
            assert Digest.of(proxy.blob('app', layer.digest).content, stored.algorithm) == layer.digest


def test_an_artifact_passes_filters_as_it_is(tmp_path: Path) -> None:
    with proxied(tmp_path, [FILTER]) as proxy:
        part = put_blob(proxy, 'chart', b'a chart')
        raw = Manifest.build(part, [part]).raw
        assert put(proxy, 'chart', 'v1', raw) == Digest.of(raw)
        assert proxy.manifest('chart').content == raw and 'not an image' in proxy.recent.newest()[0].reason


def test_a_layer_that_is_downstream_need_not_be_pushed(tmp_path: Path) -> None:
    """A build upon an image that was pulled: a client sees that its layers are there, and pushes its own alone."""
    with proxied(tmp_path, [FILTER]) as proxy:
        push(proxy.host, trusting(), name='base:v1')
        base = Manifest.parse(proxy.manifest('base').content)
        for layer in base.layers:
            assert proxy.request('HEAD', f'base/blobs/{layer.digest}').headers['content-length'] == str(layer.size)
        assert put(proxy, 'base', 'again', base.raw) == base.digest


def test_missing_blobs_are_named(tmp_path: Path) -> None:
    with proxied(tmp_path) as proxy:
        part = Descriptor(media_types.OCI_CONFIG, Digest.of(b'1'), 1)
        answer = proxy.request('PUT', 'app/manifests/v1', content=Manifest.build(part, []).raw,
                               headers={'Content-Type': media_types.OCI_MANIFEST})
        assert answer.status_code == 400 and answer.json()['errors'][0]['code'] == 'MANIFEST_BLOB_UNKNOWN'
        assert proxy.request('DELETE', 'app/manifests/v1').status_code == 405
        assert proxy.request('GET', 'app/tags/list').json()['errors'][0]['code'] == 'NAME_UNKNOWN'
        push(proxy.host, Settings(), name='app:v1')
        assert proxy.request('GET', 'app/tags/list').json()['tags'] == ['v1']
        assert proxy.request('GET', '_catalog').json()['repositories'] == ['app']
