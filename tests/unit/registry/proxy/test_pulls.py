"""Pulling through a proxy: from downstream, or first from upstream, which is asked no more often than it must be."""
import json
import threading
from pathlib import Path

import pytest

from occystrap_core import Settings
from occystrap_core.oci import Descriptor, Digest, Manifest, media_types
from occystrap_core.testing.sample import sample_image
from tests.services.proxied import Proxied, Registry, proxied, started
from tests.unit.registry.images import HTTP, push
from tests.unit.registry.proxy.test_pushes import put, put_blob

FILTER = 'normalize-timestamps'


def test_twice_is_fetched_once(tmp_path: Path) -> None:
    with proxied(tmp_path, [FILTER], upstream=True) as proxy:
        assert proxy.up
        original = push(proxy.up.host, Settings()).manifest_digest
        proxy.up.requests.clear()
        first = proxy.manifest('app', method='HEAD')
        found = proxy.manifest('app')
        assert Digest.of(found.content) == found.headers['docker-content-digest'] != original
        assert first.headers['docker-content-digest'] == found.headers['docker-content-digest'] and not first.content
        assert proxy.up.manifests('HEAD') == 1 and proxy.up.manifests() == 1
        assert all(count == 1 for request, count in proxy.up.requests.items() if '/blobs/' in request)
        for layer in Manifest.parse(found.content).layers:
            whole = proxy.blob('app', layer.digest)
            assert Digest.of(whole.content) == layer.digest and whole.headers['content-length'] == str(layer.size)
            part = proxy.blob('app', layer.digest, Range='bytes=3-9')
            assert part.status_code == 206 and part.content == whole.content[3:10]
        assert proxy.up.manifests() == 1 and proxy.recent.newest()[0].direction == 'pull'


def test_many_at_once_are_fetched_once(tmp_path: Path) -> None:
    with proxied(tmp_path, [FILTER], upstream=True) as proxy:
        assert proxy.up
        push(proxy.up.host, Settings())
        proxy.up.requests.clear()
        found: list[bytes] = []
        threads = [threading.Thread(target=lambda: found.append(proxy.manifest('app').content)) for _ in range(20)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert len(found) == 20 and len({*found}) == 1 and proxy.up.manifests() == 1 and proxy.recent.count == 1


def test_a_tag_that_moves_is_followed_by_head(tmp_path: Path) -> None:
    with proxied(tmp_path, upstream=True, fresh=0.0) as proxy:
        assert proxy.up
        first = push(proxy.up.host, Settings()).manifest_digest
        assert proxy.manifest('app').headers['docker-content-digest'] == first
        proxy.up.requests.clear()
        assert proxy.manifest('app').headers['docker-content-digest'] == first
        assert proxy.up.manifests('HEAD') == 1 and not proxy.up.manifests()
        second = push(proxy.up.host, Settings(), sample_image(variant='new')).manifest_digest
        assert proxy.manifest('app').headers['docker-content-digest'] == second != first
        assert proxy.manifest('app', str(first)).status_code == 200


@pytest.mark.parametrize('filters', [[], [FILTER]])
def test_a_tag_that_moves_between_head_and_get(filters: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                               ) -> None:
    """What HEAD has named is gone; also if upstream always answers HEAD with the old digest."""
    with proxied(tmp_path, filters, upstream=True, fresh=0.0) as proxy:
        assert proxy.up
        first = push(proxy.up.host, Settings()).manifest_digest
        storage, old = proxy.up.storage, proxy.up.storage.manifest('app', 'v1')
        second = push(proxy.up.host, Settings(), sample_image(variant='new')).manifest_digest
        assert first and second
        storage.delete_manifest('app', first)
        asked = proxy.up.manifests('HEAD')
        right = storage.manifest
        monkeypatch.setattr(storage, 'manifest', lambda repository, reference: (
            old if reference == 'v1' and proxy.up and proxy.up.manifests() == gets else right(repository, reference)))
        gets = proxy.up.manifests()
        for _ in range(2):
            found, gets = proxy.manifest('app'), proxy.up.manifests()
            assert found.status_code == 200 and (filters or found.headers['docker-content-digest'] == second)
        assert proxy.up.manifests('HEAD') == asked + 2


def test_upstream_that_is_down_is_said(tmp_path: Path) -> None:
    with proxied(tmp_path, upstream=True, fresh=0.0) as proxy:
        assert proxy.up
        push(proxy.up.host, Settings())
        before = proxy.manifest('app')
        assert 'warning' not in before.headers
        proxy.up.server.stop()
        after = proxy.manifest('app')
        assert after.content == before.content and after.headers['warning'].startswith('110 occystrap "')
        assert 'not confirmed by upstream' in after.headers['occystrap-stale']
        assert proxy.manifest('other').status_code == 503 and proxy.manifest('app', 'v2').status_code == 503


def test_images_missing_upstream(tmp_path: Path) -> None:
    with proxied(tmp_path, [FILTER], upstream=True) as proxy:
        assert proxy.up
        answer = proxy.manifest('app')
        assert answer.status_code == 404 and answer.json()['errors'][0]['code'] == 'MANIFEST_UNKNOWN'
        original = push(proxy.up.host, Settings()).manifest_digest
        by_digest = proxy.manifest('app', str(original))
        assert by_digest.status_code == 404 and 'pull it by its tag' in by_digest.text


def test_a_digest_is_fetched_where_nothing_filters(tmp_path: Path) -> None:
    with proxied(tmp_path, upstream=True) as proxy:
        assert proxy.up
        original = push(proxy.up.host, Settings()).manifest_digest
        assert Digest.of(proxy.manifest('app', str(original)).content) == original
        assert proxy.down.storage.has_manifest('mirror/app', Digest(str(original)))


def test_pushed_images_are_not_replaced_from_upstream(tmp_path: Path) -> None:
    with proxied(tmp_path, upstream=True, fresh=0.0) as proxy:
        assert proxy.up
        push(proxy.up.host, Settings())
        part = put_blob(proxy, 'app', b'own')
        raw = Manifest.build(part, [part]).raw
        put(proxy, 'app', 'v1', raw)
        assert proxy.manifest('app').content == raw


def put_referrer(host: str, subject: str, kind: str) -> str:
    """Put an artifact that refers to an image of `app` into a registry; return its digest."""
    data = b'{}'
    HTTP.post(f'http://{host}/v2/app/blobs/uploads/', params={'digest': Digest.of(data)}, content=data)
    part = Descriptor('application/vnd.oci.empty.v1+json', Digest.of(data), len(data))
    raw = json.dumps({**json.loads(Manifest.build(part, [part]).raw), 'artifactType': kind, 'subject': {
        'mediaType': media_types.OCI_MANIFEST, 'digest': subject, 'size': 1}}).encode()
    HTTP.put(f'http://{host}/v2/app/manifests/{Digest.of(raw)}', content=raw, headers={
        'Content-Type': media_types.OCI_MANIFEST}).raise_for_status()
    return Digest.of(raw)


def listed(proxy: Proxied, subject: str) -> list[str]:
    answer = proxy.request('GET', f'app/referrers/{subject}')
    assert answer.status_code == 200, answer.text
    return [each['digest'] for each in answer.json()['manifests']]


def test_signatures_that_are_made_later_follow(tmp_path: Path) -> None:
    with proxied(tmp_path, upstream=True, fresh=0.0) as proxy:
        assert proxy.up
        subject = str(push(proxy.up.host, Settings()).manifest_digest)
        first = put_referrer(proxy.up.host, subject, 'a/first')
        assert proxy.manifest('app').status_code == 200 and listed(proxy, subject) == [first]
        second = put_referrer(proxy.up.host, subject, 'a/second')
        assert listed(proxy, subject) == sorted([first, second])
        assert proxy.manifest('app', second).status_code == 200
        assert proxy.down.storage.referrers('mirror/app', Digest(subject)) == sorted([first, second])
        proxy.up.requests.clear()
        listed(proxy, subject)
        assert all('/referrers/' in request or subject.replace(':', '-') in request
                   for request in proxy.up.requests), 'no image'
        proxy.up.server.stop()
        assert listed(proxy, subject) == sorted([first, second])


def test_upstream_is_asked_for_signatures_once_in_a_while_and_not_where_images_are_filtered(tmp_path: Path) -> None:
    for filters, most in (([], 1), ([FILTER], 0)):
        (place := tmp_path / f'{most}').mkdir()
        with proxied(place, filters, upstream=True) as proxy:
            assert proxy.up
            subject = str(push(proxy.up.host, Settings()).manifest_digest)
            put_referrer(proxy.up.host, subject, 'a/first')
            proxy.up.requests.clear()
            for _ in range(3):
                listed(proxy, subject)
            asked = sum(count for name, count in proxy.up.requests.items() if f'/referrers/{subject}' in name)
            assert asked <= 2 * most and bool(asked) is bool(most)


def test_known_digests_survive_a_restart_unless_the_filters_change(tmp_path: Path) -> None:
    with started(Registry(tmp_path / 'down')) as down, started(Registry(tmp_path / 'up')) as up:
        push(up.host, Settings())
        with proxied(tmp_path, [FILTER], up, down=down) as proxy:
            before = proxy.manifest('app').headers['docker-content-digest']
        for filters, same, request in (([FILTER], True, 0), ([f'{FILTER}:ts=5'], False, 1)):
            up.requests.clear()
            with proxied(tmp_path, filters, up, down=down) as proxy:
                after = proxy.manifest('app').headers['docker-content-digest']
            assert (after == before) is same and up.manifests() == request


def test_a_digest_of_upstream_is_not_served_unfiltered(tmp_path: Path) -> None:
    with proxied(tmp_path, [FILTER], upstream=True) as proxy:
        assert proxy.up
        digest = push(proxy.up.host, Settings()).manifest_digest
        answer = proxy.manifest('app', str(digest))
        assert answer.status_code == 404 and 'pull it by its tag' in answer.text
        assert proxy.manifest('app').status_code == 200
