"""Garbage collection: what nothing names goes, what something names or a push relies on stays."""
import os
from pathlib import Path

import pytest

from occystrap_core import OutputError
from occystrap_core.oci import Digest
from occystrap_registry.server import garbage
from occystrap_registry.server.garbage import Collected, collect
from occystrap_registry.server.layout_index import refresh_layouts
from occystrap_registry.server.storage import Storage
from tests.unit.registry.server.test_storage import CONFIG, LAYER, add, image, index


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(tmp_path / 'storage')


def age(storage: Storage) -> None:
    """Let two hours pass."""
    for path in storage.files.root.rglob('*'):
        if path.is_file():
            os.utime(path, (past := path.stat().st_mtime - 7200, past))


def left(storage: Storage) -> set[str]:
    """Return the digits of all blobs."""
    return {path.name for path in (storage.files.root / 'blobs').rglob('*') if path.is_file()}


def test_blobs_of_manifests_are_kept(storage: Storage) -> None:
    image(storage, 'v1')
    image(storage, config=CONFIG + b' ')
    before = left(storage)
    age(storage)
    assert collect(storage) == Collected() and left(storage) == before and len(before) == 4


def test_unreferenced_blobs_are_removed(storage: Storage) -> None:
    tagged = image(storage, 'v1')
    add(storage, LAYER)
    add(storage, LAYER, 'app', 'sha512')
    age(storage)
    assert collect(storage) == Collected(0, 2, 2 * len(LAYER))
    assert left(storage) == {tagged.hex, Digest.of(CONFIG).hex}


@pytest.mark.parametrize('untagged', [False, True])
def test_blobs_whose_image_never_came_go(untagged: bool, storage: Storage) -> None:
    """A push that was given up, to a repository that has nothing else."""
    add(storage, LAYER, 'new/app')
    assert collect(storage, untagged) == Collected()
    age(storage)
    assert collect(storage, untagged) == Collected(0, 1, len(LAYER)) and not left(storage)


def test_young_blobs_are_kept(storage: Storage) -> None:
    add(storage, LAYER)
    assert collect(storage) == Collected() and left(storage)


def test_who_was_told_that_a_blob_is_there_finds_it(storage: Storage) -> None:
    image(storage, 'v1')
    digest = add(storage, LAYER)
    age(storage)
    assert storage.has_blob('app', digest)
    collect(storage)
    assert storage.has_blob('app', digest)


def test_a_promise_between_look_and_removal_counts(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    image(storage, 'v1')
    digest = add(storage, LAYER)
    age(storage)
    real = storage.remove_if_old

    def late(path: Path, grace: float, alone: bool = False) -> bool:
        if path.name == digest.hex:
            assert storage.blob_size('app', digest)
        return real(path, grace, alone)
    monkeypatch.setattr(storage, 'remove_if_old', late)
    assert collect(storage) == Collected() and storage.has_blob('app', digest)


def test_a_busy_repository_is_left_alone(storage: Storage) -> None:
    for name in ('app', 'other'):
        image(storage, 'v1', repository=name)
    digests = [add(storage, LAYER, 'app'), add(storage, LAYER + b'2', 'other')]
    age(storage)
    assert collect(storage, is_busy=lambda name: name == 'app').blobs == 1
    assert [storage.has_blob(name, digest) for name, digest in zip(('app', 'other'), digests)] == [True, False]


def test_a_blob_that_another_repository_names_stays_there(storage: Storage) -> None:
    image(storage, 'v1', repository='other')
    add(storage, CONFIG, 'app')
    image(storage, 'v1', config=LAYER, repository='app')
    age(storage)
    assert collect(storage) == Collected()
    assert storage.has_blob('other', Digest.of(CONFIG)) and not storage.has_blob('app', Digest.of(CONFIG))


def test_deleted_images_free_their_room(storage: Storage) -> None:
    digest = image(storage, 'v1')
    storage.delete_manifest('app', digest)
    age(storage)
    assert collect(storage).blobs == 2 and not left(storage)


def test_manifests_without_a_tag_go_when_asked(storage: Storage) -> None:
    child, lonely = image(storage, config=CONFIG + b'1'), image(storage, config=CONFIG + b'2')
    tagged = index(storage, child, tags=('v1',))
    signature = image(storage, config=CONFIG + b'3', subject=child)
    lost = image(storage, config=CONFIG + b'4', subject=lonely)
    young = image(storage, config=CONFIG + b'5')
    age(storage)
    assert storage.has_manifest('app', young), 'somebody asked'
    assert collect(storage, untagged=True).manifests == 2
    kept = [storage.has_manifest('app', each) for each in (child, tagged, signature, young, lonely, lost)]
    assert kept == [True, True, True, True, False, False]
    assert storage.referrers('app', child) == [signature] and not storage.referrers('app', lonely)


def test_a_tag_that_comes_meanwhile_keeps_its_image(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    image(storage, 'v1')
    digest = image(storage, config=CONFIG + b' ')
    age(storage)
    real = garbage._leaders_first

    def late(*found: object) -> list[Digest]:
        result = real(*found)  # type: ignore[arg-type]
        image(storage, 'v2', config=CONFIG + b' ')
        return result
    monkeypatch.setattr(garbage, '_leaders_first', late)
    assert not collect(storage, untagged=True).manifests and storage.tagged('app', 'v2') == digest
    assert storage.manifest('app', 'v2')[0] == digest and storage.has_blob('app', Digest.of(CONFIG + b' '))


def nested(storage: Storage) -> list[Digest]:
    """Push an index of an index of an image, and a signature of the image, all without tags; return their digests."""
    child = image(storage, config=CONFIG + b'1')
    signature = image(storage, config=CONFIG + b'2', subject=child)
    inner = index(storage, child)
    return [index(storage, inner), inner, child, signature]


@pytest.mark.parametrize('told', [0, 1, 2])
def test_what_a_young_manifest_leads_to_stays(told: int, storage: Storage) -> None:
    """A client that was told of an index pulls what it lists, or gives it a tag."""
    digests = nested(storage)
    age(storage)
    assert storage.has_manifest('app', digests[told])
    assert collect(storage, untagged=True).manifests == told
    for each in digests[told:]:
        storage.manifest('app', each)
    assert Digest.of(CONFIG + b'1').hex in left(storage)


@pytest.mark.parametrize('again', [0, 1, 2])
def test_who_pushes_again_during_a_collection_loses_nothing(again: int, storage: Storage,
                                                            monkeypatch: pytest.MonkeyPatch) -> None:
    """A manifest that was pushed again just before it would be removed keeps all that it leads to."""
    digests = nested(storage)
    age(storage)
    real = storage.remove_untagged

    def late(repository: str, digest: Digest, grace: float) -> bool:
        if digest == digests[again]:
            assert storage.manifest('app', digest)
        return real(repository, digest, grace)
    monkeypatch.setattr(storage, 'remove_untagged', late)
    assert collect(storage, untagged=True).manifests == again
    for each in digests[again:]:
        storage.manifest('app', each)


@pytest.mark.parametrize('by', ['tag', 'digest'])
def test_who_pulls_an_image_whose_tag_moves_gets_all_of_it(by: str, storage: Storage) -> None:
    digest = image(storage, 'v1', config=CONFIG + b'1')
    age(storage)
    assert storage.manifest('app', 'v1' if by == 'tag' else digest)[0] == digest
    image(storage, 'v1')
    assert collect(storage, untagged=True) == Collected() and storage.has_blob('app', Digest.of(CONFIG + b'1'))


@pytest.mark.parametrize('untagged', [False, True])
def test_nothing_is_left_of_referrers_that_are_gone(untagged: bool, storage: Storage) -> None:
    child, other = image(storage, 'v1'), image(storage, 'v2', config=CONFIG + b'1')
    gone = [image(storage, config=CONFIG + bytes([each]), subject=child) for each in range(3)]
    kept = image(storage, config=CONFIG + b'2', subject=other)
    for each in gone:
        storage.delete_manifest('app', each)
    assert collect(storage, untagged) == Collected()
    assert storage.referrers('app', other) == [kept] and not storage.referrers('app', child)
    records = storage.repositories_directory / 'app/_referrers'
    assert [path.name for path in records.iterdir()] == [other.replace(':', '-')]


def test_a_repository_with_a_damaged_manifest_is_left_alone(storage: Storage) -> None:
    digest = image(storage, 'v1')
    kept = add(storage, LAYER)
    image(storage, 'v1', repository='other', config=CONFIG + b' ')
    lost = add(storage, LAYER + b'2', 'other')
    storage.blob(digest).write_bytes(b'{}')
    age(storage)
    with pytest.raises(OutputError, match=f'app: the manifest {digest} is damaged'):
        collect(storage)
    assert storage.has_blob('app', kept) and not storage.has_blob('other', lost), 'other repositories are'


def test_files_that_are_no_blobs_are_left_alone(storage: Storage) -> None:
    image(storage, 'v1')
    stray = storage.layout('app') / 'blobs/sha256/notes.txt'
    stray.write_text('mine')
    age(storage)
    collect(storage)
    assert stray.exists()


def test_blobs_deleted_meanwhile_are_no_error(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    image(storage, 'v1')
    digest = index(storage, image(storage, config=CONFIG + b' '), tags=('v2',))
    listed = storage.manifests('app')
    monkeypatch.setattr(storage, 'manifests', lambda repository: listed)
    storage.delete_manifest('app', digest)
    age(storage)
    assert collect(storage, untagged=True).manifests == 1
    refresh_layouts(storage)
