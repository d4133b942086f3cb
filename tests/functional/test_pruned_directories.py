"""prune=true for dir:// with several images: an image goes with its files, and what others need stays."""
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from occystrap_core import Settings
from occystrap_core.testing.sample import sample_image
from occystrap_registry.server.server_thread import RegistryServer
from tests.hostile.in_process import run_here
from tests.services.command_line import CommandResult
from tests.unit.registry.images import push

TAGS = ('1.1', '1.2', '1.3')
OPTIONS = ['', '&checksums=true', '&expand=true']


@pytest.fixture
def host(tmp_path: Path) -> Iterator[str]:
    with RegistryServer(tmp_path / 'registry') as server:
        for tag in TAGS:
            push(server.host, Settings(), sample_image('team/app', variant=tag), f'team/app:{tag}')
        yield server.host


def run(*arguments: str | Path, code: int = 0) -> CommandResult:
    result = run_here(*arguments)
    result.assert_code(code)
    return result


def mirrored(host: str, directory: Path, query: str = '', options: str = '', *more: str, code: int = 0,
             ) -> CommandResult:
    return run('process', f'registry://{host}/team/*:*?{query}', f'dir://{directory}?unique_names=true{options}', *more,
               code=code)


def names(directory: Path) -> set[str]:
    """Return the files of a directory that are no receipts or locks."""
    return {str(each.relative_to(directory)) for each in directory.rglob('*') if each.is_file()
            and '.occystrap' not in each.parts}


def listed(directory: Path) -> list[str]:
    return sorted(json.loads((directory / 'catalog.json').read_bytes()).get('team/app', {}))


def test_a_long_dry_run_shows_what_would_go(host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory, images = tmp_path / 'mirror', tmp_path / 'images.txt'
    mirrored(host, directory)
    monkeypatch.setattr('occystrap_core.tasks.task_list.WINDOW', 1)
    dry = mirrored(host, directory, 'newest=2&prune=true', '', '--prune', '--dry-run')
    assert dry.out.count('would skip') == 2 and dry.out.count('would prune') == 1 and '1 to prune' in dry.err
    images.write_text(f'registry://{host}/team/*:*?newest=2&prune=true\n')
    dry = run('process', f'list://{images}', f'dir://{directory}?unique_names=true', '--dry-run')
    assert dry.out.count('would skip') == 2 and 'would prune' not in dry.out
    assert 'note: what would be pruned is not shown' in dry.err and 'add --prune' in dry.err


@pytest.mark.parametrize('options', OPTIONS)
def test_the_oldest_go_after_they_are_shown(options: str, host: str, tmp_path: Path) -> None:
    directory, only = tmp_path / 'mirror', tmp_path / 'only'
    mirrored(host, directory, '', options)
    before = names(directory)
    dry = mirrored(host, directory, 'newest=1&prune=true', options, '--prune', '--dry-run')
    assert dry.out.count('would prune') == 2 and names(directory) == before
    result = mirrored(host, directory, 'newest=1&prune=true', options, '--prune')
    assert ', 2 pruned' in result.err and listed(directory) == ['1.3']
    mirrored(host, only, 'newest=1', options)
    assert names(directory) == names(only)
    assert '1/1 verified' in run('verify', '--full', f'dir://{directory}').err
    if 'checksums' in options:
        subprocess.run(['sha256sum', '-c', '--quiet', 'SHA256SUMS'], cwd=directory, check=True)


def test_the_last_image_goes_too(host: str, tmp_path: Path) -> None:
    directory = tmp_path / 'mirror'
    mirrored(host, directory)
    for tag in TAGS:
        httpx.delete(f'http://{host}/v2/team/app/manifests/{tag}', trust_env=False).raise_for_status()
    push(host, Settings(), sample_image('other'), 'other:v1')
    assert ', 3 pruned' in mirrored(host, directory, 'prune=empty', '', '--prune').err
    assert names(directory) == {'catalog.json'} and listed(directory) == []
    push(host, Settings(), sample_image('team/app'), 'team/app:2')
    mirrored(host, directory)
    assert listed(directory) == ['2']


def test_leftovers_of_a_killed_run_are_removed_by_the_next(host: str, tmp_path: Path) -> None:
    """The catalog was written, and manifest and receipt are still there: that is how far a run may have come."""
    directory = tmp_path / 'mirror'
    mirrored(host, directory)
    left = [*directory.glob('manifest-*1.1.json'), *(directory / '.occystrap').rglob('manifest-*1.1.json')]
    kept = {path: path.read_bytes() for path in left}
    assert len(kept) == 2
    mirrored(host, directory, 'newest=2&prune=true', '', '--prune')
    for path, content in kept.items():
        path.write_bytes(content)
    assert ', 1 pruned' in mirrored(host, directory, 'newest=2&prune=true', '', '--prune').err
    assert not any(path.exists() for path in kept) and listed(directory) == ['1.2', '1.3']
    assert '2/2 verified' in run('verify', '--full', f'dir://{directory}').err


def test_a_replaced_image_is_kept(host: str, tmp_path: Path) -> None:
    directory = tmp_path / 'mirror'
    mirrored(host, directory, '', '', '--receipt', str(tmp_path / 'done'))
    manifest, = directory.glob('manifest-*1.1.json')
    manifest.write_bytes(manifest.read_bytes() + b'\n')
    result = mirrored(host, directory, 'newest=2&prune=true', '', '--prune', code=1)
    assert 'NOT PRUNED' in result.err and 'is another image now, which no receipt covers' in result.err
    catalog = json.loads((directory / 'catalog.json').read_bytes())
    catalog['team/app']['theirs'] = catalog['team/app'].pop('1.1')
    (directory / 'catalog.json').write_text(json.dumps(catalog))
    assert 'NOT PRUNED' in mirrored(host, directory, 'newest=2&prune=true', '', '--prune', code=1).err
    assert 'theirs' in listed(directory)


def test_another_name_of_the_same_manifest_keeps_it(host: str, tmp_path: Path) -> None:
    directory = tmp_path / 'mirror'
    mirrored(host, directory)
    catalog = json.loads((directory / 'catalog.json').read_bytes())
    catalog['theirs'] = {'v1': catalog['team/app']['1.1']}
    (directory / 'catalog.json').write_text(json.dumps(catalog))
    assert ', 1 pruned' in mirrored(host, directory, 'newest=2&prune=true', '', '--prune').err
    assert listed(directory) == ['1.2', '1.3'] and 'theirs' in (directory / 'catalog.json').read_text()
    run('check', f'dir://{directory}?image=theirs')


def test_files_that_somebody_changed_keep_their_image(host: str, tmp_path: Path) -> None:
    directory = tmp_path / 'mirror'
    mirrored(host, directory, '', '&expand=true')
    hostname = next(each for each in directory.rglob('hostname') if '1.1' in str(each.relative_to(directory)))
    hostname.write_text('changed')
    before = names(directory)
    result = mirrored(host, directory, 'newest=2&prune=true', '&expand=true', '--prune', code=1)
    assert 'NOT PRUNED' in result.err and names(directory) == before and hostname.read_text() == 'changed'


def test_a_damaged_catalog_and_a_single_image_are_refused(host: str, tmp_path: Path) -> None:
    directory = tmp_path / 'mirror'
    mirrored(host, directory)
    result = run('process', f'registry://{host}/team/app:1.3?prune=true', f'dir://{tmp_path}/one', '--prune', code=2)
    assert 'holds one image, which is not pruned' in result.err and '?unique_names=true' in result.err
    (directory / 'catalog.json').write_text('{')
    before = names(directory)
    mirrored(host, directory, 'newest=2&prune=true', '', '--prune', code=1)
    assert names(directory) == before


@pytest.mark.parametrize('place', ['layout://{}', 'dir://{}?unique_names=true'])
def test_one_receipt_file_for_several_destinations(place: str, host: str, tmp_path: Path) -> None:
    """A dry run and a real one look at the receipts of all of them in the same way."""
    where, receipts, destination = f'registry://{host}/team/*:*', tmp_path / 'done', place.format(tmp_path / 'm')
    registry, other = f'registry://{host}/copy/{{repository}}:{{tag}}', place.format(tmp_path / 'other')
    run('process', where, destination, registry, other, f'tar://{tmp_path}/a.tar?format=oci', '--receipt', receipts)
    again = ('process', f'{where}?newest=1&prune=true', destination, '--receipt', receipts, '--prune')
    assert run(*again, '--dry-run').out.count('would prune') == 2
    assert ', 2 pruned' in run(*again).err
    run('verify', receipts, '--full')
    assert '1/1 verified' in run('verify', destination.partition('?')[0]).err
    assert len(receipts.read_text().splitlines()) == 10
