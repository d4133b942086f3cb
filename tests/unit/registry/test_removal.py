"""Removing images from registries that delete in different ways: what goes, what stays, and what is said of it."""
import json
from collections.abc import Iterator

import pytest

from occystrap_core import Cancelled, Expectation, Receipt, Settings
from occystrap_core.oci import Digest, Manifest, media_types
from occystrap_core.testing.sample import sample_image
from occystrap_registry.distribution.removal import remove
from tests.unit.registry.scripted import Request, Answer, Scripted

TAG, MANIFEST, LIE = 'tag', 'manifest', 'lie'


class Deleting:
    """A registry with some tags. DELETE of a digest and of a tag do what is said, or are refused with a status."""

    def __init__(self, server: Scripted, by_digest: str | int = MANIFEST, by_tag: str | int = TAG) -> None:
        self.host = server.host
        self.by_digest, self.by_tag = by_digest, by_tag
        self.tags: dict[str, Digest] = {}
        self.manifests: dict[Digest, bytes] = {}
        self.deleted: list[str] = []
        self.listed: object = None
        """The list of tags, if it is another than that of `tags`."""
        self.before_delete = lambda: None
        server.answer = self._answer  # type: ignore[method-assign]

    def put(self, tag: str, content: str = '') -> Manifest:
        """Give a tag to an image; the same content makes the same manifest."""
        manifest = sample_image(variant=content or tag).manifest
        assert manifest
        self.tags[tag] = manifest.digest
        self.manifests[manifest.digest] = manifest.raw
        return manifest

    def receipt(self, tag: str, manifest: Manifest, *more: tuple[str, Manifest]) -> Receipt:
        """Return the receipt of an image, which has brought `more` under tags of their own."""
        expected = [Expectation('manifest', name, each.digest, len(each.raw))
                    for name, each in [(tag, manifest), *more]]
        return Receipt('registry', f'{self.host}/app:{tag}', {}, f'{self.host}/app:{tag}', 'a source',
                       manifest.config.digest, (), tuple(expected), manifest.digest)

    def _answer(self, request: Request) -> Answer:
        kind, _, name = request.path.removeprefix('/v2/app/').partition('/')
        if request.path == '/v2/':
            return Answer()
        if kind == 'tags':
            listed = sorted(self.tags) if self.listed is None else self.listed
            if isinstance(listed, Answer):
                return listed
            return Answer(200, json.dumps({'name': 'app', 'tags': listed}).encode())
        digest = Digest(name) if ':' in name else self.tags.get(name)
        if digest not in self.manifests:
            return Answer(404)
        assert digest
        if request.method == 'DELETE':
            return self._delete(name, digest)
        headers = [('Content-Type', media_types.OCI_MANIFEST), ('Docker-Content-Digest', str(digest))]
        return Answer(200, self.manifests[digest], headers)

    def _delete(self, name: str, digest: Digest) -> Answer:
        self.before_delete()
        does = self.by_digest if ':' in name else self.by_tag
        if isinstance(does, int):
            return Answer(does)
        self.deleted.append(name)
        if does == TAG:
            del self.tags[name]
        elif does == MANIFEST:
            del self.manifests[digest]
            self.tags = {tag: each for tag, each in self.tags.items() if each != digest}
        return Answer(202)


@pytest.fixture
def server() -> Iterator[Scripted]:
    with Scripted() as started:
        yield started


def removed(*going: Receipt, staying: tuple[Receipt, ...] = (), dry_run: bool = False) -> list[str]:
    return remove(going, staying, Settings(retries=0), dry_run)


@pytest.mark.parametrize('status', [400, 405, 501])
def test_one_that_deletes_nothing(status: int, server: Scripted) -> None:
    registry = Deleting(server, status, status)
    going = [registry.receipt(tag, registry.put(tag)) for tag in ('v1', 'v2')]
    for reason, tag in zip(removed(*going), ('v1', 'v2'), strict=True):
        assert f'app:{tag} (HTTP {status}): enable that there' in reason and 'refuses to delete' in reason
    assert registry.tags.keys() == {'v1', 'v2'} and not registry.deleted
    assert removed(*going, dry_run=True) == ['', '']  # it sends no DELETE, and so cannot know


@pytest.mark.parametrize('status', [400, 405])
def test_one_that_deletes_tags_alone(status: int, server: Scripted) -> None:
    """The manifest stays for its garbage collection, and so do other tags of it."""
    registry = Deleting(server, status, TAG)
    going = [registry.receipt('v1', registry.put('v1')), registry.receipt('v2', registry.put('v2'))]
    registry.put('others', 'v2')
    assert removed(*going) == ['', '']
    assert registry.deleted == ['v1', 'v2'] and registry.tags.keys() == {'others'} and len(registry.manifests) == 2


@pytest.mark.parametrize('status', [400, 405, 404])
def test_one_that_deletes_by_digest_alone(status: int, server: Scripted) -> None:
    registry = Deleting(server, MANIFEST, status)
    shared = registry.put('v2')
    registry.put('others', 'v2')
    alone = registry.put('v1')
    found = removed(registry.receipt('v1', alone), registry.receipt('v2', shared))
    assert found[0] == '' and registry.deleted == [alone.digest] and registry.tags.keys() == {'v2', 'others'}
    assert ('shares its manifest with others, which stays' in found[1] and 'cannot delete a tag alone' in found[1]
            or status == 404 and 'is still there after it was deleted' in found[1])


def test_one_that_deletes_the_whole_manifest_with_a_tag(server: Scripted) -> None:
    registry = Deleting(server, MANIFEST, MANIFEST)
    shared = registry.put('v1')
    registry.put('others', 'v1')
    reason, = removed(registry.receipt('v1', shared))
    assert f'deleted the whole manifest {shared.digest} with the tag v1: others needs it, copy that again' in reason


def test_one_that_says_so_and_does_not(server: Scripted) -> None:
    registry = Deleting(server, LIE, LIE)
    reason, = removed(registry.receipt('v1', registry.put('v1')))
    assert 'app:v1 is still there after it was deleted' in reason


@pytest.mark.parametrize(('status', 'words'), [(403, 'HTTP 403'), (429, 'HTTP 429'), (503, 'HTTP 503')])
def test_one_that_fails_says_why_for_each(status: int, words: str, server: Scripted) -> None:
    registry = Deleting(server, status, status)
    reasons = removed(registry.receipt('v1', registry.put('v1')), registry.receipt('v2', registry.put('v2')))
    assert all(words in each for each in reasons) and registry.tags.keys() == {'v1', 'v2'}


def test_blobs_of_a_receipt_that_stays_are_kept(server: Scripted) -> None:
    registry = Deleting(server)
    shared = registry.put('v1')
    registry.put('v2', 'v1')
    stays = registry.receipt('v2', shared)
    assert removed(registry.receipt('v1', shared), staying=(stays,)) == ['']
    assert registry.deleted == ['v1'] and registry.tags.keys() == {'v2'}


def test_a_run_that_is_interrupted_leaves_the_rest_to_the_next(server: Scripted) -> None:
    registry, settings = Deleting(server), Settings(retries=0)
    going = [registry.receipt(tag, registry.put(tag), (f'sha256-{"a" * 63}{tag[1]}.sig', registry.put(
        f'sha256-{"a" * 63}{tag[1]}.sig'))) for tag in ('v1', 'v2', 'v3')]
    counted = iter(range(10))
    registry.before_delete = lambda: settings.cancellation.cancel() if next(counted) == 2 else None
    with pytest.raises(Cancelled):
        remove(going, (), settings, False)
    assert len(registry.deleted) == 3 and len(registry.tags) == 3
    registry.before_delete = lambda: None
    assert removed(*going) == ['', '', '']
    assert not registry.tags and len(registry.deleted) == len(set(registry.deleted)) == 6


def test_a_signature_s_tag_that_a_killed_run_has_left(server: Scripted) -> None:
    """The image is gone, its signature is not; one that is another now stays."""
    registry = Deleting(server)
    image, tag, moved = registry.put('v1'), f'sha256-{"a" * 64}.sig', f'sha256-{"b" * 64}.sig'
    receipt = registry.receipt('v1', image, (tag, registry.put(tag)), (moved, registry.put(moved)))
    registry.put(moved, 'another')
    del registry.tags['v1'], registry.manifests[image.digest]
    assert removed(receipt) == [''] and registry.tags.keys() == {moved}


UNKNOWN = Answer(404, b'{"errors": [{"code": "NAME_UNKNOWN"}]}')


@pytest.mark.parametrize('dry_run', [False, True])
@pytest.mark.parametrize('listed', [Answer(200, b'{"name":"app","tags":null}'), ['v2'], [], UNKNOWN, Answer(404),
                                    Answer(200, b'<html>'), Answer(503)])
def test_a_list_that_lacks_what_is_there_proves_nothing(listed: object, dry_run: bool, server: Scripted) -> None:
    """Somebody else's `prod` is the same manifest, and the list of tags does not say so."""
    registry = Deleting(server)
    shared, other = registry.put('v1'), registry.put('v2')
    registry.put('prod', 'v1')
    registry.listed = listed
    reason, = removed(registry.receipt('v1', shared), dry_run=dry_run)
    assert 'nothing is deleted, since' in reason and registry.tags.keys() == {'v1', 'v2', 'prod'}
    assert not isinstance(listed, list) or 'has app:v1 and does not list it: its list of tags is incomplete' in reason
    registry.listed = ['v1', 'prod']
    reason, = removed(registry.receipt('v1', shared), staying=(registry.receipt('v2', other),), dry_run=dry_run)
    assert 'has app:v2 and does not list it' in reason and not registry.deleted


def test_an_image_of_a_receipt_that_is_gone_need_not_be_listed(server: Scripted) -> None:
    registry = Deleting(server)
    image, other = registry.put('v1'), registry.put('v2')
    del registry.tags['v2'], registry.manifests[other.digest]
    assert removed(registry.receipt('v1', image), staying=(registry.receipt('v2', other),)) == ['']
    registry.listed = UNKNOWN  # as of a registry that forgets a repository with its last tag
    assert removed(registry.receipt('v1', image)) == ['']


def test_a_listed_manifest_that_cannot_be_read_is_not_gone(server: Scripted) -> None:
    registry = Deleting(server)
    image = registry.put('v1')
    registry.listed = ['v1']
    registry.manifests.clear()
    reason, = removed(registry.receipt('v1', image))
    assert 'lists' in reason and 'app:v1 and does not have it: try again later' in reason
