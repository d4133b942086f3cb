"""Several mirrors with one destination: each prunes what it brought itself, and nothing that another still brings."""
import json
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from occystrap_core import ImageInput, Receipt, Settings
from occystrap_core.destinations.bringers import source_name
from occystrap_core.pipeline.run import Run
from occystrap_core.plugins.resolver import open_source, source_location
from occystrap_core.testing.sample import sample_image
from occystrap_core.verification.receipt import seal
from occystrap_registry.server.server_thread import RegistryServer
from occystrap_registry.server.storage import Storage
from tests.hostile.in_process import run_here
from tests.services.command_line import CommandResult
from tests.services.installed import installed_plugins
from tests.unit.registry.images import push
from tests.unit.registry.several import registry_with

PLACES = ['layout://m', 'dir://m?unique_names=true']


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.chdir(tmp_path)
    with registry_with(tmp_path / 'registry', ['team/a:v1', 'team/a:v2', 'team/b:v1']) as server:
        yield server.host


def run(*arguments: str | Path, code: int = 0) -> CommandResult:
    result = run_here('process', *arguments)
    result.assert_code(code)
    return result


def kept() -> dict[str, Receipt]:
    """Return the receipts that the destination keeps, by name without the host."""
    found = [Receipt.from_json(path.read_bytes()) for path in Path('m').glob('.occystrap/receipts/*')]
    return {each.reference.partition('/')[2] or each.reference: each for each in found}


def write(name: str, host: str, *images: str) -> str:
    Path(name).write_text(''.join(f'{host}/{each}?insecure=true\n' for each in images))
    return f'list://{name}?prune=true'


@pytest.mark.parametrize('place', PLACES)
def test_images_of_another_mirror_are_kept(place: str, host: str) -> None:
    run(f'registry://{host}/team/b:*', place)
    result = run(f'registry://{host}/team/*:*?exclude=team/b&prune=true', place, '--prune')
    assert kept().keys() == {'team/a:v1', 'team/a:v2', 'team/b:v1'} and 'pruned' not in result.err
    result = run(f'registry://{host}/team/*:*?newest=1&exclude=team/b&prune=true', place, '--prune')
    assert ', 1 pruned' in result.err and kept().keys() == {'team/a:v2', 'team/b:v1'}


@pytest.mark.parametrize('place', PLACES)
def test_an_image_of_two_sources_is_deleted_with_the_last(place: str, host: str) -> None:
    run(write('l1', host, 'team/a:v1', 'team/a:v2'), place, '--receipt', 'r1', '--prune')
    result = run(write('l2', host, 'team/a:v1', 'team/b:v1'), place, '--receipt', 'r2', '--prune')
    assert '1 unchanged' in result.err and len(kept()['team/a:v1'].brought_by) == 2
    again = (write('l1', host, 'team/a:v2'), place, '--receipt', 'r1', '--prune')
    before = kept()
    dry = run(*again, '--dry-run')
    assert 'note: 1 image is kept that other sources copied too: list://' in dry.err and kept() == before
    result = run(*again)
    assert f'note: 1 image is kept that other sources copied too: list://{os.getcwd()}/l2' in result.err
    assert [each.in_list for each in kept()['team/a:v1'].brought_by] == [f'list://{os.getcwd()}/l2']
    assert len(Path('r1').read_text().splitlines()) == 1 and 'stays' not in run(*again).err
    run_here('verify', 'r2', '--full').assert_code(0)
    assert ', 1 pruned' in run(write('l2', host, 'team/b:v1'), place, '--receipt', 'r2', '--prune').err
    assert kept().keys() == {'team/a:v2', 'team/b:v1'}
    run_here('verify', 'r1', '--full').assert_code(0)


def test_a_registry_s_receipts_say_it_too_in_one_file(host: str) -> None:
    place = f'registry://{host}/copy/{{repository}}:{{tag}}'
    run(write('l1', host, 'team/a:v1', 'team/a:v2'), place, '--receipt', 'r', '--prune')
    run(write('l2', host, 'team/a:v1', 'team/b:v1'), place, '--receipt', 'r', '--prune')
    done = run(write('l1', host, 'team/a:v2'), place, '--receipt', 'r', '--prune')
    assert 'is kept that other sources copied' in done.err
    run_here('verify', 'r', '--full').assert_code(0)
    assert ', 1 pruned' in run(write('l2', host, 'team/b:v1'), place, '--receipt', 'r', '--prune').err
    assert len(Path('r').read_text().splitlines()) == 2
    run_here('verify', 'r', '--full').assert_code(0)


@pytest.mark.parametrize('place', PLACES)
def test_receipts_that_do_not_say_who_brought_an_image(place: str, host: str) -> None:
    """Those of earlier versions: the image stays, and who finds it unchanged is noted as having brought it."""
    run(f'registry://{host}/team/a:*', place)
    for path in Path('m/.occystrap/receipts').iterdir():
        document = json.loads(path.read_bytes())
        source = f'registry://{host.replace("127.0.0.1", "localhost")}/team/a:*'
        goes = f'{place.partition("m")[0]}{os.getcwd()}/m'
        assert document.pop('brought_by') == [{'source': source, 'destination': goes, 'in_list': ''}]
        del document['seal']
        path.write_text(json.dumps({**document, 'seal': seal(document)}))
    again = (f'registry://{host}/team/a:*?newest=1&prune=true', place, '--prune')
    assert 'note: 1 image is kept whose receipts, of an earlier version' in run(*again).err and len(kept()) == 2
    run(f'registry://{host}/team/a:*', place)
    assert ', 1 pruned' in run(*again).err and kept().keys() == {'team/a:v2'}


@pytest.mark.parametrize('place', PLACES)
def test_a_mirror_that_was_moved_is_pruned(place: str, host: str) -> None:
    run(f'registry://{host}/team/a:*', place)
    os.rename('m', 'moved')
    os.symlink('moved', 'm')
    assert ', 1 pruned' in run(f'registry://{host}/team/a:*?newest=1&prune=true', place, '--prune').err
    os.unlink('m')
    os.rename('moved', 'm')
    assert ', 1 pruned' in run(f'registry://{host}/team/a:*?semver=9&prune=empty', place, '--prune').err and not kept()


@pytest.mark.parametrize(('keep', 'stays'), [
    ('{host}/team/a:v1', True), ('{host}/team/a', True), ('{host}/**', True), ('team/a:v1', True), ('team/a', True),
    (':v1', True), ('team/*:v[1]', True), ('team/A:*', False), ('a:v1', False), ('', False), ('other/**', False)])
def test_names_to_keep_are_written_as_they_are_printed(keep: str, stays: bool, host: str) -> None:
    run(f'registry://{host}/team/a:*', 'layout://m')
    keep = keep.format(host=host)
    result = run(f'registry://{host}/team/a:*?newest=1&prune=true&keep={keep}', 'layout://m', '--prune')
    assert (len(kept()) == 2) == stays and ('1 image is kept by keep=' in result.err) == stays
    note = f'note: keep={keep} matches no image here or at the source: write' if keep else 'note: keep= is empty, and'
    assert (note in result.err) == (not stays)


def test_a_name_to_keep_may_be_at_the_source_alone(host: str) -> None:
    for _ in range(2):
        result = run(f'registry://{host}/team/a:*?prune=true&keep=:v2', 'layout://m', '--prune')
        assert 'matches no' not in result.err


@pytest.mark.parametrize('place', ['layout://m', 'registry://{host}/copy/{{repository}}@{{digest}}'])
def test_lines_with_digests(place: str, host: str) -> None:
    """Images without a tag share one place in a layout: each is told from the others by its digest."""
    place = place.format(host=host)
    first, second, third = (httpx.head(f'http://{host}/v2/team/{name[0]}/manifests/{name[1:]}', trust_env=False,
                                       headers={'Accept': '*/*'}).headers['docker-content-digest']
                            for name in ('av1', 'av2', 'bv1'))
    push(host, Settings(), sample_image('team/a', variant='team/a:v1'), 'other:v1')
    lines = [f'team/a@{first}', f'team/a@{second}', f'team/b@{third}', f'other@{first}']
    run(write('l', host, *lines), place, '--receipt', 'r', '--prune')
    result = run(write('l', host, lines[1], lines[3]), place, '--receipt', 'r', '--prune')
    assert ', 2 pruned' in result.err or 'layout' in place and ', 1 pruned' in result.err
    run_here('verify', 'r', '--full').assert_code(0)
    if place == 'layout://m':
        listed = json.loads(Path('m/index.json').read_bytes())['manifests']
        assert {each['digest'] for each in listed} == {first, second}
    assert 'pruned' not in run(write('l', host, lines[1], lines[3]), place, '--receipt', 'r', '--prune').err


def test_a_digest_that_two_lists_name_differently(host: str) -> None:
    """A layout has one entry for both names, which goes with the last of them."""
    push(host, Settings(), sample_image('team/a', variant='team/a:v1'), 'other:v1')
    digest = httpx.head(f'http://{host}/v2/other/manifests/v1', headers={'Accept': '*/*'}, trust_env=False
                        ).headers['docker-content-digest']
    for number, name in enumerate(['team/a', 'other'], 1):
        listed = write(f'l{number}', host, f'{name}@{digest}', 'team/b:v1')
        run(listed, 'layout://m', '--receipt', f'r{number}', '--prune')
    for number, words in ((1, '1 image is kept that other sources copied too: list://'), (2, ', 1 pruned')):
        again = write(f'l{number}', host, 'team/b:v1'), 'layout://m', '--receipt', f'r{number}', '--prune'
        assert words in run(*again).err and len(Path(f'r{number}').read_text().splitlines()) == 1
        run_here('verify', 'r1').assert_code(0)
        run_here('verify', 'r2').assert_code(0)


def test_an_old_source_is_pruned_by_its_old_name(host: str) -> None:
    run(f'registry://{host}/team/*:*', 'layout://m')
    run(f'registry://{host}/team/a:*', 'layout://m')
    result = run(f'registry://{host}/team/*:*?exclude=**&prune=empty', 'layout://m', '--prune')
    assert ', 1 pruned' in result.err
    assert '2 images are kept that other sources copied too: registry://localhost' in result.err
    assert kept().keys() == {'team/a:v1', 'team/a:v2'}
    assert ', 1 pruned' in run(f'registry://{host}/team/a:*?newest=1&prune=true', 'layout://m', '--prune').err


@pytest.mark.parametrize(('first', 'second', 'same'), [
    ('registry://127.0.0.1/team/*:*?insecure=true', 'registry://LOCALHOST/team/*:*?newest=2&keep=:v1', True),
    ('registry://host.example/team/*:*', 'registry://user:canary@host.example/team/*:*?referrers=true', True),
    ('registry://host.example/team/*:*', 'registry://host.example/team/**:*', False),
    ('layout://m', 'layout://./m?semver=^1', True), ('layout://m', 'layout://m2', False),
    ('layout://m?image=a', 'layout://m?image=b', False), ('docker://a:*', 'docker://a:*?host=tcp://other:2375', False),
    ('quay://team/*:*', 'quay://team/*:*?since=2024-01-01', True),
    ('quay://team/*:*', 'quay://team/*:*?host=quay.example', False), ('list://l', 'list://./l?prune=true', True)])
def test_which_sources_are_one(first: str, second: str, same: bool) -> None:
    plugins = installed_plugins()
    names = []
    for each in (first, second):
        opened = open_source(plugins, source_location(plugins, each), Settings())
        names.append(source_name(plugins, opened.location))
        if isinstance(opened, ImageInput):
            opened.close()
    assert (names[0] == names[1]) == same and 'canary' not in str(names)


def test_the_last_line_of_a_host(host: str, tmp_path: Path) -> None:
    with RegistryServer(tmp_path / 'other') as other:
        push(other.host, Settings(), sample_image('lone'), 'lone:v1')
        Path('l').write_text(f'{host}/team/a:v1?insecure=true\n{other.host}/lone:v1?insecure=true\n')
        place = f'registry://{host}/copy/{{repository}}:{{tag}}'
        run('list://l?prune=true', place, '--receipt', 'r', '--prune')
        assert ', 1 pruned' in run(write('l', host, 'team/a:v1'), place, '--receipt', 'r', '--prune').err


@pytest.mark.parametrize('selection', ['', 'newest=9&', 'semver=>0&', 'regex=v.*&'])
def test_a_catalog_that_hides_what_is_there(selection: str, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as one that shows less to whoever is not logged in: what it has is asked for by name before it is pruned."""
    where = f'registry://{host}/team/*:*?{selection}prune=true'
    run(f'registry://{host}/team/*:*', 'layout://m')
    monkeypatch.setattr(Storage, 'repositories', lambda storage: ['team/a'])
    for dry in ((), ('--dry-run',)):
        result = run(where, 'layout://m', '--prune', *dry, code=1)
        assert 'team/b:v1 at layout://' in f'{result.out}{result.err}'
        assert 'the source has the image but does not list it, so its list is incomplete' in f'{result.out}{result.err}'
    assert 'team/b:v1' in kept()
    assert ', 1 pruned' in run(f'{where}&exclude=team/b', 'layout://m', '--prune').err and 'team/b:v1' not in kept()


def test_images_gone_from_the_catalog_and_the_registry_are_deleted(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run(f'registry://{host}/team/*:*', 'layout://m')
    httpx.delete(f'http://{host}/v2/team/b/manifests/v1', trust_env=False).raise_for_status()
    monkeypatch.setattr(Storage, 'repositories', lambda storage: ['team/a'])
    assert ', 1 pruned' in run(f'registry://{host}/team/*:*?prune=true', 'layout://m', '--prune').err


def test_without_receipts_of_a_registry_nothing_is_pruned_which_is_told(host: str) -> None:
    source, place = f'registry://{host}/team/*:*?prune=true', f'registry://{host}/copy/{{repository}}:{{tag}}'
    run(source, place)
    note = 'note: nothing is pruned at registry://, which keeps no receipts: use --receipt FILE in each run'
    for how in ('--prune', '--dry-run'):
        assert note in run(f'{source}&newest=1&exclude=copy/**', place, how).err
    assert 'nothing is pruned' not in run(f'{source}&exclude=copy/**', place, '--prune', '--receipt', 'file').err


@pytest.mark.parametrize('place', ['layout://m', 'layout://m/{repository}', 'dir://m?unique_names=true'])
def test_a_receipt_of_another_place_removes_nothing_there(place: str, host: str) -> None:
    """A line of the run's file that says who brought its image, to a place that this run has nothing to do with."""
    source = f'registry://{host}/team/a:*?prune=true'
    run(source, place, '--receipt', 'receipts')
    options = '?unique_names=true' if place.startswith('dir') else ''
    run(f'registry://{host}/team/b:v1', f'{place.partition(":")[0]}://victim{options}', '--receipt', 'theirs')
    ours, theirs = (Receipt.from_json(Path(name).read_text().splitlines()[0]) for name in ('receipts', 'theirs'))
    httpx.delete(f'http://{host}/v2/team/b/manifests/{theirs.manifest_digest or theirs.source_digest}', trust_env=False)
    forged = replace(theirs, brought_by=ours.brought_by)
    with open('receipts', 'a') as file:
        file.write(f'{forged.to_json()}\n')
    before = {path: path.read_bytes() for path in Path('victim').rglob('*') if path.is_file()}
    result = run_here('process', source, place, '--prune', '--receipt', 'receipts')
    assert {path: path.read_bytes() for path in Path('victim').rglob('*') if path.is_file()} == before, result


def meanwhile(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], object]) -> None:
    """Let something happen between the copies of the next run and its pruning."""
    prune = Run._prune

    def after_that(self: Run, *arguments: Any) -> None:
        monkeypatch.setattr(Run, '_prune', prune)
        happens()
        prune(self, *arguments)
    monkeypatch.setattr(Run, '_prune', after_that)


@pytest.mark.parametrize('place', PLACES)
def test_what_another_run_brings_meanwhile_is_kept(place: str, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow run has listed its source before an image was pushed that the next night's run copies."""
    command = (f'registry://{host}/team/a:*?newest=1&prune=true', place)
    run(*command, '--prune')

    def next_night() -> None:
        push(host, Settings(), sample_image('team/a', variant='team/a:v3'), 'team/a:v3')
        assert '1/1 verified' in run(*command).err
    meanwhile(monkeypatch, next_night)
    assert 'pruned' not in run(*command, '--prune').err and kept().keys() == {'team/a:v2', 'team/a:v3'}
    assert ', 1 pruned' in run(*command, '--prune').err and kept().keys() == {'team/a:v3'}


def test_a_list_that_was_edited_meanwhile(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    command = (write('l', host, 'team/a:v1', 'team/b:v1'), PLACES[0], '--receipt', 'r', '--prune')
    run(*command)
    write('l', host, 'team/a:v1')
    meanwhile(monkeypatch, lambda: write('l', host, 'team/a:v1', 'team/a:v2', 'team/b:v1'))
    assert 'pruned' not in run(*command).err and kept().keys() == {'team/a:v1', 'team/b:v1'}
    write('l', host, 'team/a:v1')
    meanwhile(monkeypatch, lambda: Path('l').unlink())
    result = run(*command, code=1)
    assert 'NOT PRUNED' in result.err and 'its source cannot be listed again: ' in result.err
    assert kept().keys() == {'team/a:v1', 'team/b:v1'}
    write('l', host, 'team/a:v1')
    assert ', 1 pruned' in run(*command).err and kept().keys() == {'team/a:v1'}
