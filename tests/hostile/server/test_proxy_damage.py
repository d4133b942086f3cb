"""What is damaged downstream is never served by a proxy as what it should be, and is mended as soon as it can be.

HOSTILE, row 67.
"""
import json
from pathlib import Path

import httpx
import pytest

from occystrap_core import Settings, VerifyLevel
from occystrap_core.oci import Descriptor, Digest, Manifest, media_types
from occystrap_core.testing.sample import sample_image, sample_layers
from occystrap_registry.server.recent_images import VERIFIED
from tests.hostile.server.test_proxy import changed, send
from tests.services.proxied import Proxied, Registry, proxied, started
from tests.unit.registry.images import index_of, push
from tests.unit.registry.proxy.test_pushes import put, put_blob

FILTER = 'normalize-timestamps'


def damage(proxy: Proxied, digest: Digest) -> None:
    """Change a byte of what downstream has by all its names."""
    path = proxy.down.storage.blob(digest)
    path.write_bytes(changed(path.read_bytes()))


def layer_of(proxy: Proxied, name: str = 'app', number: int = 0) -> Digest:
    return Manifest.parse(proxy.manifest(name).content).layers[number].digest


def found_damaged(proxy: Proxied) -> Digest:
    """Damage a layer downstream and have the proxy find that; return its digest."""
    damage(proxy, digest := layer_of(proxy))
    assert proxy.blob('app', digest).status_code == 502
    return digest


def require_whole(proxy: Proxied, digest: Digest, name: str = 'app') -> None:
    """The proxy serves a blob, and downstream has it."""
    assert Digest.of(proxy.blob(name, digest).content) == digest
    assert proxy.request('HEAD', f'{name}/blobs/{digest}').status_code == 200
    assert Digest.of(proxy.down.storage.blob(digest).read_bytes()) == digest


@pytest.mark.parametrize('filters', [(), (FILTER,)])
def test_pushing_again_mends_it(tmp_path: Path, filters: tuple[str, ...]) -> None:
    with proxied(tmp_path, filters) as proxy:
        assert send(proxy).status_code == 201
        digest = found_damaged(proxy)
        assert send(proxy).status_code == 201
        require_whole(proxy, digest)
        assert [image.outcome for image in proxy.recent.newest()] == [VERIFIED] * 2


@pytest.mark.parametrize('filters', [(), (FILTER,)])
def test_pulling_again_mends_it(tmp_path: Path, filters: tuple[str, ...]) -> None:
    with proxied(tmp_path, filters, upstream=True) as proxy:
        assert proxy.up
        push(proxy.up.host, Settings())
        before = proxy.manifest('app').content
        digest = found_damaged(proxy)
        proxy.up.requests.clear()
        assert proxy.manifest('app').content == before
        assert sum('/blobs/' in request for request in proxy.up.requests.elements()) <= 2, 'config, and what is damaged'
        require_whole(proxy, digest)
        proxy.up.requests.clear()
        assert proxy.manifest('app').content == before and not proxy.up.requests


@pytest.mark.parametrize('filters', [(), (FILTER,)])
def test_pulling_its_digest_mends_it(tmp_path: Path, filters: tuple[str, ...]) -> None:
    with proxied(tmp_path, filters, upstream=True) as proxy:
        assert proxy.up
        push(proxy.up.host, Settings())
        before = proxy.manifest('app')
        named = before.headers['docker-content-digest']
        for is_mended in (True, False):
            digest = found_damaged(proxy)
            if is_mended:
                assert proxy.manifest('app', named).content == before.content
                require_whole(proxy, digest)
            else:  # as it is, but for that blob
                proxy.up.server.stop()
                assert proxy.manifest('app', named).content == before.content
                assert proxy.blob('app', digest).status_code == 502


def test_a_damaged_manifest_is_mended_from_upstream(tmp_path: Path) -> None:
    with proxied(tmp_path, upstream=True) as proxy:
        assert proxy.up
        push(proxy.up.host, Settings())
        for name in ('v1', digest := Digest(proxy.manifest('app').headers['docker-content-digest'])):
            damage(proxy, digest)
            assert Digest.of(proxy.manifest('app', name).content) == digest


@pytest.mark.parametrize('named', ['index', 'image'])
@pytest.mark.parametrize('filters', [(), (FILTER,)])
def test_an_index_is_fetched_again_for_one_of_its_images(tmp_path: Path, filters: tuple[str, ...], named: str) -> None:
    """Or that image alone, if that is pulled."""
    with proxied(tmp_path, filters, upstream=True) as proxy:
        assert proxy.up
        children = []
        for name in ('amd64', 'arm64'):
            push(proxy.up.host, Settings(), sample_image(variant=name), name=f'app:{name}')
            manifest = sample_image(variant=name).manifest
            assert manifest
            children.append((Descriptor(media_types.OCI_MANIFEST, manifest.digest, len(manifest.raw)), f'linux/{name}'))
        raw = json.dumps(index_of(children)).encode()
        with httpx.Client(trust_env=False) as client:
            client.put(f'http://{proxy.up.host}/v2/app/manifests/v1', content=raw, headers={
                'Content-Type': media_types.OCI_INDEX}).raise_for_status()
        before = proxy.manifest('app')
        assert (before.content == raw) is not bool(filters)
        child = before.json()['manifests'][1]
        assert child['platform']['architecture'] == 'arm64'
        digest = Manifest.parse(proxy.manifest('app', child['digest']).content).layers[2].digest
        damage(proxy, digest)
        answer = proxy.blob('app', digest)
        assert answer.status_code == 502 and 'pull its tag' in answer.text
        proxy.up.requests.clear()
        if named == 'image':
            assert Digest.of(proxy.manifest('app', child['digest']).content) == child['digest']
            assert not any(children[0][0].digest in each for each in proxy.up.requests), 'the other one is left alone'
        else:
            assert proxy.manifest('app').content == before.content
        require_whole(proxy, digest)


@pytest.mark.parametrize('filters', [(), (FILTER,)])
def test_a_blob_that_stays_damaged_is_never_a_201(tmp_path: Path, filters: tuple[str, ...]) -> None:
    """Downstream says that it has taken the blob, and keeps the wrong bytes: fast verification reads that one back."""
    with proxied(tmp_path, filters, reads_once=False) as proxy:
        assert send(proxy).status_code == 201
        digest = found_damaged(proxy)
        proxy.down.storage.fault = lambda kind, data: changed(data) if kind == 'blob' else data
        if filters:
            answer = send(proxy)
            assert 'has not mended it' in answer.text
        else:  # it is sent as soon as it arrives
            data = next(each for each in sample_layers() if Digest.of(each) == digest)
            answer = proxy.request('POST', f'app/blobs/uploads/?digest={digest}', content=data)
        assert answer.status_code in (500, 502) and digest in answer.text
        proxy.down.storage.fault = None
        assert send(proxy).status_code == 201
        require_whole(proxy, digest)


def test_a_blob_that_full_verification_finds_damaged_is_sent_again(tmp_path: Path) -> None:
    with proxied(tmp_path, level=VerifyLevel.FULL) as proxy:
        proxy.down.storage.fault = lambda kind, data: changed(data) if kind == 'blob' else data
        assert send(proxy).status_code in (500, 502)
        proxy.down.storage.fault = None
        assert send(proxy).status_code == 201
        require_whole(proxy, layer_of(proxy))


def test_it_is_remembered(tmp_path: Path) -> None:
    with started(Registry(tmp_path / 'down')) as down:
        with proxied(tmp_path, down=down) as proxy:
            push(proxy.host, Settings())
            damage(proxy, digest := layer_of(proxy))
            manifest = proxy.manifest('app').content
            proxy.blob('app', digest)
        with proxied(tmp_path, down=down) as proxy:
            assert proxy.request('HEAD', f'app/blobs/{digest}').status_code == 404
            answer = proxy.request('PUT', 'app/manifests/v2', content=manifest,
                                   headers={'Content-Type': media_types.OCI_MANIFEST})
            assert answer.status_code == 400 and answer.json()['errors'][0]['code'] == 'MANIFEST_BLOB_UNKNOWN'
            push(proxy.host, Settings())
            require_whole(proxy, digest)


def test_other_images_are_told_nothing_of_it(tmp_path: Path) -> None:
    with proxied(tmp_path) as proxy:
        push(proxy.host, Settings())
        damage(proxy, digest := layer_of(proxy))
        proxy.blob('app', digest)
        part = put_blob(proxy, 'app', b'a chart')
        put(proxy, 'app', 'v2', Manifest.build(part, [part]).raw)
        assert proxy.recent.newest()[0].reason == ''


def test_a_blob_that_was_mended_elsewhere_is_seen(tmp_path: Path) -> None:
    with proxied(tmp_path) as proxy:
        push(proxy.host, Settings())
        for _ in range(2):  # once more is as it was
            damage(proxy, digest := layer_of(proxy))
            proxy.blob('app', digest)
        require_whole(proxy, digest)
