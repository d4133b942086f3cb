"""How a registry keeps what it has: a layout per repository, shared blobs, the same cost for every push."""
import errno
import json
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import Mock

import pytest

from occystrap_core.oci import Descriptor, Digest, Index, Manifest, media_types
from occystrap_registry.server.layout_index import refresh_layouts
from occystrap_registry.server.problems import Problem
from occystrap_registry.server.storage import PushedManifest, Storage
from occystrap_registry.server.stored_blobs import GRACE
from tests.hostile.in_process import run_here

LAYER, CONFIG = b'a layer' * 100, b'{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}'


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(tmp_path / 'storage')


def add(storage: Storage, data: bytes, repository: str = 'app', algorithm: str = 'sha256') -> Digest:
    """Add a blob as an upload does."""
    digest = Digest.of(data, algorithm)
    storage.add_blob(repository, digest, storage.files.write_incomplete(data))
    return digest


def image(storage: Storage, *tags: str, config: bytes = CONFIG, repository: str = 'app', subject: Digest | None = None,
          ) -> Digest:
    """Add an image without layers, and return the digest of its manifest."""
    parts = [add(storage, config, repository)]
    raw = Manifest.build(Descriptor(media_types.OCI_CONFIG, parts[0], len(config)), []).raw
    if subject:
        about = {'mediaType': media_types.OCI_MANIFEST, 'digest': subject, 'size': 1}
        raw = json.dumps({**json.loads(raw), 'subject': about}).encode()
    pushed = PushedManifest(Digest.of(raw), raw, media_types.OCI_MANIFEST, parts, subject=subject, tags=tags)
    storage.add_manifest(repository, pushed)
    return pushed.digest


def index(storage: Storage, *children: Digest, tags: tuple[str, ...] = ()) -> Digest:
    """Add an index, and return its digest."""
    raw = Index.build([Descriptor(media_types.OCI_MANIFEST, each, 1) for each in children]).raw
    pushed = PushedManifest(Digest.of(raw), raw, media_types.OCI_INDEX, manifests=children, tags=tags)
    storage.add_manifest('app', pushed)
    return pushed.digest


def entries(storage: Storage, repository: str = 'app') -> set[tuple[str, str]]:
    """Return the names and digests in a repository's index.json."""
    parsed = json.loads((storage.layout(repository) / 'index.json').read_bytes())
    return {(each.get('annotations', {}).get('org.opencontainers.image.ref.name', ''), each['digest'])
            for each in parsed['manifests']}


def test_a_repository_is_a_layout_that_other_programs_read(storage: Storage) -> None:
    digest = image(storage, 'v1', 'v2')
    refresh_layouts(storage)
    place = storage.layout('app')
    assert json.loads((place / 'oci-layout').read_bytes()) == {'imageLayoutVersion': '1.0.0'}
    assert entries(storage) == {('v1', digest), ('v2', digest)}
    shown = run_here('info', f'layout://{place}:v2', '-O', 'json').assert_success().json()
    assert digest in json.dumps(shown)


def test_the_list_of_a_layout_has_what_tags_and_indexes_do_not_lead_to(storage: Storage) -> None:
    child, lonely = image(storage, config=CONFIG + b' '), image(storage, config=CONFIG + b'  ')
    tagged = index(storage, child, tags=('v1',))
    refresh_layouts(storage)
    assert entries(storage) == {('v1', tagged), ('', lonely)}


def test_the_list_of_a_layout_is_written_when_something_changed(storage: Storage) -> None:
    image(storage, 'v1')
    refresh_layouts(storage)
    written = (storage.layout('app') / 'index.json').stat().st_ino
    os.utime(storage.layout('app') / 'index.json', ns=(1, 1))
    refresh_layouts(storage)
    assert (storage.layout('app') / 'index.json').stat().st_ino != written, 'another time than that of the tags'
    storage.delete_manifest('app', 'v1')
    refresh_layouts(storage)
    assert {name for name, _ in entries(storage)} == {''}


def test_blobs_are_stored_once(storage: Storage) -> None:
    digests = {add(storage, LAYER, name) for name in ('a', 'b/c')}
    assert storage.mount_blob('d', digests.pop(), None)
    inodes = {path.stat().st_ino for path in (storage.files.root).rglob(Digest.of(LAYER).hex)}
    assert len(inodes) == 1 and not list(storage.temporary.iterdir())


def test_a_blob_that_was_cut_is_mended_by_the_next_push(storage: Storage) -> None:
    digest = add(storage, LAYER)
    os.truncate(storage.blob(digest), 5)
    add(storage, LAYER)
    with storage.open_blob('app', digest) as mended:
        assert mended.read() == LAYER and storage.blob(digest).read_bytes() == LAYER


def test_a_blob_of_other_bytes_is_mended_by_all_its_names(storage: Storage) -> None:
    large = os.urandom(3 << 20)
    for data in (LAYER, large):
        digest = add(storage, data)
        assert storage.mount_blob('other', digest, 'app')
        with storage.blob(digest).open('r+b') as file:
            file.write(b'damaged')
            file.seek(-1, os.SEEK_END)
            file.write(bytes([data[-1] ^ 1]))
        inode = storage.blob(digest).stat().st_ino
        add(storage, data)
        for name in ('app', 'other'):
            with storage.open_blob(name, digest) as mended:
                assert mended.read() == data
        assert storage.blob(digest).stat().st_ino == inode and not list(storage.temporary.iterdir())


def test_a_blob_with_as_many_names_as_there_may_be_is_copied(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = add(storage, LAYER)
    real = os.link

    def full(existing: Path, path: Path) -> None:
        if '_layout' in str(path):
            raise OSError(31, 'Too many links')
        real(existing, path)
    monkeypatch.setattr(os, 'link', full)
    assert storage.mount_blob('other', digest, 'app')
    with storage.open_blob('other', digest) as copied:
        assert copied.read() == LAYER


@pytest.fixture
def full_of_names(monkeypatch: pytest.MonkeyPatch) -> None:
    """The file system allows a blob no more names."""
    def full(existing: Path, path: Path) -> None:
        raise OSError(errno.EMLINK, 'Too many links')
    monkeypatch.setattr(os, 'link', full)


def is_free(storage: Storage) -> bool:
    """Return whether another thread may have the guard."""
    def take() -> bool:
        with storage.at_hand() as is_at_hand:
            return is_at_hand
    with ThreadPoolExecutor() as others:
        return others.submit(take).result(10)


def test_the_room_of_a_blob_is_freed_while_others_are_served(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    digest, seen, real = add(storage, LAYER), list[tuple[int, bool]](), os.close
    storage.delete_blob('app', digest)

    def close(descriptor: int) -> None:
        seen.append((os.fstat(descriptor).st_nlink, is_free(storage)))
        real(descriptor)
    with monkeypatch.context() as patched:
        patched.setattr(os, 'close', close)
        assert storage.remove_if_old(storage.blob(digest), -1.0)
    assert seen == [(0, True)]


def test_while_a_blob_is_copied_others_are_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = Storage(tmp_path / 's', durable=True)
    digest = add(storage, LAYER)
    real = storage.files.copy

    def copy(existing: Path, path: Path) -> None:
        assert is_free(storage)
        real(existing, path)
    monkeypatch.setattr(storage.files, 'copy', copy)
    monkeypatch.setattr(storage.files, 'link', lambda existing, path: False)
    assert storage.mount_blob('other', digest, 'app')
    with storage.open_blob('other', digest) as copied:
        assert copied.read() == LAYER


def test_an_upload_that_cannot_be_completed_leaves_nothing(
        storage: Storage, full_of_names: None, monkeypatch: pytest.MonkeyPatch) -> None:
    digest, is_full = Digest.of(LAYER), OSError(errno.ENOSPC, 'No space left on device')
    storage.files.make_directory(storage.blob(digest).parent)
    storage.blob(digest).write_bytes(LAYER)
    for module, name in ((shutil, 'copyfileobj'), (os, 'replace')):
        with monkeypatch.context() as patched, pytest.raises(OSError, match='No space'):
            patched.setattr(module, name, Mock(side_effect=is_full))
            storage.mount_blob('app', digest, None)
        assert not list(storage.temporary.iterdir()) and not storage.has_blob('app', digest)
    with monkeypatch.context() as patched, pytest.raises(OSError, match='No space'):
        patched.setattr(os, 'replace', Mock(side_effect=is_full))
        storage.files.write(storage.temporary / 'v1', b'a tag')
    assert not list(storage.temporary.iterdir())


def test_a_blob_that_is_there_is_compared_once(storage: Storage) -> None:
    data = os.urandom(3 << 20)
    add(storage, data)
    before = moved_bytes('rchar')
    add(storage, data)
    assert 1.9 * len(data) < moved_bytes('rchar') - before < 2.5 * len(data), 'what has come, and what is there'


def test_a_repository_may_be_called_as_what_it_lies_in(storage: Storage) -> None:
    names = ['app', 'app/blobs', 'app/blobs/sha256', 'app/index.json', 'app/layout']
    digests = {name: image(storage, 'v1', config=CONFIG + name.encode(), repository=name) for name in names}
    assert sorted(storage.repositories()) == sorted(names)
    assert {name: storage.tagged(name, 'v1') for name in names} == digests


def test_blobs_by_sha512_and_shared_blobs(storage: Storage) -> None:
    one, two = add(storage, LAYER, algorithm='sha512'), add(storage, LAYER)
    assert storage.blob_size('app', one) == storage.blob_size('app', two) == len(LAYER)
    storage.delete_blob('app', one)
    assert storage.has_blob('app', two) and not storage.has_blob('app', one)


def moved_bytes(way: str) -> int:
    """Return how many bytes this process has read (`rchar`) or written (`wchar`) so far."""
    fields = dict(line.split(': ') for line in Path('/proc/self/io').read_text().splitlines())
    return int(fields[way])


def test_a_push_writes_the_same_however_many_tags_there_are(storage: Storage) -> None:
    def cost(number: int) -> int:
        before = moved_bytes('wchar')
        image(storage, f'v{number:05}', config=CONFIG + b'%05d' % number)
        return moved_bytes('wchar') - before
    image(storage, 'first')
    few = cost(0)
    for number in range(2, 1500):
        (storage.repositories_directory / 'app/_tags' / f'v{number:05}').write_bytes(b'sha256:' + b'0' * 64)
    assert abs(cost(1) - few) < 64


@pytest.fixture
def flushed(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What is flushed to the device, by name."""
    seen: list[str] = []
    monkeypatch.setattr(os, 'fsync', lambda descriptor: seen.append(os.readlink(f'/proc/self/fd/{descriptor}')))
    yield seen


def test_files_are_flushed_before_they_are_visible(tmp_path: Path, flushed: list[str]) -> None:
    storage = Storage(tmp_path / 's', durable=True)
    digest = add(storage, LAYER)
    short = [path.removeprefix(f'{tmp_path}/s') for path in flushed]
    content = next(number for number, path in enumerate(short) if path.startswith('/temporary/'))
    assert short.index('/blobs/sha256') > content and short[-1] == '/repositories/app/_layout/blobs/sha256'
    flushed.clear()
    image(storage, 'v1')
    assert flushed[-1] == f'{tmp_path}/s/repositories/app/_tags' and storage.has_blob('app', digest)


def test_a_copied_blob_is_flushed_before_it_is_visible(tmp_path: Path, flushed: list[str], full_of_names: None,
                                                       ) -> None:
    storage = Storage(tmp_path / 's', durable=True)
    storage.blob(digest := Digest.of(LAYER)).write_bytes(LAYER)
    flushed.clear()
    assert storage.mount_blob('app', digest, None)
    short = [path.removeprefix(f'{tmp_path}/s') for path in flushed]
    assert short[-2].startswith('/temporary/') and short[-1] == '/repositories/app/_layout/blobs/sha256'


def test_nothing_is_flushed_for_a_registry_of_one_run(storage: Storage, flushed: list[str]) -> None:
    image(storage, 'v1')
    assert not flushed


def test_a_manifest_is_not_there_without_its_parts(storage: Storage) -> None:
    raw = b'{}'
    with pytest.raises(Problem, match='has no sha256:'):
        storage.add_manifest('app', PushedManifest(Digest.of(raw), raw, 'x', [Digest.of(LAYER)], tags=['v1']))
    assert not list(storage.repositories())


def test_the_time_of_a_blob_is_that_of_the_last_promise(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = add(storage, LAYER)
    path = storage.blob(digest)
    for ask in (lambda: storage.has_blob('app', digest), lambda: storage.blob_size('app', digest),
                lambda: add(storage, LAYER, 'other'), lambda: storage.mount_blob('third', digest, 'app')):
        os.utime(path, (1, 1))
        ask()
        assert path.stat().st_mtime > 1
    os.utime(path, (recent := path.stat().st_mtime - GRACE / 10, recent))
    storage.has_blob('app', digest)
    assert path.stat().st_mtime == pytest.approx(recent), 'not at each request'


def test_what_cannot_be_mounted_makes_no_repository(storage: Storage) -> None:
    digest = add(storage, LAYER, 'other')
    nowhere = Digest.of(b'nowhere')
    assert not any(storage.mount_blob('new', each, origin) for each, origin in (
        (nowhere, None), (nowhere, 'other'), (digest, 'third')))
    assert [*storage.repositories_with_blobs()] == ['other']


def test_a_tag_that_is_moved_while_it_is_looked_up_has_always_an_image(storage: Storage,
                                                                       monkeypatch: pytest.MonkeyPatch) -> None:
    """The tag is moved, and the manifest that it meant deleted, between two reads; another tag is deleted."""
    before = image(storage, 'v1', 'v2', config=CONFIG + b' ')
    real, moved = storage.tagged, list[Digest]()

    def late(repository: str, tag: str) -> Digest:
        digest = real(repository, tag)
        if not moved:
            moved.append(image(storage, 'v1'))
            storage.delete_manifest('app', before)
        return digest
    monkeypatch.setattr(storage, 'tagged', late)
    assert storage.manifest('app', 'v1')[0] == moved[0] != before
    moved.clear()
    with pytest.raises(Problem, match='has no manifest v2'):
        storage.manifest('app', 'v2')
