"""Referrers are copied: those of the API, of the tag that replaces it, and under cosign's tags."""
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response

from occystrap_core import Image, ImageIndex, InvalidImage, Receipt, ServiceError, Settings, UsageError, VerifyLevel
from occystrap_core.oci import Descriptor, Digest, Index, Reference, media_types, referrer_of, referrers_tag
from occystrap_core.pipeline.content_fit import filtered
from occystrap_core.pipeline.index_copy import copy_of
from occystrap_core.testing.sample import sample_image
from occystrap_core.verification.results import Outcome
from occystrap_registry.distribution.client import RegistryClient
from occystrap_registry.distribution.referrers import list_referrers
from occystrap_registry.server.handlers import Handlers
from occystrap_registry.server.problems import Problem
from occystrap_registry.server.server_thread import RegistryServer, ServerSettings
from occystrap_registry.transport.address import Address
from tests.unit.core.pipeline.memory import MemoryOutput, Without
from tests.unit.registry.images import push, put_manifest, verify
from tests.unit.registry.scripted import Answer, Scripted, client_of, location
from tests.unit.registry.several import copy, document_at, manifest_at, open_at, put_artifact, put_index, put_many

Start = Callable[[str, bool], str]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a registry of a name, with or without the referrers API."""
    async def none(request: Request) -> Response:
        raise Problem(404, 'UNSUPPORTED', 'there is no such endpoint')

    with ExitStack() as stack:
        def started(name: str, api: bool) -> str:
            handlers = Handlers() if api else Handlers(list_referrers=none)
            return stack.enter_context(RegistryServer(tmp_path / name, settings=ServerSettings(handlers=handlers))).host
        yield started


def refer(host: str, subject: Descriptor, content: bytes, api: bool, **fields: Any) -> Descriptor:
    """Put an artifact that refers to something; where there is no API, list it under the tag as a client must."""
    put = put_artifact(host, content, subject=subject, **fields)
    if not api:
        document = document_at(host, put.digest)
        tag = referrers_tag(subject.digest)
        old = document_at(host, tag) if manifest_at(host, tag).status_code == 200 else Index.build(())
        assert isinstance(old, Index)
        put_manifest(host, old.extended([referrer_of(document)]).raw, tag, media_types.OCI_INDEX, 'many')
    return put


def image_at(host: str, settings: Settings) -> Descriptor:
    """Put an image `many:v1`."""
    push(host, settings, name='many:v1')
    manifest = sample_image().manifest
    assert manifest
    return manifest.descriptor


@pytest.mark.parametrize('target_api', [True, False])
@pytest.mark.parametrize('source_api', [True, False])
def test_referrers_and_theirs_come_along(source_api: bool, target_api: bool, start: Start, settings: Settings) -> None:
    source, target = start('source', source_api), start('target', target_api)
    image = image_at(source, settings)
    sbom = refer(source, image, b'an sbom', source_api, annotations={'of': 'the image'})
    signature = refer(source, sbom, b'its signature', source_api, kind='application/vnd.example.signature')
    other = refer(source, image, b'another', source_api)
    opened = open_at(source, settings, referrers=True)
    assert isinstance(opened, Image)
    receipt = copy(opened, target, settings)
    for each in (image, sbom, signature, other):
        assert manifest_at(target, each.digest).content == manifest_at(source, each.digest).content
    client = RegistryClient(Address(Reference('many', 'v1', None, target), target), settings)
    listed = {entry.digest: entry for entry in list_referrers(client, image.digest)}
    assert listed.keys() == {sbom.digest, other.digest}
    assert listed[sbom.digest].annotations == {'of': 'the image'}
    assert [each.digest for each in list_referrers(client, sbom.digest)] == [signature.digest]
    assert manifest_at(target, referrers_tag(image.digest)).status_code == (404 if target_api else 200)
    for level in (VerifyLevel.FAST, VerifyLevel.FULL):
        assert not verify(receipt, settings, level).findings
    assert len(receipt.of_kind('referrer')) == 3


def test_referrers_listed_before_stay_listed(start: Start, settings: Settings) -> None:
    source, target = start('source', True), start('target', False)
    image = image_at(source, settings)
    image_at(target, settings)
    there = refer(target, image, b'there before', False)
    new = refer(source, image, b'new', True)
    for _ in range(2):
        copy(open_at(source, settings, referrers=True), target, settings)
        index = document_at(target, referrers_tag(image.digest))
        assert isinstance(index, Index) and [each.digest for each in index.manifests] == [there.digest, new.digest]


@pytest.mark.parametrize('suffix', ['.sig', '.att', '.sbom'])
def test_cosign_s_tags_come_along(suffix: str, start: Start, settings: Settings) -> None:
    source, target = start('source', False), start('target', False)
    image = image_at(source, settings)
    tag = f'sha256-{image.digest.hex}{suffix}'
    put_artifact(source, b'signed', tag, config=media_types.OCI_CONFIG, kind='application/vnd.dev.cosign')
    receipt = copy(open_at(source, settings, referrers=True), target, settings)
    assert manifest_at(target, tag).content == manifest_at(source, tag).content
    assert tag in {each.locator for each in receipt.of_kind('manifest')}
    assert not verify(receipt, settings).findings


def test_referrers_of_an_index_and_of_its_children(start: Start, settings: Settings) -> None:
    source, target = start('source', True), start('target', True)
    entries = put_many(source, settings)
    index = document_at(source, 'v1').descriptor
    child = Descriptor(entries[1]['mediaType'], Digest(entries[1]['digest']), entries[1]['size'])
    on_index, on_child = refer(source, index, b'index', True), refer(source, child, b'child', True)
    receipt = copy(open_at(source, settings, platform='all', referrers=True), target, settings)
    assert [each.digest for each in receipt.of_kind('referrer')] == [on_child.digest, on_index.digest]
    assert not verify(receipt, settings).findings
    chosen = open_at(source, settings, platform='linux/amd64,linux/arm64', referrers=True)
    assert len(chosen.referrers) == 2, 'all four entries are chosen, so the index is the same'
    put_index(source, [*entries[:2], {**entries[0], 'platform': {'os': 'linux', 'architecture': '386'}}])
    refer(source, document_at(source, 'v1').descriptor, b'new index', True)
    chosen = open_at(source, settings, platform='linux/amd64,linux/arm64', referrers=True)
    assert isinstance(chosen, ImageIndex) and [each.subject for each in chosen.referrers] == [child.digest]


def test_without_being_asked_nothing_is_looked_for(start: Start, settings: Settings) -> None:
    source = start('source', True)
    refer(source, image_at(source, settings), b'an sbom', True)
    before = settings.requests.requests
    assert not open_at(source, settings).referrers and settings.requests.requests - before == 2


def written(start: Start, settings: Settings, api: bool) -> tuple[Receipt, str, Descriptor]:
    """Copy an image with a referrer; return the receipt, where it is, the referrer."""
    source, target = start('source', True), start('target', api)
    sbom = refer(source, image_at(source, settings), b'an sbom', True)
    return copy(open_at(source, settings, referrers=True), target, settings), target, sbom


@pytest.mark.parametrize('level', [VerifyLevel.FAST, VerifyLevel.FULL])
@pytest.mark.parametrize('api', [True, False])
def test_a_referrer_that_is_not_listed_any_more_is_named(api: bool, level: VerifyLevel, start: Start, tmp_path: Path,
                                                         settings: Settings) -> None:
    receipt, target, sbom = written(start, settings, api)
    subject = receipt.of_kind('referrer')[0].locator
    if api:
        marks = tmp_path / 'target/repositories/many/_referrers'
        (marks / subject.replace(':', '-') / sbom.digest.replace(':', '-')).unlink()
    else:
        put_manifest(target, Index.build(()).raw, referrers_tag(Digest(subject)), media_types.OCI_INDEX, 'many')
    finding, = verify(receipt, settings, level).findings
    assert finding.item == f'referrer {subject}' and f'{sbom.digest} is not listed' in finding.message


def test_a_damaged_or_missing_referrer_is_named(start: Start, tmp_path: Path) -> None:
    settings = Settings(retries=0)
    receipt, _, sbom = written(start, settings, False)
    for digest in (sbom.digest, Digest.of(b'an sbom')):
        path = tmp_path / 'target/repositories/many/_layout/blobs/sha256' / digest.hex
        content = path.read_bytes()
        path.write_bytes(content[:-1] + b'?')
        results = verify(receipt, settings)
        assert results.outcome is Outcome.FAILED and str(digest) in str(results.findings[0])
        path.unlink()
        assert verify(receipt, settings).outcome is Outcome.FAILED
        path.write_bytes(content)


def test_filters_and_places_for_one_image_refuse_them(start: Start, settings: Settings) -> None:
    source = start('source', True)
    refer(source, image_at(source, settings), b'an sbom', True)
    opened = open_at(source, settings, referrers=True)
    with pytest.raises(UsageError, match='leave out the filters or referrers=true'):
        filtered(opened, [Without({'name': 'x'}, settings)])
    with pytest.raises(UsageError, match='leave out referrers=true'):
        copy_of(opened, MemoryOutput(location('shelf'), settings), settings, '')


def index_raw(*entries: Descriptor) -> bytes:
    return Index.build(entries).raw


def pages(server: Scripted, count: int, link: str = '') -> Digest:
    """Let a server list referrers in pages of one."""
    subject = Digest.of(b'subject')
    path = f'/v2/app/referrers/{subject}'

    def answer(request: Any) -> Answer:
        page = int(request.query.get('page', ['0'])[0])
        entry = Descriptor(media_types.OCI_MANIFEST, Digest.of(str(page).encode()), 1)
        following = link or f'<{path}?page={page + 1}>; rel="next"'
        headers = [('Link', following)] if page + 1 < count else []
        return Answer(200, index_raw(entry), [('Content-Type', media_types.OCI_INDEX), *headers])
    server.routes[f'GET {path}'] = answer
    return subject


def test_all_pages_are_read(server: Scripted, settings: Settings) -> None:
    assert len(list_referrers(client_of(server.host, settings), pages(server, 7))) == 7


def test_endless_pages_are_bounded(server: Scripted, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('occystrap_registry.distribution.pages.MOST', 5)
    with pytest.raises(ServiceError, match='sends an endless list of the referrers of'):
        list_referrers(client_of(server.host, settings), pages(server, 10 ** 9))


def test_a_next_page_is_asked_for_here_whatever_host_it_names(server: Scripted, settings: Settings) -> None:
    subject = pages(server, 2, f'<http://other.example/v2/app/referrers/{Digest.of(b"subject")}?page=1>; rel="next"')
    assert len(list_referrers(client_of(server.host, settings), subject)) == 2


@pytest.mark.parametrize('link', ['</v2/>; rel="next"', '</v2/?a b>; rel="next"'])
def test_odd_links(link: str, server: Scripted, settings: Settings) -> None:
    with pytest.raises(ServiceError, match='next page of .* is malformed'):
        list_referrers(client_of(server.host, settings), pages(server, 3, link))


@pytest.mark.parametrize('link', ['<?page=0>; rel="next"', '<?page=1>; rel="next"'])
def test_pages_that_lead_back_end(link: str, server: Scripted, settings: Settings) -> None:
    with pytest.raises(ServiceError, match='sends an endless list'):
        list_referrers(client_of(server.host, settings), pages(server, 3, link))


@pytest.mark.parametrize('status', [401, 403, 500, 503])
def test_a_registry_that_does_not_tell(status: int, server: Scripted) -> None:
    server.routes[f'GET /v2/app/referrers/{Digest.of(b"x")}'] = Answer(status)
    with pytest.raises(ServiceError):
        list_referrers(client_of(server.host, Settings(retries=0)), Digest.of(b'x'))


def test_a_manifest_where_a_list_should_be(start: Start, settings: Settings) -> None:
    source = start('source', False)
    image = image_at(source, settings)
    put_artifact(source, b'odd', referrers_tag(image.digest))
    with pytest.raises(InvalidImage, match='must be an index of referrers'):
        open_at(source, settings, referrers=True)


def test_a_manifest_that_does_not_refer_to_what_it_is_listed_for(start: Start, settings: Settings) -> None:
    source = start('source', False)
    image = image_at(source, settings)
    stranger = put_artifact(source, b'stranger')
    put_manifest(source, index_raw(stranger), referrers_tag(image.digest), media_types.OCI_INDEX, 'many')
    with pytest.raises(InvalidImage, match=f'{stranger.digest} is listed as a referrer of {image.digest}, but'):
        open_at(source, settings, referrers=True)


@pytest.fixture
def client(server: Scripted) -> Iterator[RegistryClient]:
    """A client of the scripted server."""
    opened = client_of(server.host, Settings(retries=0))
    yield opened
    opened.close()


HTML = Answer(200, b'<html>Sign in</html>', headers=[('Content-Type', 'text/html')])
JSON = [('Content-Type', 'application/json')]


@pytest.mark.parametrize('answer', [
    Answer(400), Answer(404), Answer(405), Answer(406), Answer(410), Answer(415), Answer(204),
    Answer(501), HTML, Answer(302, headers=[('Location', '/signin')]),
    Answer(200, b'{}', headers=JSON), Answer(200, b'[]', headers=JSON), Answer(200), Answer(200, b'null', headers=JSON),
    Answer(200, b'{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": null}',
           headers=[('Content-Type', media_types.OCI_INDEX)])])
def test_an_api_that_is_none(answer: Answer, server: Scripted, client: RegistryClient) -> None:
    subject = Digest.of(b'subject')
    server.routes['GET /signin'] = HTML
    server.routes[f'GET /v2/app/referrers/{subject}'] = answer
    assert list_referrers(client, subject) == []
    listed = Descriptor(media_types.OCI_MANIFEST, Digest.of(b'referrer'), 8)
    server.routes[f'GET /v2/app/manifests/{referrers_tag(subject)}'] = Answer(
        200, Index.build([listed]).raw, headers=[('Content-Type', media_types.OCI_INDEX)])
    assert [entry.digest for entry in list_referrers(client, subject)] == [listed.digest]


@pytest.mark.parametrize('answer', [Answer(403), Answer(500), Answer(200, b'{"manifests": [', headers=[
    ('Content-Type', media_types.OCI_INDEX)])])
def test_a_list_that_cannot_be_read_is_an_error(answer: Answer, server: Scripted, client: RegistryClient) -> None:
    server.routes[f'GET /v2/app/referrers/{Digest.of(b"subject")}'] = answer
    with pytest.raises((ServiceError, InvalidImage)):
        list_referrers(client, Digest.of(b'subject'))


def test_a_digest_written_as_tag_may_mean_the_subject_itself(server: Scripted, client: RegistryClient) -> None:
    manifest = sample_image().manifest
    assert manifest
    index = Index.build([manifest.descriptor])
    for document, kind in ((manifest, media_types.OCI_MANIFEST), (index, media_types.OCI_INDEX)):
        server.routes[f'GET /v2/app/manifests/{referrers_tag(document.digest)}'] = Answer(
            200, document.raw, headers=[('Content-Type', kind)])
        assert list_referrers(client, document.digest) == []
