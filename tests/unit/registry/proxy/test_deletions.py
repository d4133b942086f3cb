"""DELETE through a proxy: refused, or passed on and forgotten."""
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from occystrap_core import Settings
from occystrap_core.oci import Digest, media_types
from occystrap_core.testing.sample import sample_image
from occystrap_registry.proxy import deletions
from occystrap_registry.proxy.known_digests import KnownDigests
from occystrap_registry.server.problems import Problem
from tests.hostile.server.test_proxy import send
from tests.services.proxied import Proxied, proxied, trusting
from tests.unit.registry.images import HTTP, push

FILTER = 'normalize-timestamps'
FILTERS = pytest.mark.parametrize('filters', [(), (FILTER,)])


def delete(proxy: Proxied, path: str, status: int) -> httpx.Response:
    """Ask for a deletion, whose answer must have this status, and an error the spec's JSON."""
    answer = proxy.request('DELETE', f'app/{path}')
    assert answer.status_code == status, answer.text
    if status >= 400:
        error, = answer.json()['errors']
        assert error['code'] == {405: 'UNSUPPORTED', 404: 'MANIFEST_UNKNOWN'}.get(status, error['code'])
    return answer


def test_nothing_is_deleted_unless_that_is_allowed(tmp_path: Path) -> None:
    with proxied(tmp_path) as proxy:
        digest = push(proxy.host, Settings()).manifest_digest
        for path in ('manifests/v1', f'manifests/{digest}', f'blobs/{Digest.of(b"1")}'):
            answer = delete(proxy, path, 405)
            assert 'delete it downstream' in answer.text and answer.headers['allow'] == 'GET, HEAD, PUT'
        assert proxy.manifest('app').status_code == 200


@FILTERS
def test_a_tag_is_deleted_and_forgotten(tmp_path: Path, filters: tuple[str, ...]) -> None:
    with proxied(tmp_path, filters, deletes=True) as proxy:
        push(proxy.host, trusting())
        digest = proxy.manifest('app').headers['docker-content-digest']
        delete(proxy, 'manifests/v1', 202)
        assert proxy.manifest('app').status_code == 404 and proxy.manifest('app', digest).status_code == 200
        delete(proxy, 'manifests/v1', 404)
        push(proxy.host, trusting())
        assert proxy.manifest('app').headers['docker-content-digest'] == digest


@FILTERS
def test_a_manifest_is_deleted_with_its_tags(tmp_path: Path, filters: tuple[str, ...]) -> None:
    with proxied(tmp_path, filters, deletes=True) as proxy:
        original = push(proxy.host, trusting()).manifest_digest
        push(proxy.host, trusting(), name='app:v2')
        digest = proxy.manifest('app').headers['docker-content-digest']
        if filters:
            assert digest in delete(proxy, f'manifests/{original}', 404).text, 'what it is now'
        delete(proxy, f'manifests/{digest}', 202)
        for reference in ('v1', 'v2', digest):
            assert proxy.manifest('app', reference).status_code == 404
        delete(proxy, f'blobs/{Digest.of(b"1")}', 405)


@FILTERS
def test_what_is_from_upstream_is_fetched_again(tmp_path: Path, filters: tuple[str, ...]) -> None:
    """It is not taken for something that is downstream, however lately upstream was asked."""
    with proxied(tmp_path, filters, upstream=True, deletes=True) as proxy:
        assert proxy.up
        push(proxy.up.host, Settings())
        digest = proxy.manifest('app').headers['docker-content-digest']
        for gone in ('v1', digest):
            delete(proxy, f'manifests/{gone}', 202)
            assert proxy.down.storage.tags('mirror/app') == []
            assert proxy.manifest('app').headers['docker-content-digest'] == digest
            assert proxy.down.storage.tags('mirror/app') == ['v1']


def refusing(status: int, code: str) -> Callable[..., None]:
    """Return what a registry does that deletes nothing; 202 is a lie."""
    def refuse(repository: str, reference: Digest | str) -> None:
        if status != 202:
            raise Problem(status, code, 'no')
    return refuse


@pytest.mark.parametrize(('says', 'code', 'status'), [
    (405, 'UNSUPPORTED', 405), (400, 'UNSUPPORTED', 405), (403, 'DENIED', 502), (500, 'UNKNOWN', 503), (202, '', 500)])
def test_what_downstream_keeps_is_no_202(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: int, code: str,
                                         status: int) -> None:
    with proxied(tmp_path, deletes=True) as proxy:
        push(proxy.host, Settings())
        monkeypatch.setattr(proxy.down.storage, 'delete_manifest', refusing(says, code))
        delete(proxy, 'manifests/v1', status)
        found = proxy.manifest('app')
        assert found.status_code == 200 and found.headers['content-type'] == media_types.OCI_MANIFEST


def delete_downstream(proxy: Proxied) -> None:
    """Delete the tag as somebody else."""
    HTTP.delete(f'http://{proxy.down.host}/v2/mirror/app/manifests/v1').raise_for_status()


def test_what_was_pushed_and_is_gone_comes_from_upstream(tmp_path: Path) -> None:
    """Also if its manifest is still there."""
    with proxied(tmp_path, upstream=True) as proxy:
        assert proxy.up
        above = push(proxy.up.host, Settings(), sample_image(variant='other')).manifest_digest
        pushed = push(proxy.host, Settings()).manifest_digest
        assert proxy.manifest('app').headers['docker-content-digest'] == pushed != above
        delete_downstream(proxy)
        assert proxy.manifest('app').headers['docker-content-digest'] == above


def test_what_somebody_else_has_deleted_is_forgotten(tmp_path: Path) -> None:
    """What comes to that tag later was not pushed through the proxy."""
    with proxied(tmp_path, upstream=True, deletes=True) as proxy:
        assert proxy.up
        above = push(proxy.up.host, Settings(), sample_image(variant='other')).manifest_digest
        push(proxy.host, Settings())
        delete_downstream(proxy)
        delete(proxy, 'manifests/v1', 404)
        push(proxy.down.host, Settings(), name='mirror/app:v1')
        assert proxy.manifest('app').headers['docker-content-digest'] == above


@pytest.mark.parametrize('by_digest', [True, False])
def test_what_is_deleted_without_an_answer_is_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                            by_digest: bool) -> None:
    with proxied(tmp_path, upstream=True, deletes=True) as proxy:
        assert proxy.up
        push(proxy.up.host, Settings())
        digest = proxy.manifest('app').headers['docker-content-digest']
        own = proxy.down.storage.delete_manifest

        def silent(repository: str, reference: Digest | str) -> None:
            own(repository, reference)
            raise Problem(500, 'UNKNOWN', 'lost')
        monkeypatch.setattr(proxy.down.storage, 'delete_manifest', silent)
        delete(proxy, f'manifests/{digest if by_digest else "v1"}', 503)
        assert proxy.down.storage.tags('mirror/app') == []
        assert proxy.manifest('app').headers['docker-content-digest'] == digest
        assert proxy.down.storage.tags('mirror/app') == ['v1']


def test_a_tag_whose_manifest_is_deleted_as_it_is_pushed_comes_from_upstream(tmp_path: Path,
                                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    own, answers = KnownDigests.note_tag, list[httpx.Response]()

    def late(known: KnownDigests, repository: str, tag: str, source: str, stored: str) -> None:
        if tag == 'v2' and not answers:
            answers.append(delete(proxy, f'manifests/{stored}', 202))
        own(known, repository, tag, source, stored)
    monkeypatch.setattr(KnownDigests, 'note_tag', late)
    with proxied(tmp_path, upstream=True, deletes=True) as proxy:
        assert proxy.up
        above = push(proxy.up.host, Settings(), sample_image(variant='other'), 'app:v2').manifest_digest
        for tag in ('v1', 'v2'):
            send(proxy, reference=tag).raise_for_status()
        assert answers and proxy.manifest('app', 'v2').headers['docker-content-digest'] == above


def test_what_is_downstream_is_deleted_though_it_was_filtered_once(tmp_path: Path) -> None:
    with proxied(tmp_path, (FILTER,), deletes=True) as proxy:
        original = push(proxy.down.host, Settings(), name='mirror/app:raw').manifest_digest
        push(proxy.host, trusting())
        assert proxy.manifest('app', original).status_code == 200
        delete(proxy, f'manifests/{original}', 202)
        assert 'was filtered' in delete(proxy, f'manifests/{original}', 404).text
        assert proxy.manifest('app').status_code == 200 and proxy.manifest('app', 'raw').status_code == 404


def test_no_deletion_waits_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deletions, '_PATIENCE', 0.1)
    answers = list[httpx.Response]()

    def asking(kind: str, data: bytes) -> bytes:
        if kind == 'manifest' and not answers:
            answers.append(delete(proxy, 'manifests/v1', 503))
        return data
    with proxied(tmp_path, deletes=True) as proxy:
        proxy.down.storage.fault = asking
        assert send(proxy).status_code == 201
        assert answers[0].headers['retry-after'] == '10' and 'try again' in answers[0].text
        delete(proxy, 'manifests/v1', 202)


@pytest.mark.parametrize('status', [401, 403])
def test_what_cannot_be_looked_for_is_not_called_still_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                             status: int) -> None:
    """And is asked for once."""
    asked = list[Digest | str]()

    def refuse(repository: str, reference: Digest | str) -> None:
        asked.append(reference)
        raise Problem(status, 'DENIED', 'no')
    with proxied(tmp_path, deletes=True) as proxy:
        push(proxy.host, Settings())
        monkeypatch.setattr(proxy.down.storage, 'manifest', refuse)
        answer = delete(proxy, 'manifests/v1', 502)
        assert 'still there' not in answer.text and 'login of the proxy' in answer.text and len(asked) < 3
