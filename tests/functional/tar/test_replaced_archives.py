"""An archive of several images is replaced by one that has them all, or with --force, whatever made it."""
import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from occystrap_core import Settings
from occystrap_core.testing.sample import sample_image
from occystrap_registry.server.server_thread import RegistryServer
from tests.functional.archives import members, rebuild
from tests.hostile.in_process import run_here
from tests.services.command_line import CommandResult
from tests.unit.registry.images import push

FORMATS = ['', '?format=oci']
NAMES = ['app:v1', 'app:v2', 'other:v1']


@pytest.fixture(scope='module')
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with RegistryServer(tmp_path_factory.mktemp('registry')) as server:
        for name in NAMES:
            push(server.host, Settings(), sample_image(name, variant=name), name)
        yield server.host


def run(*arguments: str | Path, code: int = 0) -> CommandResult:
    return run_here(*arguments).assert_code(code)


def listed(directory: Path, *lines: str) -> str:
    (directory / 'list').write_text('\n'.join(lines))
    return f'list://{directory}/list'


def bundle(directory: Path, host: str, *names: str) -> Path:
    source = listed(directory, *(f'registry://{host}/{name}' for name in names or NAMES))
    run('process', '--force', source, f'tar://{directory}/out.tar?format=oci')
    return directory / 'out.tar'


def saved(directory: Path, host: str) -> Path:
    """Two images as `docker save` writes them into one archive."""
    content: dict[str, bytes | None] = {}
    lists = []
    for name in NAMES[:2]:
        run('process', f'registry://{host}/{name}', f'tar://{directory}/one.tar', '--force')
        one = members(directory / 'one.tar')
        lists += json.loads(one.pop('manifest.json'))
        content.update(one)
    rebuild(directory / 'out.tar', {**content, 'manifest.json': json.dumps(lists).encode()})
    return directory / 'out.tar'


MADE: dict[str, Callable[[Path, str], Path]] = {'bundle': bundle, 'docker save': saved}


@pytest.mark.parametrize('pack', [bytes, gzip.compress])
@pytest.mark.parametrize('option', FORMATS)
@pytest.mark.parametrize('made', MADE)
def test_other_images_are_not_lost(made: str, option: str, pack: Callable[[bytes], bytes], host: str, tmp_path: Path,
                                   ) -> None:
    """Such as when ?format=oci was forgotten."""
    path = MADE[made](tmp_path, host)
    path.write_bytes(pack(path.read_bytes()))
    before = path.read_bytes()
    for dry in ([], ['--dry-run']):
        result = run('process', *dry, f'registry://{host}/app:v1', f'tar://{path}{option}', code=1)
        line = result.out + result.err
        assert f'{path} has images that this run does not write, and they would be lost: {host}/app:v2' in line
        assert '--force' in line and path.read_bytes() == before
    run('process', f'registry://{host}/app:v1', f'tar://{path}{option}', '--force')


@pytest.mark.parametrize('option', FORMATS)
def test_one_image_after_the_other(option: str, host: str, tmp_path: Path) -> None:
    """Each night the next version goes into the same file."""
    for name in ('app:v1', 'app:v2', 'app:v1'):
        run('process', f'registry://{host}/{name}', f'tar://{tmp_path}/out.tar{option}')
        run('process', f'registry://{host}/{name}', f'tar://{tmp_path}/out.tar?format=oci')


def test_all_names_of_the_archive(host: str, tmp_path: Path) -> None:
    """The same list again, also where docker had written the archive, in whose list names are shorter."""
    path = bundle(tmp_path, host)
    run('process', f'list://{tmp_path}/list', f'tar://{path}?format=oci')
    saved(tmp_path, host)
    run('process', f'list://{tmp_path}/list', f'tar://{path}?format=oci')


def test_images_without_names_are_not_lost(host: str, tmp_path: Path) -> None:
    pinned = [run('info', f'registry://{host}/{name}', '-O', 'json').json()['images'][0]['digest'] for name in NAMES]
    lines = [f'registry://{host}/{name.partition(":")[0]}@{digest}' for name, digest in zip(NAMES, pinned, strict=True)]
    target = f'tar://{tmp_path}/out.tar?format=oci'
    run('process', listed(tmp_path, *lines), target)
    before = (tmp_path / 'out.tar').read_bytes()
    for source in (f'registry://{host}/app:v1', lines[0], listed(tmp_path, *lines[:2]),
                   listed(tmp_path, *lines[:2], f'registry://{host}/app:v1')):
        result = run('process', source, target, code=1)
        assert 'would be lost: ' in result.err and pinned[-1] in result.err
        assert (tmp_path / 'out.tar').read_bytes() == before and not [*tmp_path.glob('.*')]
    run('process', listed(tmp_path, *lines), target)
    run('process', lines[0], f'tar://{tmp_path}/out.tar', code=1)


def test_filtered_images_without_names_are_replaced_by_the_same(host: str, tmp_path: Path) -> None:
    """Their digests are known only when they are written."""
    pinned = [run('info', f'registry://{host}/{name}', '-O', 'json').json()['images'][0]['digest'] for name in NAMES]
    lines = [f'registry://{host}/{name.partition(":")[0]}@{digest}' for name, digest in zip(NAMES, pinned, strict=True)]
    target = f'tar://{tmp_path}/out.tar?format=oci'
    command = ('process', listed(tmp_path, *lines), target, '-f', 'normalize-timestamps')
    run(*command)
    run(*command)
    before = (tmp_path / 'out.tar').read_bytes()
    result = run(*command[:-2], code=1)
    assert 'would be lost' in result.err and (tmp_path / 'out.tar').read_bytes() == before


@pytest.mark.parametrize('dry', [[], ['--dry-run']])
def test_a_delta_does_not_replace_what_it_is_a_delta_to(dry: list[str], host: str, tmp_path: Path) -> None:
    source, target, receipt = f'registry://{host}/app:v1', f'tar://{tmp_path}/gap.tar?format=oci', tmp_path / 'receipt'
    run('process', source, target, '--receipt', receipt)
    before, proof = (tmp_path / 'gap.tar').read_bytes(), receipt.read_bytes()
    result = run('process', *dry, source, target, '--since', receipt, '--receipt', receipt, code=1)
    line = result.out + result.err
    assert 'gap.tar has what this delta leaves out, which would be lost: sha256:' in line and '--force' in line
    assert (tmp_path / 'gap.tar').read_bytes() == before and receipt.read_bytes() == proof
    delta = f'tar://{tmp_path}/delta.tar?format=oci'
    run('process', source, delta, '--since', receipt)
    run('process', source, delta, '--since', receipt, '--receipt', receipt)
    run('process', source, delta, '--since', receipt)  # a delta replaces a delta, also the one that it is based on
    run('process', source, target, '--since', receipt, '--force')
