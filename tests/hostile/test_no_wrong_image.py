"""What was asked for is written: a part of an index says so, and replaces a whole one only if that is asked for."""
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from occystrap_core import Image, Settings
from occystrap_core.image.origin import Origin
from occystrap_core.oci import Digest, ImageConfig, Reference
from occystrap_core.testing.sample import sample_config, sample_image, sample_layers
from tests.functional.archives import write_docker_archive
from tests.hostile.in_process import run_here
from tests.hostile.refusals import is_refused
from tests.unit.core.pipeline.memory import IMAGES, SHELVES, Stream, offer
from tests.unit.core.pipeline.test_many import process
from tests.unit.registry.several import entry, manifest_at, put_index, registry_with

ALL, REPLACE = '--platform=all', '--replace-index'


@dataclass(frozen=True)
class Here:
    """A registry with an index of two platforms and their attestations, and a directory."""

    host: str
    path: Path

    @property
    def source(self) -> str:
        """The index."""
        return f'registry://{self.host}/many:v1'

    @property
    def index(self) -> Digest:
        """Its digest."""
        return Digest.of(manifest_at(self.host, 'v1').content)

    def destination(self, kind: str) -> str:
        """One that holds indexes."""
        return {'registry': f'registry://{self.host}/copy:v1', 'layout': f'layout://{self.path}/L:v1'}[kind]

    def listed(self, kind: str) -> Any:
        """What there is under the name at that destination: a document."""
        if kind == 'registry':
            return manifest_at(self.host, 'v1', 'copy').json()
        named, = json.loads((self.path / 'L/index.json').read_bytes())['manifests']
        return json.loads((self.path / 'L/blobs/sha256' / named['digest'].removeprefix('sha256:')).read_bytes())


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Here]:
    with registry_with(tmp_path / 'registry', ['many:v1']) as server:
        yield Here(server.host, tmp_path)


@pytest.mark.parametrize('destination', ['dir://{}/out', 'layout://{}/out', 'tar://{}/out', 'registry://{host}/out:v1'])
def test_an_image_cut_out_of_an_index_says_so(destination: str, here: Here) -> None:
    target = destination.format(here.path, host=here.host)
    result = run_here('process', here.source, target, '--platform=linux/amd64', '-O', 'json',
                      '--receipt', here.path / 'receipt')
    result.assert_code(0)
    assert [line for line in result.err.splitlines() if '1 of 2 platforms' in line and 'linux/amd64' in line], result
    image, = json.loads(result.out)['images']
    assert image['platforms'] == {'taken': ['linux/amd64'], 'at_source': ['linux/amd64', 'linux/arm64/v8']}
    assert any('1 of 2 platforms' in note for note in image['notes'])
    assert json.loads((here.path / 'receipt').read_text().splitlines()[0])['source_digest'] == here.index


def test_the_whole_of_an_index_and_a_plain_image_say_nothing(here: Here) -> None:
    for source, more in ((here.source, [ALL]), (f'registry://{here.host}/many:amd64', [])):
        result = run_here('process', source, f'layout://{here.path}/out', *more)
        result.assert_code(0)
        assert ' platforms' not in result.err


def test_a_dry_run_says_it_as_well(here: Here) -> None:
    result = run_here('process', here.source, f'dir://{here.path}/out', '--dry-run')
    result.assert_code(0)
    assert '1 of 2 platforms' in result.out


@pytest.mark.parametrize('kind', ['registry', 'layout'])
@pytest.mark.parametrize('source', ['many:v1', 'many:amd64'])
def test_a_single_image_does_not_replace_an_index(kind: str, source: str, here: Here) -> None:
    run_here('process', here.source, here.destination(kind), ALL).assert_code(0)
    whole = here.listed(kind)
    single = f'registry://{here.host}/{source}'
    one = '--platform=host'
    is_refused(run_here('process', single, here.destination(kind), one), 'is an index of 2 platforms', REPLACE)
    assert here.listed(kind) == whole and len(whole['manifests']) == 4
    run_here('process', single, here.destination(kind), one, REPLACE).assert_code(0)
    assert 'layers' in here.listed(kind)


@pytest.mark.parametrize('kind', ['registry', 'layout'])
def test_an_index_takes_the_place_of_an_index_or_of_an_image(kind: str, here: Here) -> None:
    run_here('process', f'registry://{here.host}/many:amd64', here.destination(kind)).assert_code(0)
    for _ in range(2):
        run_here('process', here.source, here.destination(kind), ALL).assert_code(0)
        assert len(here.listed(kind)['manifests']) == 4


def test_an_index_and_not_the_config_says_for_which_platform_an_image_is(here: Here) -> None:
    listed = manifest_at(here.host, 'v1').json()['manifests'][0]
    both = [{**listed, 'platform': {'os': 'linux', 'architecture': each}} for each in ('amd64', 'arm64')]
    put_index(here.host, both, 'both')
    source, target, arm = f'registry://{here.host}/many:both', f'layout://{here.path}/arm:v1', '--platform=linux/arm64'
    result = run_here('process', source, target, arm).assert_code(0)
    assert f'{here.host}/many:both: the index lists it as linux/arm64, its config says linux/amd64' in result.err
    assert '1 of 2 platforms' in result.err and ': linux/arm64 (' in result.err
    named, = json.loads((here.path / 'arm/index.json').read_bytes())['manifests']
    assert named['digest'] == listed['digest']
    run_here('verify', target, '--against', source).assert_code(0)
    run_here('process', source, target, '--platform=linux/amd64').assert_code(0)
    is_refused(run_here('process', source, target, '--platform=linux/s390x'), 'available: linux/amd64, linux/arm64')


@pytest.mark.parametrize('kind', ['registry', 'layout'])
def test_an_index_of_one_platform_may_be_replaced(kind: str, here: Here) -> None:
    only = [each for each in manifest_at(here.host, 'v1').json()['manifests']
            if each['platform']['architecture'] in ('amd64', 'unknown')]
    put_index(here.host, only, 'one')
    run_here('process', f'registry://{here.host}/many:one', here.destination(kind), ALL).assert_code(0)
    run_here('process', f'registry://{here.host}/many:amd64', here.destination(kind)).assert_code(0)


def test_several_entries_of_one_name_in_a_layout_are_not_replaced_by_one(here: Here) -> None:
    run_here('process', f'registry://{here.host}/many:amd64', f'layout://{here.path}/L:v1').assert_code(0)
    index = here.path / 'L/index.json'
    document = json.loads(index.read_bytes())
    entries = [{**document['manifests'][0], 'platform': {'os': 'linux', 'architecture': each}}
               for each in ('amd64', 'arm64')]
    index.write_text(json.dumps({**document, 'manifests': entries}))
    before = index.read_bytes()
    is_refused(run_here('process', f'registry://{here.host}/many:amd64', f'layout://{here.path}/L:v1'), REPLACE)
    assert index.read_bytes() == before


def test_an_archive_of_several_platforms_is_not_replaced_by_one(here: Here) -> None:
    import tarfile
    run_here('process', here.source, f'layout://{here.path}/L', ALL).assert_code(0)
    archive = here.path / 'several.tar'
    with tarfile.open(archive, 'w') as tar:
        for name in ('oci-layout', 'index.json', 'blobs'):
            tar.add(here.path / 'L' / name, name)
    before = archive.read_bytes()
    for target in (f'tar://{archive}', f'tar://{archive}?format=oci'):
        is_refused(run_here('process', f'registry://{here.host}/many:amd64', target), 'index of 2 platforms', REPLACE)
    assert archive.read_bytes() == before
    run_here('process', f'registry://{here.host}/many:amd64', f'tar://{archive}', REPLACE).assert_code(0)


@pytest.mark.parametrize('option', ['?platform=linux/arm64', ' --platform=linux/arm64'])
def test_an_image_for_another_platform_is_not_taken_instead(option: str, tmp_path: Path) -> None:
    archive = write_docker_archive(tmp_path / 'amd64.tar', sample_config(), sample_layers(), 'sample:v1')
    result = run_here('process', *f'tar://{archive}{option} dir://{tmp_path}/out'.split())
    is_refused(result, 'no image for platform linux/arm64', 'linux/amd64')
    assert not (tmp_path / 'out').exists()


@pytest.fixture
def shelves() -> None:
    SHELVES.clear()
    IMAGES.clear()


@pytest.mark.usefixtures('shelves')
def test_a_platform_that_is_known_only_at_the_end_of_a_stream() -> None:
    def arriving(name: str) -> Image:
        return Stream(Reference.parse(name), ImageConfig.parse(sample_config()), sample_layers())
    with pytest.raises(Exception, match='no image for platform linux/arm64 at app; available: linux/amd64'):
        process(offer('app', image=arriving), 'memory://shelf', settings=Settings().choosing('linux/arm64'))
    assert not SHELVES['shelf'].images


@pytest.mark.usefixtures('shelves')
def test_another_digest_than_the_one_that_is_pinned() -> None:
    def given(name: str) -> Image:
        image = sample_image('app')
        image.origin = Origin(Digest.of(b'another'))
        return image
    offer('app', image=given)
    with pytest.raises(Exception, match=f'the source returned {Digest.of(b"another")}'):
        process(f'memory://app@{Digest.of(b"pinned")}')
    assert not SHELVES['shelf'].images


def test_entries_count_as_platforms_but_for_attestations() -> None:
    image = sample_image()
    assert image.manifest
    entries = [entry(image.manifest.descriptor, platform) for platform in ('linux/amd64', 'linux/arm64', '')]
    from occystrap_core.oci import Descriptor, Index
    index = Index.build([Descriptor.from_json(each, 'an entry') for each in [
        *entries, entry(image.manifest.descriptor, 'unknown/unknown', 'sha256:1'),
        entry(image.manifest.descriptor, '', 'sha256:1')]])
    assert Origin.of(index).platforms == ('linux/amd64', 'linux/arm64', 'unknown')


@pytest.mark.parametrize('options', [['--layer-cache'], ['--resume', '--receipt']], ids=['cached', 'resumed'])
def test_a_filter_that_reads_like_two_is_one(options: list[str], tmp_path: Path) -> None:
    archive = write_docker_archive(tmp_path / 'a.tar', sample_config(), sample_layers(), 'app:v1')
    process = ['process', f'tar://{archive}', f'layout://{tmp_path}/L:v1']
    file = str(tmp_path / 'file')
    given = [word for option in options for word in (option, file)]
    two = ['exclude:pattern=/etc', '--filter=owner:uid=7']
    run_here(*process, '-f', *two, *given[-2:]).assert_code(0)
    for one in ('exclude:pattern=/etc owner:uid=7', f'exclude:pattern=/etc {two[1]}'):
        run_here(*process, '-f', one, *given).assert_code(0)
        assert run_here('search', f'layout://{tmp_path}/L', 'etc').out
        run_here(*process, '-f', *two, *given[-2:]).assert_code(0)
        assert not run_here('search', f'layout://{tmp_path}/L', 'etc').out
