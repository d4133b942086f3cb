"""Only the difference: what the far side has is left out, and demanded where the rest is loaded."""
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest

from occystrap_core import Receipt, Settings
from occystrap_core.oci import Descriptor
from occystrap_core.oci.layout import LEFT_OUT, left_out_by
from occystrap_core.oci.media_types import OCI_INDEX
from occystrap_core.testing.sample import sample_image
from occystrap_registry.server.server_thread import RegistryServer
from tests.functional.archives import members, rebuild
from tests.hostile.in_process import run_here
from tests.services.command_line import CommandResult
from tests.services.registry import Registry
from tests.services.tiny_image import put_tiny_image
from tests.services.uploads import put_manifest
from tests.unit.registry.images import push
from tests.unit.registry.several import document_at, manifest_at, push_all, put_artifact, registry_with

NAMES = [*(f'team/app-{number}:v1' for number in range(12)), 'many:v1']
FEW = [NAMES[0], NAMES[3], NAMES[-1]]
FIELDS = '{repository}:{tag}'


class Trips(NamedTuple):
    """The directory of two trips with the same list of images, of which one has changed meanwhile."""

    directory: Path
    host: str
    names: list[str]

    @property
    def source(self) -> str:
        return f'list://{self.directory}/list'

    def write(self, *arguments: str, names: list[str] | None = None, code: int = 0) -> CommandResult:
        """Write images as they are now."""
        (self.directory / 'list').write_text(''.join(f'registry://{self.host}/{each}?referrers=true\n'
                                                     for each in names or self.names))
        return run('process', self.source, *arguments, code=code)

    def first(self, names: list[str] | None = None) -> None:
        self.write(f'tar://{self.directory}/first.tar?format=oci', '--receipt', f'{self.directory}/first', names=names)

    def delta(self, *more: str, kind: str = 'tar', names: list[str] | None = None) -> str:
        """Write a delta; return it as a source."""
        place = {'tar': f'tar://{self.directory}/delta.tar?format=oci', 'layout': f'layout://{self.directory}/delta'}
        self.write(place[kind], '--since', f'{self.directory}/first', '--receipt', f'{self.directory}/second', *more,
                   names=names)
        return place[kind].partition('?')[0] + '?referrers=true'

    def new_layer(self, name: str, variant: str = 'changed') -> str:
        """Change the upper layer of an image; return its digest."""
        repository, tag = name.split(':')
        push(self.host, Settings(), sample_image('changed', variant=f'{name} {variant}'), name)
        return str(json.loads(manifest_at(self.host, tag, repository).content)['layers'][-1]['digest'])


def run(*arguments: str | Path, code: int = 0) -> CommandResult:
    result = run_here(*arguments)
    result.assert_code(code)
    return result


def prepared_registry(registry: Registry, directory: Path) -> Trips:
    """Put the images into a registry that refuses some artifacts."""
    push_all(registry.host, NAMES[:-1])
    images = [put_tiny_image(registry, 'many', architecture=each) for each in ('amd64', 'arm64')]
    index = {'schemaVersion': 2, 'mediaType': OCI_INDEX, 'manifests': images}
    put_manifest(registry, 'many', json.dumps(index).encode(), OCI_INDEX, 'v1')
    return Trips(directory, registry.host, NAMES)


@pytest.fixture
def trips(tmp_path: Path) -> Iterator[Trips]:
    with registry_with(tmp_path / 'registry', FEW) as server:
        signed = document_at(server.host, 'v1', 'team/app-0').descriptor
        put_artifact(server.host, b'sbom', repository='team/app-0', subject=signed)
        yield Trips(tmp_path, server.host, FEW)


def layers_in(directory: Path, receipts: str = 'second') -> set[str]:
    """Return the layers of the receipts that are in the archive of a delta."""
    found = map(Receipt.from_json, (directory / receipts).read_bytes().splitlines())
    listed = {each.digest for receipt in found for each in receipt.of_kind('layer')}
    there = members(directory / 'delta.tar')
    return {digest for digest in listed if f'blobs/sha256/{digest[7:]}' in there}


def assert_same(source: str, destination: str, names: list[str]) -> None:
    for name in names:
        repository, tag = name.split(':')
        assert manifest_at(source, tag, repository).content == manifest_at(destination, tag, repository).content


def test_the_second_trip_carries_one_layer(registry_factory: Callable[[], Registry], tmp_path: Path) -> None:
    source, far = registry_factory(), registry_factory()
    trips = prepared_registry(source, tmp_path)
    trips.first()
    run('process', f'tar://{tmp_path}/first.tar?referrers=true', f'registry://{far.host}/{FIELDS}')
    changed = trips.new_layer('team/app-3:v1')
    delta = trips.delta()
    assert layers_in(tmp_path) == {changed}
    for level in ('fast', 'full'):
        result = run('verify', f'--verify={level}', tmp_path / 'second')
        assert '13/13 verified' in result.err and ' left out' in result.err
    before = len(far.requests())
    loaded = run('process', delta, f'registry://{far.host}/{FIELDS}', '--verify=full', '--receipt', tmp_path / 'far')
    assert '13/13 verified' in loaded.err and 'left out' not in loaded.err
    uploads = [each for each in far.requests()[before:] if each.startswith('PUT') and '/uploads/' in each]
    assert len(uploads) == 2  # of the changed image its layer and its config
    assert_same(source.host, far.host, NAMES)
    run('verify', '--full', tmp_path / 'second', '--at', f'registry://{far.host}/{{repository}}')


@pytest.mark.parametrize('kind', ['tar', 'layout'])
def test_a_store_without_the_base_is_left_as_it_was(kind: str, trips: Trips) -> None:
    trips.first()
    changed = trips.new_layer('team/app-3:v1')
    delta = trips.delta(kind=kind)
    with RegistryServer(trips.directory / 'far') as far:
        result = run('process', delta, f'registry://{far.host}/{FIELDS}', code=1)
        assert '3 FAILED' in result.err
        for name in FEW:
            reason = next(line for line in result.err.splitlines() if line.startswith(f'FAILED {trips.host}/{name}'))
            assert 'needs layer sha256:' in reason and 'this delta leaves out' in reason and f'{far.host}/' in reason
        assert not httpx.get(f'http://{far.host}/v2/_catalog', trust_env=False).json()['repositories']
    foreseen = run('process', '--dry-run', delta, f'layout://{trips.directory}/far-layout')
    assert foreseen.out.count('are left out of this delta, and not there') == 3
    result = run('process', delta, f'layout://{trips.directory}/far-layout', code=1)
    assert '3 FAILED' in result.err and changed not in result.err
    assert not (trips.directory / 'far-layout').exists()
    one = run('process', f'{delta}&image=team/app-3:v1', f'tar://{trips.directory}/x.tar?format=oci', code=1)
    assert 'team/app-3:v1 needs layer' in one.err and not (trips.directory / 'x.tar').exists()
    assert 'oci' in run('process', f'{delta}&image=team/app-3:v1', f'oci://{trips.directory}/x', code=1).err
    assert not (trips.directory / 'x').exists()


@pytest.mark.parametrize('kind', ['tar', 'layout'])
def test_loaded_onto_its_base(kind: str, trips: Trips) -> None:
    trips.first()
    store = f'layout://{trips.directory}/store'
    run('process', f'tar://{trips.directory}/first.tar?referrers=true', store)
    changed = trips.new_layer('team/app-3:v1')
    delta = trips.delta(kind=kind)
    assert '3/3 verified' in run('process', delta, store, '--verify=full').err
    assert (trips.directory / f'store/blobs/sha256/{changed[7:]}').exists()
    assert LEFT_OUT not in (trips.directory / 'store/index.json').read_text()
    assert '3/3 verified' in run('verify', '--full', store).err
    with RegistryServer(trips.directory / 'far') as far:  # what was loaded is whole again
        run('process', f'{store}?referrers=true', f'registry://{far.host}/{FIELDS}')
        assert_same(trips.host, far.host, FEW)


def test_a_new_image_of_known_layers_takes_them_from_other_repositories(
        registry_factory: Callable[[], Registry], tmp_path: Path) -> None:
    source, far = registry_factory(), registry_factory()
    trips = prepared_registry(source, tmp_path)
    trips.first(FEW[:1])
    run('process', f'tar://{tmp_path}/first.tar?referrers=true', f'registry://{far.host}/mirror/{FIELDS}')
    push(source.host, Settings(), sample_image('new', variant=NAMES[0]), 'other/new:v1')
    delta = trips.delta(names=['other/new:v1'])
    assert layers_in(tmp_path) == set()
    assert '1/1 verified' in run('process', delta, f'registry://{far.host}/mirror/{FIELDS}', '--verify=full').err
    wrong = run('process', delta, f'registry://{far.host}/elsewhere/{FIELDS}', code=1)
    assert 'other/new:v1 needs layer' in wrong.err and f'has {source.host}/{NAMES[0]}' in wrong.err


def test_small_layers_are_found_under_a_new_tag(trips: Trips) -> None:
    """They are otherwise sent there without asking for them, but a delta lacks them."""
    trips.first(FEW[:1])
    delta = trips.delta(names=FEW[:1])
    with RegistryServer(trips.directory / 'far') as far:
        run('process', f'tar://{trips.directory}/first.tar?referrers=true', f'registry://{far.host}/mirror:v1')
        assert '1/1 verified' in run('process', delta, f'registry://{far.host}/mirror:v2', '--verify=full').err


def test_no_directory_is_left_where_no_image_came(trips: Trips, tmp_path: Path) -> None:
    """Neither one that a field names, nor that of a layout of which the writer that made it was not the last."""
    names = [f'team/app-0:v{number}' for number in range(1, 7)]
    push_all(trips.host, names)
    trips.first(names)
    for place in ('layout://{}/none/{{repository}}:{{tag}}', 'layout://{}/none:{{tag}}', 'dir://{}/none/{{tag}}'):
        result = run('process', trips.delta(names=names), place.format(tmp_path), '-J6', code=1)
        assert '6 FAILED' in result.err and not (tmp_path / 'none').exists()


def test_info_and_check_say_that_it_is_a_delta(trips: Trips) -> None:
    trips.first()
    delta = trips.delta(names=FEW[:1])
    assert 'leaves out 3 of 3 layers, of ' in run('info', delta).out
    shown, = run('info', '-O', 'json', delta).json()['images']
    assert shown['delta'].startswith('leaves out 3 of 3')
    for more in ((), ('--fast',)):
        result = run('check', delta, *more)
        assert result.out.count('layer-left-out') == 3 and '0 errors, 3 warnings' in result.err
    assert 'is a delta: it leaves out sha256:' in run('search', delta, 'etc/*', code=1).err
    refused = run('process', delta, f'layout://{trips.directory}/x', '-f', 'normalize-timestamps', code=2)
    assert refused.err.count('\n') == 1 and 'leave out the filters or referrers' in refused.err
    plain = delta.partition('?')[0]
    refused = run('process', plain, f'layout://{trips.directory}/x', '-f', 'normalize-timestamps', code=2)
    assert 'no filter can change layer sha256:' in refused.err and not (trips.directory / 'x/index.json').exists()


def test_accidentally_missing_layers_are_damage(trips: Trips) -> None:
    """Only what the entry lists may be missing, and the receipt proves what it lists."""
    trips.first(FEW[:2])
    changed = trips.new_layer(FEW[1])
    trips.delta(names=FEW[:2])
    content, path = members(trips.directory / 'delta.tar'), trips.directory / 'delta.tar'
    index = json.loads(content['index.json'])
    entry = next(each for each in index['manifests'] if each.get('annotations', {}).get(LEFT_OUT, '').count('=') == 2)
    assert len(left_out_by([Descriptor.from_json(entry, 'it')])) == 2
    rebuild(path, {**content, f'blobs/sha256/{changed[7:]}': None})
    assert changed[7:] in run('verify', trips.directory / 'second', code=1).err
    store = f'layout://{trips.directory}/store'
    run('process', f'tar://{trips.directory}/first.tar', store)
    assert 'has no member' in run('process', f'tar://{path}', store, code=1).err
    entry['annotations'][LEFT_OUT] += f' {changed}={NAMES[0]}'
    rebuild(path, {**content, 'index.json': json.dumps(index, separators=(',', ':')).encode(),
                   f'blobs/sha256/{changed[7:]}': None})
    result = run('verify', '-O', 'json', trips.directory / 'second', code=1)
    assert sorted(each['outcome'] for each in result.json()['images']) == ['failed', 'verified']
    assert f'needs layer {changed}' in run('process', f'tar://{path}', store, code=1).err


def test_a_receipt_that_claims_to_leave_out_proves_nothing(trips: Trips) -> None:
    trips.first(FEW[:1])
    receipt = Receipt.from_json((trips.directory / 'first').read_bytes())
    assert receipt.verdict
    trips.delta(names=FEW[:1])
    delta = Receipt.from_json((trips.directory / 'second').read_bytes())
    assert len(delta.left_out) == len(receipt.of_kind('layer')) and delta.at(receipt.path).left_out
    (trips.directory / 'third').write_text(delta.at(receipt.path).to_json())
    os.truncate(trips.directory / 'first.tar', 0)
    rebuild(trips.directory / 'first.tar', {name: content for name, content in members(
        trips.directory / 'delta.tar').items() if name != 'index.json'})
    run('verify', trips.directory / 'third', code=1)


@pytest.mark.parametrize('kind', ['tar', 'layout'])
def test_the_receipt_of_a_delta_is_for_the_store_as_well(kind: str, trips: Trips) -> None:
    """There all blobs must be; carried elsewhere, the delta may lack what it says that it lacks."""
    trips.first()
    changed = trips.new_layer(FEW[1])
    delta, store = trips.delta(kind=kind), f'layout://{trips.directory}/store'
    run('process', f'tar://{trips.directory}/first.tar?referrers=true', store)
    run('process', delta, store)
    again = f'tar://{trips.directory}/again.tar?format=oci'
    run('process', f'{store}?referrers=true', again)
    for at in (store, again, delta.partition('?')[0]):
        output = run('verify', '--full', trips.directory / 'second', '--at', at).err
        assert '3/3 verified' in output and (' left out' in output) == (at not in (store, again))
    moved = trips.directory / f'moved{".tar" if kind == "tar" else ""}'
    (trips.directory / f'delta{".tar" if kind == "tar" else ""}').rename(moved)
    assert '3/3 verified' in run('verify', '--full', trips.directory / 'second', '--at', f'{kind}://{moved}').err
    base = next(each for receipt in map(Receipt.from_json, (trips.directory / 'second').read_bytes().splitlines())
                for each in receipt.left_out)
    (trips.directory / f'store/blobs/sha256/{base.digest.hex}').unlink()
    assert base.digest.hex in run('verify', trips.directory / 'second', '--at', store, code=1).err
    (trips.directory / f'store/blobs/sha256/{changed[7:]}').unlink()
    assert changed[7:] in run('verify', trips.directory / 'second', '--at', store, code=1).err


def test_three_trips_with_one_file_of_receipts(trips: Trips) -> None:
    file = trips.directory / 'receipts'
    bundle = f'tar://{trips.directory}/delta.tar?format=oci'
    trips.write(bundle, '--receipt', str(file))
    store = f'layout://{trips.directory}/store'
    run('process', f'tar://{trips.directory}/delta.tar?referrers=true', store)
    for variant in ('second', 'third'):
        changed = trips.new_layer(FEW[1], variant)
        trips.write(bundle, '--receipt', str(file), '--since', str(file), '--force')  # over what was carried
        assert layers_in(trips.directory, 'receipts') == {changed}
        run('process', f'tar://{trips.directory}/delta.tar?referrers=true', store)
    assert len(file.read_text().splitlines()) == len(FEW)
    run('verify', '--full', store)
    again = trips.write(bundle, '--receipt', str(file), '--resume', str(file), '--no-refresh')
    assert 'done before' not in again.err and len(layers_in(trips.directory, 'receipts')) > 5


@pytest.mark.parametrize(('arguments', 'words'), [
    (['registry://127.0.0.1:1/x'], 'takes complete images'), (['tar://x.tar'], 'takes complete images'),
    (['dir://x'], 'takes complete images'), (['layout://x', '--since', 'nowhere'], 'cannot read the receipt nowhere'),
])
def test_mistakes(arguments: list[str], words: str, trips: Trips) -> None:
    trips.first(FEW[:1])
    result = run('process', f'registry://{trips.host}/{NAMES[0]}', *arguments, '--since', trips.directory / 'first',
                 code=2)
    assert words in result.err and result.err.count('\n') == 1


def test_only_what_was_verified_counts(trips: Trips) -> None:
    trips.write(f'tar://{trips.directory}/first.tar?format=oci', '--receipt', f'{trips.directory}/first', '--no-verify',
                names=FEW[:1])
    result = run('process', f'registry://{trips.host}/{NAMES[0]}', f'layout://{trips.directory}/x', '--since',
                 trips.directory / 'first', code=2)
    assert 'has no verified receipt' in result.err
