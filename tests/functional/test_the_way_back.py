"""Layouts, directories, archives of many images as sources: everything goes back to a registry, or what is chosen."""
import json
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from occystrap_core.testing.sample import sample_config, sample_layers
from occystrap_registry.server.server_thread import RegistryServer
from tests.functional.archives import write_docker_archive
from tests.hostile.in_process import run_here
from tests.services.command_line import CommandResult
from tests.unit.registry.several import manifest_at, push_all

WRITTEN = {'layout': '', 'dir': '?unique_names=true', 'tar': '?format=oci'}
"""The options of a destination for many images: the same URI is a source."""
NAMES = ['team/app:v1', 'team/app:v2', 'other/tool:v1', 'many:v1']
Carry = Callable[[str], str]


@pytest.fixture(scope='module')
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A registry with three images and an index; tests do not change it."""
    with RegistryServer(tmp_path_factory.mktemp('registry')) as server:
        push_all(server.host, NAMES)
        yield server.host


@pytest.fixture
def there(tmp_path: Path) -> Iterator[str]:
    """The registry on the other side."""
    with RegistryServer(tmp_path / 'there') as server:
        yield server.host


def run(*arguments: str | Path, code: int = 0) -> CommandResult:
    result = run_here(*arguments)
    result.assert_code(code)
    return result


def digests(host: str) -> dict[str, bytes]:
    """Return the manifest of each name in a registry."""
    return {name: manifest_at(host, name.partition(':')[2], name.partition(':')[0]).content for name in NAMES}


@pytest.fixture(scope='module')
def carried(host: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Gives a place of a kind into which all images were copied; not to be changed."""
    @cache
    def carried(kind: str) -> Path:
        directory = tmp_path_factory.mktemp(kind)
        (directory / 'list').write_text(''.join(f'registry://{host}/{name}\n' for name in NAMES))
        run('process', f'list://{directory}/list', f'{kind}://{directory}/gap{WRITTEN[kind]}')
        return directory / 'gap'
    return carried


@pytest.fixture
def carry(carried: Callable[[str], Path], tmp_path: Path) -> Callable[[str], str]:
    """Puts all images into one place of a kind, `gap`; returns it as a source."""
    def carry(kind: str) -> str:
        place = carried(kind)
        (shutil.copytree if place.is_dir() else shutil.copy)(place, tmp_path / 'gap')
        return f'{kind}://{tmp_path}/gap'
    return carry


@pytest.mark.parametrize('kind', ['layout', 'tar'])
def test_all_goes_back_with_every_digest(kind: str, host: str, there: str, carry: Carry, tmp_path: Path) -> None:
    source = carry(kind)
    back = run('process', '--verify=full', '--receipt', tmp_path / 'receipts', source + WRITTEN[kind],
               f'registry://{there}/{{repository}}:{{tag}}')
    assert '4/4 verified' in back.err and digests(there) == digests(host)
    again = run('process', '--resume', tmp_path / 'receipts', source, f'registry://{there}/{{repository}}:{{tag}}')
    assert '4/4 verified' in again.err


def test_all_of_a_directory_goes_back(host: str, there: str, carry: Carry) -> None:
    source = carry('dir') + WRITTEN['dir']
    assert '4/4 verified' in run('process', source, f'registry://{there}/{{repository}}:{{tag}}').err
    assert {json.loads(each)['config']['digest'] for each in digests(there).values()} >= {
        json.loads(each)['config']['digest'] for name, each in digests(host).items() if name != 'many:v1'}


@pytest.mark.parametrize('kind', ['layout', 'dir', 'tar'])
@pytest.mark.parametrize(('pattern', 'names'), [
    ('team/*:v1*', NAMES[:1]), ('team/*', NAMES[:2]), ('**:v1', [NAMES[0], *NAMES[2:]]), ('**', NAMES),
    ('x/*', []), ('team/app:v2', NAMES[1:2])])
def test_some_of_it(kind: str, pattern: str, names: list[str], there: str, carry: Carry) -> None:
    source = carry(kind)
    result = run('process', f'{source}?image={pattern}', f'registry://{there}/{{repository}}:{{tag}}',
                 code=0 if names else 1)
    for name in NAMES:
        found = manifest_at(there, name.partition(':')[2], name.partition(':')[0]).status_code
        assert (found == 200) == (name in names), result


@pytest.mark.parametrize('kind', ['layout', 'dir', 'tar'])
def test_info_check_and_search_take_all_or_one(kind: str, carry: Carry) -> None:
    source = carry(kind)
    for command in (['info'], ['check'], ['search']):
        words = ['etc/*'] if command == ['search'] else []
        documents = run(*command, source, *words, '-O', 'json').json()
        assert len(documents['images']) == 4
        assert len(run(*command, f'{source}?image=team/*', *words, '-O', 'json').json()['images']) == 2


@pytest.mark.parametrize('kind', ['layout', 'dir', 'tar'])
def test_a_destination_for_one_lists_the_choices(kind: str, carry: Carry, tmp_path: Path) -> None:
    source = carry(kind)
    line, = run('process', source, f'oci://{tmp_path}/out', code=2).errors
    assert 'choose one image of the source with ?image=:' in line and 'team/app:v1' in line
    assert not (tmp_path / 'out').exists()


def test_a_second_name_of_one_image_is_a_choice_too(tmp_path: Path) -> None:
    write_docker_archive(tmp_path / 'a.tar', sample_config(sample_layers()), sample_layers(), 'a:v1')
    for name, more in (('a', ()), ('b', ()), ('c', ('-f', 'exclude:pattern=etc'))):
        run('process', f'tar://{tmp_path}/a.tar', f'layout://{tmp_path}/l:{name}', *more)
    line, = run('process', f'layout://{tmp_path}/l', f'oci://{tmp_path}/out', code=2).errors
    assert line.endswith('?image=: l:a, l:b, l:c')


def test_every_name_of_one_image(there: str, tmp_path: Path) -> None:
    """To a place for one image it goes once; where names are kept, each of them goes."""
    write_docker_archive(tmp_path / 'a.tar', sample_config(), sample_layers(), 'team/app:v1', 'other/tool:v1')
    run('process', f'tar://{tmp_path}/a.tar', f'layout://{tmp_path}/L')
    run('process', f'tar://{tmp_path}/a.tar?image=other/tool:v1', f'layout://{tmp_path}/L')
    assert '1/1 verified' in run('process', f'layout://{tmp_path}/L', f'dir://{tmp_path}/one').err
    assert '2/2 verified' in run('process', f'layout://{tmp_path}/L', f'registry://{there}/{{repository}}:{{tag}}').err


def test_names_that_are_none_are_known_by_digest(there: str, carry: Carry, tmp_path: Path) -> None:
    carry('layout')
    listed = tmp_path / 'gap/index.json'
    document = json.loads(listed.read_text())
    for number, each in enumerate(document['manifests']):
        each['annotations'] = {'org.opencontainers.image.ref.name': ('Team/APP:V1', '../../x', 'a b', 'x:')[number]}
    listed.write_text(json.dumps(document))
    source = f'layout://{tmp_path}/gap'
    assert '4/4 images checked' in run('check', source).err
    refused = run('process', source, f'registry://{there}/{{repository}}:{{tag}}', code=2)
    assert 'has no tag to fill in; use @{digest}' in refused.err
    assert '4/4 verified' in run('process', source, f'registry://{there}/x@{{digest}}').err


def test_one_that_cannot_be_read_hides_no_other(carry: Carry, tmp_path: Path) -> None:
    source = carry('layout')
    listed = json.loads((tmp_path / 'gap/index.json').read_text())['manifests']
    (tmp_path / 'gap/blobs/sha256' / listed[1]['digest'].partition(':')[2]).unlink()
    result = run('info', '-O', 'json', source, code=1)
    images = result.json()['images']
    assert len(images) == 4 and ['failure' in each for each in images].count(True) == 1
    assert result.err.startswith('FAILED ') and listed[1]['digest'] in result.err


def test_fields_that_would_tell_images_apart(there: str, carry: Carry) -> None:
    source = carry('layout')
    result = run('process', source, f'registry://{there}/{{repository}}', code=2)
    assert f'add fields to registry://{there}/{{repository}}, such as {{tag}} or {{host}}' in result.err


def test_images_without_a_tag_go_by_digest_or_are_named(there: str, carry: Carry, tmp_path: Path) -> None:
    """One entry of a layout has no name: a repository takes it by its digest; where it cannot go, the rest does."""
    source = carry('layout')
    listed = json.loads((tmp_path / 'gap/index.json').read_bytes())
    untagged = next(each for each in listed['manifests'] if each['annotations'].popitem()[1].endswith('tool:v1'))
    listed = json.loads((tmp_path / 'gap/index.json').read_bytes())
    del next(each for each in listed['manifests'] if each['digest'] == untagged['digest'])['annotations']
    (tmp_path / 'gap/index.json').write_text(json.dumps(listed))
    some = f'{source}?image={untagged["digest"]}'
    assert '{tag}' in run('process', some, f'registry://{there}/all:{{tag}}', code=2).errors[-1], 'alone it asks'
    assert '4/4 verified' in run('process', source, f'registry://{there}/all/{{repository}}:{{tag}}').err
    assert manifest_at(there, untagged['digest'], 'all/untagged').status_code == 200
    result = run('process', source, f'dir://{tmp_path}/{{name}}-{{tag}}', code=1)
    line, = [line for line in result.err.splitlines() if line.startswith('FAILED ')]
    assert untagged['digest'] in line and '1 image without a tag' in line and '?image=' in line
    assert result.err.splitlines()[-1].endswith('3/4 verified, 1 FAILED') and (tmp_path / 'many-v1').is_dir()
