"""One place holds one image: two for one place, or a copy onto its source, are refused before anything is read."""
import json
import os
from pathlib import Path

import pytest

from occystrap_core import Image
from occystrap_core.api.place import _file_system, _folds_case
from occystrap_core.oci import Reference
from occystrap_core.testing.sample import sample_config, sample_image, sample_layers
from occystrap_registry.server.server_thread import RegistryServer
from tests.functional.archives import write_docker_archive
from tests.hostile.in_process import run_here
from tests.hostile.refusals import is_refused
from tests.unit.core.pipeline.memory import IMAGES, SHELVES, offer
from tests.unit.core.pipeline.test_many import process

WHY = 'would both be written to'
REPLACES = 'which is a source of the same run'


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with two archives of images that have one name, and a link to itself."""
    (tmp_path / 'link').symlink_to('.')
    (tmp_path / 'sub').mkdir()
    for name in ('a', 'b'):
        layer = sample_layers()[:1] if name == 'b' else sample_layers()
        write_docker_archive(tmp_path / f'{name}.tar', sample_config(layer), layer, 'sample:v1')
    monkeypatch.chdir(tmp_path)
    return tmp_path


def plan(here: Path, *images: tuple[str, str, str]) -> str:
    """A plan of sources, destinations and filters."""
    (here / 'plan.toml').write_text(''.join(
        f'[[images]]\nsource = "{source}"\ndestination = "{destination}"\nfilters = [{filters}]\n'
        for source, destination, filters in images))
    return 'plan://plan.toml'


def nothing_was_written(here: Path) -> None:
    assert sorted(path.name for path in here.iterdir()) in (
        ['a.tar', 'b.tar', 'link', 'plan.toml', 'sub'], ['a.tar', 'b.tar', 'link', 'list', 'sub'])


@pytest.mark.parametrize('destination', ['layout://L', 'dir://D?unique_names=true', 'mounts://M'])
def test_two_images_of_one_name(destination: str, here: Path) -> None:
    (here / 'list').write_text('tar://a.tar\ntar://b.tar\n')
    is_refused(run_here('process', 'list://list', destination), 'tar://a.tar', 'tar://b.tar', WHY, destination, code=2)
    nothing_was_written(here)
    is_refused(run_here('process', 'list://list', destination, '--dry-run'), WHY, code=2)


@pytest.mark.parametrize('destination', ['layout://L', 'dir://D?unique_names=true', 'mounts://M'])
def test_one_image_with_two_filters(destination: str, here: Path) -> None:
    source = plan(here, ('tar://a.tar', destination, ''), ('tar://a.tar', destination, "'normalize-timestamps'"))
    is_refused(run_here('process', source), WHY, '--filter=normalize-timestamps', code=2)
    nothing_was_written(here)


@pytest.mark.parametrize(('one', 'other'), [
    ('tar://x.tar', 'tar://./x.tar'), ('tar://x.tar', 'tar://link/x.tar'), ('tar://x.tar', 'tar://sub/../x.tar'),
    ('tar://x.tar', 'tar://link/x.tar?format=oci'), ('tar://x.tar', 'tar:///proc/self/cwd/x.tar'),
    ('dir://x', 'dir://x/'), ('dir://x', 'dir://link/x?unique_names=true'), ('oci://x', 'oci://link/%78'),
    ('oci://x', 'dir://x'), ('layout://x:v1', 'layout://link/x:v1'), ('layout://x:v1', 'layout://./x?tag=v1'),
    ('mounts://x', 'mounts://link/x'),
    ('registry://localhost:9/x', 'registry://127.0.0.1:9/x:latest'),
    ('registry://localhost:9/x:v1', 'registry://LOCALHOST:9/x:v1?compression=zstd'),
    ('docker://x?socket=no.sock', 'docker://docker.io/library/x:latest?socket=link/no.sock')])
def test_two_ways_to_write_one_place(one: str, other: str, here: Path) -> None:
    source = plan(here, ('tar://a.tar', one, ''), ('tar://b.tar', other, ''))
    is_refused(run_here('process', source), 'tar://a.tar', 'tar://b.tar', WHY, code=2)
    nothing_was_written(here)


@pytest.mark.parametrize(('one', 'other'), [
    ('dir://x', 'layout://x'), ('tar://x.tar', 'tar://link/x.tar?format=oci'), ('dir://x', 'dir://x?expand=true'),
    ('layout://x', 'layout://link/x?compression=zstd'), ('layout://x', 'dir://x?unique_names=true'),
    ('mounts://x', 'oci://x'), ('layout://x:v1', 'layout://x?tag=v1&compression=zstd'),
    ('oci://x', 'oci://x?mode=0711'),
    ('registry://localhost:9/x?format=docker', 'registry://127.0.0.1:9/x?format=oci')])
def test_one_image_in_two_forms(one: str, other: str, here: Path) -> None:
    source = plan(here, ('tar://a.tar', one, ''), ('tar://a.tar', other, ''))
    for words in (['tar://a.tar', one, other], [source], ['tar://a.tar', other, one, '--dry-run']):
        is_refused(run_here('process', *words), f'{one} and ' if words[-1] != '--dry-run' else other, other,
                   'are the same place', 'can be there in one form only: choose another place', code=2)
        nothing_was_written(here)


@pytest.mark.parametrize(('outer', 'inner'), [
    ('layout://q', 'tar://q/x.tar'), ('dir://q', 'dir://q/sub'), ('dir://q', 'layout://link/q/a/b'),
    ('layout://q', 'dir://q/blobs/sha256'), ('oci://q', 'tar://sub/../q/x.tar'), ('mounts://q', 'oci://q/layers/x'),
    ('tar://q', 'layout://q/x'), ('layout://sub', 'tar:///proc/self/cwd/link/sub/x.tar'),
    ('dir://q?unique_names=true', 'tar://q/{name}.tar')])
def test_a_place_within_another(outer: str, inner: str, here: Path) -> None:
    source = plan(here, ('tar://a.tar', outer, ''), ('tar://b.tar', inner, ''))
    for words in ([source], [source, '--dry-run'], ['tar://a.tar', outer, inner], ['tar://a.tar', inner, outer]):
        is_refused(run_here('process', *words), ' lies within ', outer, 'choose a place beside it', code=2)
        nothing_was_written(here)


@pytest.mark.parametrize('scheme', ['layout', 'dir', 'oci', 'tar', 'mounts'])
def test_repositories_within_each_other(scheme: str, here: Path) -> None:
    layer = sample_layers()[:1]
    for file, name in (('one', 'team'), ('two', 'team/blobs')):
        write_docker_archive(here / f'{file}.tar', sample_config(layer), layer, f'{name}:v1')
    (here / 'list').write_text('tar://one.tar\ntar://two.tar\n')
    is_refused(run_here('process', 'list://list', f'{scheme}://sub/{{repository}}'), 'sub/team/blobs lies within ',
               f'{scheme}://sub/team, a destination', code=2)
    assert not any((here / 'sub').iterdir())


@pytest.mark.parametrize(('other', 'why'), [
    ('tar://-?format=oci', 'both go to stdout, which takes one archive: give a file'),
    ('tar://-?tag=x:v2', 'can be there in one form only: choose another place')])
def test_two_archives_on_stdout(other: str, why: str, here: Path) -> None:
    for words in (['tar://-', other], [other, 'tar://-', '--dry-run']):
        result = run_here('process', 'tar://a.tar', *words, '--no-verify')
        is_refused(result, *words[:2], why, code=2)
        assert not result.out


def test_two_formats_in_one_directory(here: Path) -> None:
    source = plan(here, ('tar://a.tar', 'layout://x:one', ''), ('tar://b.tar', 'mounts://link/x', ''))
    is_refused(run_here('process', source), 'layout://x:one and mounts://link/x are the same place', code=2)
    nothing_was_written(here)


@pytest.mark.parametrize(('one', 'other'), [
    ('layout://x:v1', 'layout://link/x?tag=v1'), ('dir://x', 'dir://x'),
    ('tar://x.tar', 'tar://link/x.tar?format=docker'),
    ('dir://x?expand=yes', 'dir://link/x?expand=true')])
def test_one_destination_that_is_named_twice_is_written_once(one: str, other: str, here: Path) -> None:
    result = run_here('process', 'tar://a.tar', one, other)
    result.assert_code(0)
    assert 'note: ' in result.err and 'written once' in result.err and '1/1 verified' in result.err


def test_a_registry_that_is_named_with_a_login_is_still_one(here: Path) -> None:
    with RegistryServer(here / 'registry') as server:
        one = f'registry://{server.host}/x:v1'
        result = run_here('process', 'tar://a.tar', one, f'{one}?insecure=true')
    result.assert_code(0)
    assert 'written once' in result.err and '1/1 verified' in result.err


def names_in(directory: Path) -> dict[str, list[str]]:
    """The catalog of a directory: each name, and its tags."""
    return {name: [*tags] for name, tags in json.loads((directory / 'catalog.json').read_bytes()).items()}


def test_an_image_without_a_host_does_not_replace_that_of_a_registry(here: Path) -> None:
    layer = sample_layers()[:1]
    write_docker_archive(here / 'theirs.tar', sample_config(layer), layer, 'registry.example/sample:v1')
    goes = 'dir://D?unique_names=true'
    for _ in range(2):  # as every night
        run_here('process', 'tar://theirs.tar', goes, '--receipt', 'receipts').assert_code(0)
    is_refused(run_here('process', 'tar://a.tar', goes),
               'sample:v1, whose name has no registry, would replace registry.example/sample:v1', 'use --force')
    planned = run_here('process', 'tar://a.tar', goes, '--dry-run')
    planned.assert_code(1)
    assert 'would fail: tar://a.tar' in planned.out and 'registry.example/sample:v1' in planned.out
    run_here('verify', 'receipts', '--verify=full').assert_code(0)
    run_here('process', 'tar://a.tar', goes, '--force').assert_code(0)
    run_here('verify', 'D').assert_code(0)
    assert names_in(here / 'D') == {'sample': ['v1']}


def test_an_image_of_a_registry_is_kept_apart_from_one_without_a_host(here: Path) -> None:
    layer = sample_layers()[:1]
    goes = 'dir://D?unique_names=true'
    for host in ('', 'registry.example/', 'mirror.example/', '', 'mirror.example/'):
        write_docker_archive(here / 'c.tar', sample_config(layer), layer, f'{host}sample:v1')
        run_here('process', 'tar://c.tar', goes, '--receipt', 'receipts').assert_code(0)
    run_here('verify', 'receipts', '--verify=full').assert_code(0)
    assert names_in(here / 'D') == {
        'sample': ['v1'], 'registry.example/sample': ['v1'], 'mirror.example/sample': ['v1']}


def test_images_that_a_format_separates_are_copied(here: Path) -> None:
    source = plan(here, ('tar://a.tar', 'layout://x:one', ''), ('tar://b.tar', 'layout://link/x:two', ''))
    result = run_here('process', source)
    result.assert_code(0)
    assert '2/2 verified' in result.err


def test_an_image_that_is_listed_twice_is_copied_once(here: Path) -> None:
    (here / 'list').write_text('tar://a.tar\ntar://a.tar\n')
    result = run_here('process', 'list://list', 'layout://L')
    result.assert_code(0)
    assert 'note: list, line 2: tar://a.tar is already listed in list, line 1, and is skipped' in result.err
    assert '1/1 verified' in result.err


@pytest.mark.parametrize(('source', 'destination'), [
    ('tar://a.tar', 'tar://link/a.tar'), ('tar://a.tar', 'tar://sub/../a.tar?format=oci'),
    ('layout://L:v1', 'layout://link/L:v1'), ('layout://L:v1', 'layout://./L?tag=v1'),
    ('registry://localhost:{port}/team/x:v1', 'registry://127.0.0.1:{port}/team/x:v1')])
def test_an_image_is_not_copied_onto_itself(source: str, destination: str, here: Path) -> None:
    run_here('process', 'tar://a.tar', 'layout://L:v1').assert_code(0)
    with RegistryServer(here / 'registry') as server:
        run_here('process', 'tar://a.tar', f'registry://{server.host}/team/x:v1').assert_code(0)
        source, destination = (text.format(port=server.host.rpartition(':')[2]) for text in (source, destination))
        result = run_here('process', source, destination, '-f', 'normalize-timestamps')
    is_refused(result, 'source and destination are the same place', code=2)


@pytest.mark.parametrize(('lies', 'goes'), [
    ('tar://c.tar', 'tar://link/c.tar'), ('dir://D', 'dir://link/D'), ('dir://D', 'dir://D?unique_names=true'),
    ('layout://L:v1', 'layout://link/L?tag=v1'), ('layout://L', 'layout://L:v1'),
    ('registry://localhost:{port}/team/x:v1', 'registry://127.0.0.1:{port}/team/x:v1'),
    ('docker://x:v1?socket=no.sock', 'docker://docker.io/library/x:v1?socket=link/no.sock')])
def test_an_image_does_not_replace_the_source_of_another(lies: str, goes: str, here: Path) -> None:
    with RegistryServer(here / 'registry') as server:
        lies, goes = (text.format(port=server.host.rpartition(':')[2]) for text in (lies, goes))
        if not lies.startswith('docker'):
            run_here('process', 'tar://a.tar', lies + ':v1' * (lies == 'layout://L')).assert_code(0)
        for order in (1, -1):
            source = plan(here, *[('tar://b.tar', goes, ''), (lies, 'tar://out.tar', '')][::order])
            is_refused(run_here('process', source), 'tar://b.tar', lies.partition('?')[0], REPLACES, code=2)
            is_refused(run_here('process', source, '--dry-run'), REPLACES, code=2)
    assert not (here / 'out.tar').exists()


@pytest.mark.parametrize(('lies', 'goes'), [
    ('layout://T/rootfs/L', 'oci://T'), ('tar://T/manifest/a.tar', 'dir://link/T?expand=true'),
    ('tar://T/layers/../layers/a.tar', 'mounts://T')])
def test_a_destination_is_not_replaced_around_a_source(lies: str, goes: str, here: Path) -> None:
    run_here('process', 'tar://a.tar', goes).assert_code(0)
    scheme, _, place = lies.partition('://')
    run_here('process', 'tar://b.tar', f'{scheme}://{os.path.normpath(place)}').assert_code(0)
    before = sorted(here.rglob('*'))
    source = plan(here, (lies, 'tar://out.tar', ''), ('tar://b.tar', goes, ''))
    for given in ([lies, goes], [source]):
        is_refused(run_here('process', *given, '--force'), 'lies within', 'choose a place beside it', code=2)
    assert [each for each in sorted(here.rglob('*')) if each.name != 'plan.toml'] == before


@pytest.mark.parametrize('form', ['tar://{}.tar', 'tar://{}.tar?format=oci', 'layout://{}', 'dir://{}', 'oci://{}',
                                  'mounts://{}', 'dir://{}?expand=true'])
def test_a_path_leads_where_the_system_finds_it(form: str, here: Path) -> None:
    """`..` behind a link leads above what the link leads to, not above the link."""
    (here / 'elsewhere/inner').mkdir(parents=True)
    (here / 'inner').symlink_to('elsewhere/inner')
    before = sorted(here.iterdir())
    run_here('process', 'tar://b.tar', form.format('inner/../out'), '--receipt', 'receipt').assert_code(0)
    assert (here / 'elsewhere/out').exists() or (here / 'elsewhere/out.tar').exists()
    assert sorted(here.iterdir()) == sorted([*before, here / 'receipt'])
    place = form.format('inner/../out').partition('?')[0]
    run_here('verify', 'receipt', '--at', form.format('inner/../out')).assert_code(0)
    if not form.startswith(('oci', 'mounts')):
        run_here('process', 'tar://a.tar', form.format('out')).assert_code(0)
        digest = run_here('info', 'tar://b.tar', '-O', 'json').json()['images'][0]['image_id']
        assert digest in run_here('info', place).assert_code(0).out


def test_two_sources_are_not_swapped(here: Path) -> None:
    source = plan(here, ('tar://a.tar', 'tar://b.tar', ''), ('tar://b.tar', 'tar://a.tar', ''))
    is_refused(run_here('process', source), REPLACES, code=2)


@pytest.mark.parametrize(('lies', 'goes'), [
    ('layout://L:v1', 'layout://L:two'), ('dir://D?unique_names=true', 'dir://D?unique_names=true')])
def test_an_image_may_go_beside_the_source_of_another(lies: str, goes: str, here: Path) -> None:
    run_here('process', 'tar://a.tar', lies).assert_code(0)
    layer = sample_layers()[:1]
    write_docker_archive(here / 'c.tar', sample_config(layer), layer, 'other:v1')
    lies = lies.replace('unique_names=true', 'image=sample')
    run_here('process', plan(here, ('tar://c.tar', goes, ''), (lies, 'tar://out.tar', ''))).assert_code(0)


def test_a_tag_may_be_set_back_to_an_older_image(here: Path) -> None:
    with RegistryServer(here / 'registry') as server:
        uri = f'registry://{server.host}/team/x'
        for archive, tag in (('a', 'old'), ('b', 'v1')):
            run_here('process', f'tar://{archive}.tar', f'{uri}:{tag}').assert_code(0)
        digest = run_here('info', f'{uri}:old', '-O', 'json').out.partition('"digest": "')[2].partition('"')[0]
        run_here('process', f'{uri}:v1@{digest}', f'{uri}:v1').assert_code(0)


def test_images_that_turn_out_to_have_one_name_fail_before_they_are_written() -> None:
    """As those of a daemon may that are asked for by their IDs."""
    def renamed(name: str) -> Image:
        image = sample_image()
        image.reference = Reference('app', 'v1')
        return image
    SHELVES.clear()
    IMAGES.clear()
    report = process(offer('one', 'two', image=renamed), 'memory://shelf')
    failed, = [image for image in report.images if image.failure]
    assert WHY in failed.failure and len(SHELVES['shelf'].images) == 1


@pytest.fixture
def folding(here: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory, as if it were on a medium that does not tell `A` and `a` apart."""
    exists = os.path.lexists

    def is_there(path: str) -> bool:
        """Whether something has this name, in whatever case."""
        above, name = os.path.split(path)
        return exists(path) or name.lower() in (each.lower() for each in os.listdir(above or '.'))
    _folds_case.cache_clear()
    monkeypatch.setattr('os.path.lexists', is_there)
    return here


@pytest.mark.parametrize(('one', 'other'), [
    ('tar://x-V1.tar', 'tar://x-v1.tar'), ('dir://x-V1', 'dir://x-v1'), ('dir://x-V1', 'dir://x-v1.'),
    ('oci://New/x', 'oci://new/x'), ('layout://X', 'layout://x'), ('mounts://X', 'mounts://sub/../x')])
def test_names_that_differ_in_case_on_a_medium_that_folds_it(one: str, other: str, folding: Path) -> None:
    """Both would be verified, and the second would have replaced the first."""
    source = plan(folding, ('tar://a.tar', one, ''), ('tar://b.tar', other, ''))
    is_refused(run_here('process', source), 'tar://a.tar', 'tar://b.tar', WHY, code=2)
    nothing_was_written(folding)


def test_unpacked_images_that_are_there_already_on_such_a_medium(folding: Path) -> None:
    assert '1/1 verified' in run_here('process', 'tar://a.tar', 'dir://x-v1').err
    source = plan(folding, ('tar://a.tar', 'dir://x-V1', ''), ('tar://b.tar', 'dir://x-v1', ''))
    result = run_here('process', source)
    is_refused(result, WHY, f'as the file system does not tell it and {folding}/x-V1 apart', code=2)


def test_names_that_differ_in_case_on_other_media(here: Path) -> None:
    source = plan(here, ('tar://a.tar', 'tar://x-V1.tar', ''), ('tar://b.tar', 'tar://x-v1.tar', ''))
    assert '2/2 verified' in run_here('process', source).err


@pytest.mark.parametrize(('kind', 'folds'), [('vfat', True), ('fuseblk', True), ('ext4', False), ('', False)])
def test_an_empty_medium_is_known_by_its_file_system(kind: str, folds: bool, tmp_path: Path,
                                                     monkeypatch: pytest.MonkeyPatch) -> None:
    """No name is there to try; the directory's own is on another file system."""
    (tmp_path / 'usb').mkdir()
    found = os.stat(tmp_path / 'usb')
    monkeypatch.setattr('occystrap_core.api.place._file_system', lambda device: kind)
    assert _folds_case(f'{tmp_path}/usb', found.st_dev + 1, found.st_ino) == folds


def test_the_file_system_of_a_device() -> None:
    assert _file_system(os.stat('/proc').st_dev) == 'proc'
    assert not _file_system(os.makedev(4000, 4000))


@pytest.mark.parametrize(('one', 'other'), [
    (('tar://a.tar', 'tar://b.tar'), ('tar://b.tar', 'tar://c.tar')),
    (('tar://b.tar', 'tar://c.tar'), ('tar://a.tar', 'tar://link/b.tar')),
    (('tar://a.tar', 'tar://a.tar'), ('tar://b.tar', 'tar://c.tar')),
    (('tar://a.tar', 'dir://x'), ('tar://b.tar', 'dir://x/y')),
    (('tar://a.tar', 'dir://x'), ('tar://b.tar', 'oci://x')),
    (('tar://a.tar', 'layout://x'), ('tar://b.tar', 'dir://x?unique_names=true')),
    (('tar://a.tar', 'oci://.'), ('tar://b.tar', 'dir://x'))])
def test_workers_replace_no_image_of_their_run(one: tuple[str, str], other: tuple[str, str], here: Path) -> None:
    """A worker would read what another one has just written there, and prove that as the source's image."""
    before = {path: path.read_bytes() for path in here.glob('*.tar')}
    result = run_here('process', '--executor', 'processes:workers=1', plan(here, (*one, ''), (*other, '')))
    assert result.code == 2 and len(result.errors) == 1
    assert before == {path: path.read_bytes() for path in here.glob('*.tar')}
    nothing_was_written(here)
