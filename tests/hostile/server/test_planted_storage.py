"""A storage, a layout or a proxy's directory that somebody else has prepared, or that is damaged: nothing outside of it
is changed, shown or removed, nothing is waited for, and what cannot be read makes no garbage."""
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from occystrap_core import OutputError, Settings
from occystrap_core.oci import Digest
from occystrap_core.testing.sample import sample_image
from occystrap_registry.server.contents import Contents
from occystrap_registry.server.layout_storage import LayoutStorage
from occystrap_registry.server.opened_storage import open_storage, open_to_read
from occystrap_registry.server.server_thread import RegistryServer
from tests.hostile.in_process import run_here
from tests.services.command_line import CommandLine
from tests.services.proxied import proxied
from tests.unit.registry.images import push

DIRECTORIES = ['temporary', 'blobs', 'blobs/sha256', 'blobs/sha512', 'repositories', 'repositories/app',
               'repositories/other', 'repositories/app/_layout', 'repositories/app/_layout/blobs',
               'repositories/app/_layout/blobs/sha256', 'repositories/app/_layout/blobs/sha512',
               'repositories/app/_manifests', 'repositories/app/_tags', 'repositories/app/_referrers',
               'repositories/app/_referrers/sha256-0']


@pytest.fixture(scope='module')
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A storage with two images, all of it old, to be copied."""
    root = tmp_path_factory.mktemp('filled')
    with open_storage(root) as storage, RegistryServer(storage) as server:
        push(server.host, Settings())
        push(server.host, Settings(), sample_image(variant='other'), 'app:v2')
    return aged(root)


@pytest.fixture
def root(filled: Path, tmp_path: Path) -> Path:
    """Such a storage of the test's own."""
    return Path(shutil.copytree(filled, tmp_path / 'storage', symlinks=True))


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A directory with files of all names that a storage has, as old."""
    directory = tmp_path / 'outside'
    for above in ('', 'sha256', 'blobs/sha256', '_layout/blobs/sha256', '_tags', '_manifests'):
        (directory / above).mkdir(parents=True, exist_ok=True)
        for name in (Digest.of(b'somebody else\'s').hex, 'index.json', 'v1', 'thesis.txt'):
            (directory / above / name).write_text('mine')
    return aged(directory)


def aged(directory: Path) -> Path:
    for path in directory.rglob('*'):
        os.utime(path, (1, 1))
    return directory


def content(directory: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in directory.rglob('*') if path.is_file()}


@pytest.mark.parametrize('name', DIRECTORIES)
def test_a_link_in_a_storage_leads_nowhere(name: str, root: Path, outside: Path, occystrap: CommandLine) -> None:
    path, before = root / name, content(outside)
    path.parent.mkdir(exist_ok=True)
    shutil.rmtree(path, ignore_errors=True)
    path.symlink_to(outside)
    serve = 'serve', '--listen=127.0.0.1:0', '--storage', root
    for command in (('gc', root, '--untagged', '--older-than', '0'), serve, (*serve, '--read-only')):
        line, = occystrap(*command, timeout=30).assert_code(1).errors
        assert f'{path} is a symbolic link' in line and 'remove it' in line
    assert content(outside) == before


def test_loops_of_links_take_no_time(root: Path, occystrap: CommandLine) -> None:
    for name in ('one', 'other'):
        (root / 'repositories' / name).symlink_to('.')
    occystrap('gc', root, timeout=30).assert_code(1)


def test_a_lock_is_no_link(root: Path, outside: Path) -> None:
    (root / 'lock').unlink()
    (root / 'lock').symlink_to(outside / 'new')
    run_here('gc', root).assert_code(1)
    assert not (outside / 'new').exists()


def test_a_stray_file_is_no_repository(root: Path) -> None:
    (root / 'repositories/notes.txt').write_text('notes')
    run_here('gc', root).assert_success()
    with open_storage(root) as storage:
        assert [*storage.repositories()] == ['app']


@pytest.mark.parametrize('kind', ['link', 'pipe', 'directory'])
@pytest.mark.parametrize('name', ['blob', 'manifest', 'tag', 'media type'])
def test_only_regular_files_are_served_and_others_make_no_garbage(
        name: str, kind: str, root: Path, outside: Path) -> None:
    app = root / 'repositories/app'
    digest = (app / '_tags/v1').read_text()
    config = Digest(sample_image().config.digest)
    path = app / {'blob': f'_layout/blobs/sha256/{config.hex}', 'manifest': f'_layout/blobs/{digest.replace(":", "/")}',
                  'tag': '_tags/v1', 'media type': f'_manifests/{digest.replace(":", "-")}'}[name]
    path.unlink()
    if kind == 'link':
        path.symlink_to(outside / 'thesis.txt')
    elif kind == 'pipe':
        os.mkfifo(path)
    else:
        path.mkdir()
    with served(open_to_read(root)) as client:
        answer = client.get(f'/v2/app/blobs/{config}' if name == 'blob' else '/v2/app/manifests/v1')
        assert answer.status_code in (404, 500) and 'mine' not in answer.text
        assert client.get('/v2/app/manifests/v2').status_code == 200
    before = content(root / 'repositories/app/_layout/blobs')
    done = run_here('gc', root, '--untagged', '--older-than=0')
    if name != 'blob':
        line, = done.assert_code(1).errors
        assert f'of {app.name} was removed' in line or 'is missing' in line
        assert content(root / 'repositories/app/_layout/blobs') == before


@pytest.mark.parametrize('damage', [b'', b'sha256:../../..', b'\xff\xfe\n'])
@pytest.mark.parametrize('name', ['tag', 'media type'])
def test_damaged_marks_make_no_garbage(name: str, damage: bytes, root: Path) -> None:
    app = root / 'repositories/app'
    path = app / '_tags/v1' if name == 'tag' else next((app / '_manifests').iterdir())
    (app / '_manifests/sha256-abc').write_bytes(b'no digest')
    if name == 'media type' and damage.startswith(b'sha256'):
        damage = b'a\r\nb: c'
    path.write_bytes(damage)
    before = content(root / 'repositories/app/_layout/blobs')
    line, = run_here('gc', root, '--untagged', '--older-than=0').assert_code(1).errors
    assert 'is damaged: push' in line and 'nothing of app was removed' in line
    assert content(root / 'repositories/app/_layout/blobs') == before
    with open_storage(root) as storage, RegistryServer(storage) as server, httpx.Client(trust_env=False) as client:
        address = f'http://{server.host}/v2/app/manifests/'
        answers = [client.get(f'{address}{tag}') for tag in ('v1', 'v2')]
        assert sorted(each.status_code for each in answers) == [200, 500]
        push(server.host, Settings())
        push(server.host, Settings(), sample_image(variant='other'), 'app:v2')
        assert {client.get(f'{address}{tag}').status_code for tag in ('v1', 'v2')} == {200}


def test_a_lost_manifest_does_not_make_garbage_of_its_layers(root: Path) -> None:
    app = root / 'repositories/app'
    digest = (app / '_tags/v1').read_text()
    for directory in (app / '_layout', root):
        (directory / 'blobs' / digest.replace(':', '/')).unlink()
    before = content(root / 'repositories/app/_layout/blobs')
    line, = run_here('gc', root, '--older-than=0').assert_code(1).errors
    assert f'{digest} is missing' in line and 'push it again, or delete it' in line
    assert content(root / 'repositories/app/_layout/blobs') == before
    with open_storage(root) as storage, RegistryServer(storage) as server, httpx.Client(trust_env=False) as client:
        address = f'http://{server.host}/v2/app/manifests/{digest}'
        assert [client.delete(address).status_code for _ in range(2)] == [202, 404]
    assert 'Removed' in run_here('gc', root, '--older-than=0').assert_success().err


def test_a_manifest_that_one_repository_has_lost_comes_from_the_pool(root: Path) -> None:
    digest = Digest((root / 'repositories/app/_tags/v1').read_text())
    lost = root / f'repositories/app/_layout/blobs/sha256/{digest.hex}'
    before = lost.read_bytes()
    lost.unlink()
    run_here('gc', root, '--untagged', '--older-than=0').assert_success()
    assert lost.read_bytes() == before
    with served(open_to_read(root)) as client:
        assert client.get('/v2/app/manifests/v1').content == before


@pytest.fixture
def layout(root: Path, tmp_path: Path) -> Path:
    """A layout with one image."""
    with open_storage(root) as storage, RegistryServer(storage) as server:
        run_here('process', f'registry://{server.host}/app:v1', f'layout://{tmp_path}/layout').assert_success()
    return tmp_path / 'layout'


@pytest.mark.parametrize('name', ['index.json', 'oci-layout'])
@pytest.mark.parametrize('kind', ['pipe', 'huge'])
def test_a_layout_whose_documents_are_none_is_refused_at_once(name: str, kind: str, layout: Path,
                                                              occystrap: CommandLine) -> None:
    replace(layout / name, kind)
    line, = occystrap('serve', '--storage', f'layout://{layout}', '--listen=127.0.0.1:0', timeout=30,
                      wrapper=('prlimit', f'--as={2 << 30}')).assert_code(1).errors
    assert str(layout) in line


@pytest.mark.parametrize('kind', ['pipe', 'huge', 'deep'])
def test_a_layout_that_becomes_bad_is_an_error_and_no_end(kind: str, layout: Path) -> None:
    with served(LayoutStorage(layout)) as client:
        assert client.get('/v2/app/tags/list').status_code == 200
        replace(layout / 'index.json', kind)
        answers = [client.get('/v2/app/tags/list') for _ in range(3)]
        assert {each.status_code for each in answers} == {500} and str(layout) not in answers[0].text
        assert client.get('/v2/').status_code == 200


def test_pipes_in_place_of_manifests_keep_no_thread(layout: Path) -> None:
    digest = Digest(str(LayoutStorage(layout).manifest('app', 'v1')[0]))
    replace(layout / f'blobs/sha256/{digest.hex}', 'pipe')
    with served(LayoutStorage(layout)) as client:
        assert {client.get('/v2/app/manifests/v1').status_code for _ in range(50)} == {500}


def replace(path: Path, kind: str) -> None:
    path.unlink()
    if kind == 'pipe':
        os.mkfifo(path)
    elif kind == 'huge':
        with path.open('wb') as file:
            file.truncate(3 << 30)
    else:
        path.write_bytes(b'[' * 100_000)


@pytest.mark.parametrize('name', ['staging', 'spool'])
def test_a_proxy_takes_no_directory_of_others(name: str, root: Path, tmp_path: Path) -> None:
    """Such as the storage of a registry that is called as a proxy calls its own: all of it would be removed."""
    place = tmp_path / 'proxy'
    place.mkdir()
    root.rename(place / name)
    before = content(place)
    with pytest.raises(OutputError, match='is not the directory of a proxy'), proxied(tmp_path):
        pass
    assert content(place) == before


@pytest.mark.parametrize('name', ['staging', 'spool', 'known.sqlite', 'staging/blobs'])
def test_a_link_in_a_proxys_directory_leads_nowhere(name: str, root: Path, outside: Path, tmp_path: Path) -> None:
    with proxied(tmp_path):
        pass
    place = tmp_path / 'proxy' / name
    before = {**content(root), **content(outside)}
    place.unlink() if place.is_file() else shutil.rmtree(place)
    place.symlink_to({'staging': root, 'known.sqlite': outside / 'new'}.get(name, outside))
    with pytest.raises(OutputError, match='is a symbolic link'), proxied(tmp_path):
        pass
    assert {**content(root), **content(outside)} == before


@contextmanager
def served(contents: Contents) -> Iterator[httpx.Client]:
    """Serve contents, and give a client for them."""
    with RegistryServer(contents) as server, httpx.Client(
            base_url=f'http://{server.host}', trust_env=False, timeout=20) as client:
        yield client
