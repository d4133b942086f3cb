"""Which platform of an archive is read: the one that was asked for, or none."""
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from occystrap_core.image.manifest_reader import ManifestReader
from occystrap_core.oci import Descriptor, Digest, Index, Manifest
from tests.hostile.in_process import run_here
from tests.hostile.refusals import is_refused
from tests.unit.tar.archives import Members, hex_of, write_tar
from tests.unit.tar.test_input import blob, entry, layout, stored

AMD, ARM = stored(), stored('arm64', 'another')
EVERY = [*AMD[1], *ARM[1]]


def index(*entries: dict[str, Any]) -> bytes:
    return json.dumps({'schemaVersion': 2, 'mediaType': 'application/vnd.oci.image.index.v1+json',
                       'manifests': list(entries)}).encode()


def one_index(path: Path, inner: bytes, *more: bytes) -> Path:
    """Write an OCI archive whose index.json has an index under a name."""
    return layout(path, [entry(inner, 'v1', kind='index')], [*EVERY, *map(blob, (inner, *more))])


def saved(path: Path, *manifests: bytes, tags: Sequence[str] = ('app:v1',), beside: Members = ()) -> Path:
    """Write a docker archive as Docker 28 does, of blobs, with one entry for each manifest under the same tags."""
    entries = []
    for each in map(json.loads, manifests):
        names = [f'blobs/sha256/{pointer["digest"][7:]}' for pointer in (each['config'], *each['layers'])]
        entries.append({'Config': names[0], 'RepoTags': list(tags), 'Layers': names[1:]})
    return write_tar(path, [('manifest.json', json.dumps(entries).encode()), *beside, *dict(EVERY).items()])


def with_layout(inner: bytes) -> Members:
    """Return the rest of an image layout with an index."""
    outer = index(entry(inner, 'v1', kind='index'))
    return [('oci-layout', b'{"imageLayoutVersion": "1.0.0"}'), ('index.json', outer), blob(inner)]


LABELLED = index(entry(AMD[0], architecture='amd64'), entry(ARM[0], architecture='arm64'))
UNLABELLED = index(entry(AMD[0]), entry(ARM[0]))
COVER = index(entry(LABELLED, kind='index'))
COVERED = index(entry(COVER, kind='index'))
MIXED = index(entry(AMD[0], architecture='amd64'), entry(index(entry(ARM[0])), kind='index'))
WAYS = {
    'an index': lambda path: one_index(path, LABELLED),
    'an index in an index': lambda path: one_index(path, COVER, LABELLED),
    'three deep': lambda path: one_index(path, COVERED, COVER, LABELLED),
    'unlabelled': lambda path: one_index(path, UNLABELLED),
    'mixed': lambda path: one_index(path, MIXED, index(entry(ARM[0]))),
    'flat': lambda path: layout(path, [entry(AMD[0], 'v1', 'amd64'), entry(ARM[0], 'v1', 'arm64')], EVERY),
    'flat and unlabelled': lambda path: layout(path, [entry(AMD[0], 'v1'), entry(ARM[0], 'v1')], EVERY),
    'docker 28': lambda path: saved(path, AMD[0], beside=with_layout(LABELLED)),
    'docker 28, both': lambda path: saved(path, AMD[0], ARM[0], beside=with_layout(LABELLED)),
    'docker, two of one tag': lambda path: saved(path, AMD[0], ARM[0]),
}


@pytest.mark.parametrize('option', [True, False])
@pytest.mark.parametrize('architecture', ['amd64', 'arm64'])
@pytest.mark.parametrize('way', WAYS)
def test_the_platform_that_is_asked_for(way: str, architecture: str, option: bool, tmp_path: Path) -> None:
    source, platform = WAYS[way](tmp_path / 'a.tar'), f'linux/{architecture}'
    requests = [f'tar://{source}?platform={platform}'] if option else [f'tar://{source}', '--platform', platform]
    run_here('-q', 'process', '--verify=full', *requests, f'dir://{tmp_path}/out').assert_code(0)
    written, = json.loads((tmp_path / 'out/manifest.json').read_bytes())
    assert json.loads((tmp_path / 'out' / written['Config']).read_bytes())['architecture'] == architecture


@pytest.mark.parametrize('way', WAYS)
def test_a_platform_that_is_not_there(way: str, tmp_path: Path) -> None:
    source = WAYS[way](tmp_path / 'a.tar')
    is_refused(run_here('-q', 'process', f'tar://{source}?platform=linux/s390x', f'dir://{tmp_path}/out'),
               'no image for platform linux/s390x', 'available:', 'linux/amd64', 'linux/arm64', str(source))
    assert not (tmp_path / 'out').exists()


def test_a_plain_archive_has_one_platform(tmp_path: Path) -> None:
    source = saved(tmp_path / 'a.tar', AMD[0])
    for requested in ('linux/arm64', 'linux/amd64,linux/arm64'):
        is_refused(run_here('-q', 'process', f'tar://{source}?platform={requested}', f'layout://{tmp_path}/out'),
                   'no image for platform linux/arm64', 'available: linux/amd64')
    run_here('-q', 'process', f'tar://{source}?platform=all', f'layout://{tmp_path}/out').assert_code(0)


@pytest.mark.parametrize('choice', ['all', 'linux/arm64,linux/amd64'])
@pytest.mark.parametrize('way', [way for way in WAYS if way != 'docker, two of one tag'])
def test_all_platforms(way: str, choice: str, tmp_path: Path) -> None:
    source = WAYS[way](tmp_path / 'a.tar')
    run_here('-q', 'process', f'tar://{source}', '--platform', choice, f'layout://{tmp_path}/out').assert_code(0)
    there = {path.name for path in (tmp_path / 'out/blobs/sha256').iterdir()}
    assert there >= {name.rpartition('/')[2] for name, _ in EVERY}
    if choice == 'all' and not way.startswith('flat'):
        top, = json.loads((tmp_path / 'out/index.json').read_bytes())['manifests']
        bytes_there = (tmp_path / 'out/blobs/sha256' / top['digest'][7:]).read_bytes()
        assert bytes_there in (LABELLED, COVER, COVERED, UNLABELLED, MIXED), 'the index is as it was, byte for byte'


@pytest.mark.parametrize('manifests', [None, []])
def test_an_archive_that_is_empty(manifests: None | list[object], tmp_path: Path) -> None:
    outer = json.dumps({'schemaVersion': 2, 'manifests': manifests}).encode()
    members: Members = [('oci-layout', b'{"imageLayoutVersion": "1.0.0"}'), ('index.json', outer)]
    source = write_tar(tmp_path / 'a.tar', members)
    is_refused(run_here('-q', 'process', f'tar://{source}', f'dir://{tmp_path}/out'), 'a.tar holds no image')
    inner = one_index(tmp_path / 'b.tar', index())
    is_refused(run_here('-q', 'process', f'tar://{inner}', f'dir://{tmp_path}/out'),
               'holds no image: its index is empty')


def test_indexes_that_multiply_are_read_once_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = ManifestReader.read
    looked: list[Descriptor] = []

    def counted(self: ManifestReader, each: Descriptor) -> Manifest | Index:
        looked.append(each)
        return read(self, each)

    monkeypatch.setattr(ManifestReader, 'read', counted)
    bottom, blobs = entry(AMD[0]), []
    for _ in range(7):
        each = index(*[bottom] * 4)  # each of which lists the one before four times
        blobs.append(each)
        bottom = entry(each, kind='index')
    source = one_index(tmp_path / 'a.tar', blobs[-1], *blobs)
    uri = f'tar://{source}?platform=linux/s390x'
    is_refused(run_here('-q', 'process', uri, f'dir://{tmp_path}/out'), 'linux/s390x', 'available: linux/amd64')
    assert len(looked) < 50


@pytest.mark.parametrize('name', ['sha256:{}', '{}.json', '{}', 'sha256-{}.json', 'blobs/sha256/{}', './x/{}.json'])
@pytest.mark.parametrize('in_capitals', [False, True])
def test_a_config_is_held_against_the_digest_in_its_name(name: str, in_capitals: bool, tmp_path: Path) -> None:
    config, layer = dict(AMD[1]), json.loads(AMD[0])
    names = [f'blobs/sha256/{each["digest"][7:]}' for each in layer['layers']]
    good = config[f'blobs/sha256/{layer["config"]["digest"][7:]}']
    assert isinstance(good, bytes)
    spelled = name.format(hex_of(good))
    spelled = spelled.upper() if in_capitals else spelled
    for content, code in ((good, 0), (good.replace(b'/usr/bin/hello', b'/usr/bin/other'), 1)):
        document = json.dumps([{'Config': spelled, 'RepoTags': ['app:v1'], 'Layers': names}]).encode()
        source = write_tar(tmp_path / 'a.tar', [
            ('manifest.json', document), (spelled, content),
            *((each, config[each]) for each in names)])
        result = run_here('-q', 'process', '--verify=full', f'tar://{source}', f'dir://{tmp_path}/out')
        assert result.code == code, result
        found = run_here('info', f'tar://{source}?image={Digest.of(good)}')
        assert found.code == code and (code or str(Digest.of(good)) in found.out)
    is_refused(result, 'a.tar', str(Digest.of(content)), 'not the one in its name')
    rules = [each['rule'] for each in json.loads(run_here('check', f'tar://{source}', '-O', 'json').out)['images'][0][
        'findings']]
    assert rules == ['config-digest']


def test_an_image_is_found_by_its_digest_whatever_its_config_is_called(tmp_path: Path) -> None:
    members = dict(AMD[1])
    first, second = (json.loads(each) for each in (AMD[0], ARM[0]))
    configs = [dict(EVERY)[f'blobs/sha256/{each["config"]["digest"][7:]}'] for each in (first, second)]
    entries = [{'Config': f'config{number}.json', 'RepoTags': None,
                'Layers': [f'blobs/sha256/{layer["digest"][7:]}' for layer in each['layers']]}
               for number, each in enumerate((first, second))]
    source = write_tar(tmp_path / 'a.tar', [
        ('manifest.json', json.dumps(entries).encode()), *((f'config{number}.json', each)
                                                           for number, each in enumerate(configs)),
        *dict([*members.items(), *ARM[1]]).items()])
    requested = second['config']['digest']
    assert requested in run_here('info', f'tar://{source}?image={requested}').assert_code(0).out
    assert len(run_here('info', f'tar://{source}', '-O', 'json').json()['images']) == 2
