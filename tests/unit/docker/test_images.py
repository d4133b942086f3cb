"""The command `images`, and patterns as sources of many images, against the fake daemon."""
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from occystrap_core import ImageNotFound, Location, OccystrapError, ServiceError, ServiceUnavailable, UsageError
from occystrap_core.cli.group import occystrap
from occystrap_core.oci import Digest, Excluded
from occystrap_core.sources.selection import select
from occystrap_docker.daemon.image_list import listed
from occystrap_docker.daemon.selection import NamePattern, spellings
from occystrap_docker.input import DockerInput
from tests.unit.docker.fake_daemon import FakeDaemon
from tests.unit.docker.layouts import blobs, legacy
from tests.unit.docker.runs import SETTINGS, at, read

OTHER = [b'another'.ljust(1024, b'\0')]
LOST = [b'lost'.ljust(1024, b'\0')]
PULLED = [b'pulled'.ljust(1024, b'\0')]


@pytest.fixture
def full(daemon: FakeDaemon) -> FakeDaemon:
    """A daemon with images of several names, of none, and of a digest alone."""
    daemon.add(legacy(), 'team/app:v1.9')
    for name in ('team/app:v1.10', 'team/tool:v1.9', 'debian:12', 'registry.example.com:5000/team/app:v1.9'):
        daemon.add(blobs(OTHER), name)
    for tars in (LOST, PULLED):
        image = blobs(tars)
        daemon.images[image.id] = image
    daemon.digests[blobs(PULLED).id] = [f'team/pulled@sha256:{"a" * 64}']
    return daemon


def run(daemon: FakeDaemon, pattern: str = '', *arguments: str) -> Result:
    """Run the command on a daemon."""
    uri = f'docker://{pattern}?socket={daemon.socket}'
    return CliRunner().invoke(occystrap, ['images', uri, *arguments])


def names(daemon: FakeDaemon, pattern: str = '') -> list[str]:
    """The first column, without its heading."""
    return [line.split('  ')[0] for line in run(daemon, pattern).stdout.splitlines()[1:]]


def matched(daemon: FakeDaemon, pattern: str, exclude: str | None = None) -> list[str]:
    """The images that a source names."""
    options = {'socket': str(daemon.socket), 'exclude': Excluded.parse(exclude or '')}
    where = Location('docker', pattern, options, {'exclude': exclude} if exclude else {})
    return [str(each) for each in select(DockerInput(where, SETTINGS), where).references]


def test_all_there_is_in_the_order_that_people_count(full: FakeDaemon) -> None:
    assert names(full) == ['debian:12', 'registry.example.com:5000/team/app:v1.9', 'team/app:v1.9', 'team/app:v1.10',
                           'team/pulled:<none>', 'team/tool:v1.9', '<none>']
    row = next(line for line in run(full).stdout.splitlines() if line.startswith('team/app:v1.9'))
    assert row.split('  ')[-4:] == [legacy().id.hex[:12], f'{len(legacy().archive) / 1024:.1f} KiB',
                                    '2017-07-14 02:40', 'linux/arm64/v8']


@pytest.mark.parametrize(('pattern', 'expected'), [
    ('team/app', ['team/app:v1.9', 'team/app:v1.10']),
    ('team/app:v1.9', ['team/app:v1.9']),
    ('team/*', ['team/app:v1.9', 'team/app:v1.10', 'team/pulled:<none>', 'team/tool:v1.9']),
    ('*:12', ['debian:12']),
    ('docker.io/library/*', ['debian:12']),
    ('registry.example.com:5000/**', ['registry.example.com:5000/team/app:v1.9']),
])
def test_patterns(pattern: str, expected: list[str], full: FakeDaemon) -> None:
    assert names(full, pattern) == expected


def test_json_has_full_values(full: FakeDaemon) -> None:
    document: dict[str, Any] = json.loads(run(full, 'team/[p-t]*', '-O', 'json').stdout)
    pulled, tool = blobs(PULLED), blobs(OTHER)
    rest = {'created': '2017-07-14T02:40:00Z', 'platform': 'linux/arm64/v8'}
    assert document == {'daemon': full.address, 'images': [
        {'name': None, 'repository': 'team/pulled', 'tag': None, 'id': pulled.id, 'size': len(pulled.archive), **rest,
         'digests': [f'team/pulled@sha256:{"a" * 64}']},
        {'name': 'team/tool:v1.9', 'repository': 'team/tool', 'tag': 'v1.9', 'id': tool.id,
         'size': len(tool.archive), **rest, 'digests': []}]}


def test_a_daemon_without_images_has_headings_alone(daemon: FakeDaemon) -> None:
    assert run(daemon).stdout.splitlines() == ['NAME  IMAGE ID  SIZE  CREATED  PLATFORM']
    assert json.loads(run(daemon, '', '-O', 'json').stdout)['images'] == []


@pytest.mark.parametrize(('arguments', 'kind', 'words'), [
    (['docker://nothing/*?socket={}'], ImageNotFound,
     'docker://nothing/.: no image of the daemon at .* available: deb'),
    (['registry://host'], UsageError, 'registry:// cannot be listed'),
    (['docker'], UsageError, 'not a URI'),
    (['docker://?sokcet={}'], UsageError, "no option 'sokcet'; did you mean 'socket'"),
    (['docker://?socket={}.no'], ServiceUnavailable, 'no Docker or Podman daemon answers'),
    (['docker://Team/*?socket={}'], UsageError, "malformed repository 'Team/.'"),
])
def test_mistakes(arguments: list[str], kind: type[OccystrapError], words: str, full: FakeDaemon) -> None:
    result = CliRunner().invoke(occystrap, ['images', *(each.format(full.socket) for each in arguments)])
    assert isinstance(result.exception, kind) and not result.stdout
    with pytest.raises(kind, match=words):
        raise result.exception


def test_a_list_that_is_none(daemon: FakeDaemon) -> None:
    for answer in ({}, [5], [{'RepoTags': ['a:b']}], [{'Id': 'x'}], [{'Id': 'a' * 64, 'RepoTags': [5]}]):
        with pytest.raises(ServiceError, match='does not answer with a list of images'):
            listed(answer, daemon.address)
    assert [each.id for each in listed([{'Id': 'a' * 64, 'RepoTags': None}], '')] == [Digest(f'sha256:{"a" * 64}')]
    daemon.faults['list'] = '500 broken'
    assert isinstance(run(daemon).exception, ServiceUnavailable)


def test_a_pattern_names_many(full: FakeDaemon) -> None:
    assert matched(full, 'team/*:v1.*') == ['team/app:v1.9', 'team/app:v1.10', 'team/tool:v1.9']
    assert matched(full, 'team/*:v1.*', exclude='team/tool,:v1.10') == ['team/app:v1.9']
    assert matched(full, 'team/app:v1.?') == ['team/app:v1.9']


def test_each_match_is_an_image_of_its_own(full: FakeDaemon) -> None:
    images = DockerInput(at(full, 'team/app:*'), SETTINGS)
    first, second = images.references()
    assert len(read(images.open(first))) == 3  # type: ignore[arg-type]
    assert len(read(images.open(second))) == 1  # type: ignore[arg-type]
    assert str(images.location_of(second)) == f'docker://team/app:v1.10?socket={full.socket}'


def test_without_a_tag_a_pattern_means_latest_as_everywhere(full: FakeDaemon) -> None:
    full.add(legacy(), 'team/app:latest')
    assert matched(full, 'team/*') == ['team/app:latest']


def test_that_latest_was_meant_is_said(full: FakeDaemon) -> None:
    with pytest.raises(ImageNotFound, match='no tag was given, so latest was looked for: :. matches every tag'):
        matched(full, 'team/*')


@pytest.mark.parametrize(('pattern', 'exclude'), [('team/*:v2', None), ('team/app', 'team/*'), ('*:12', 'deb*')])
def test_nothing_that_matches_is_an_error(pattern: str, exclude: str | None, full: FakeDaemon) -> None:
    words = ('no image of the daemon at unix://.*available: .*debian:12|is excluded|'
             'debian:12 is not selected by exclude=')
    with pytest.raises(ImageNotFound, match=words):
        matched(full, pattern, exclude)


@pytest.mark.parametrize('path', ['team/*@sha256:' + 'a' * 64, 'Team/*', 'team/[a', 'a*:b:c'])
def test_patterns_that_nothing_can_match(path: str) -> None:
    with pytest.raises(UsageError):
        NamePattern.parse(path, 'latest')


@pytest.mark.parametrize(('listed_as', 'written'), [
    ('debian', ['debian', 'docker.io/library/debian']),
    ('team/app', ['team/app', 'docker.io/team/app']),
    ('docker.io/library/debian', ['docker.io/library/debian', 'debian', 'library/debian']),
    ('localhost/team/app', ['localhost/team/app', 'team/app']),
    ('quay.io/team/app', ['quay.io/team/app']),
])
def test_names_match_as_users_shorten_them(listed_as: str, written: list[str]) -> None:
    assert list(spellings(listed_as)) == written


def test_many_through_the_command_line(full: FakeDaemon, tmp_path: Path) -> None:
    (tmp_path / 'list').write_text(
        f'docker://team/*:v1.9?socket={full.socket}\ndocker://debian:12?socket={full.socket}')
    result = CliRunner().invoke(occystrap, ['process', f'list://{tmp_path}/list', '-J', '2', '--no-sync',
                                            f'dir://{tmp_path}/out?unique_names=true'])
    assert result.exit_code == 0 and 'Summary: 3/3 images' in result.stderr, result.stderr


def test_a_daemon_says_once_a_run_what_it_is(daemon: FakeDaemon) -> None:
    """Podman takes a quarter of a second to tell."""
    daemon.add(blobs(), 'app:v1')
    comes, goes = (f'docker://{name}:v1?socket={daemon.socket}' for name in ('app', 'copy'))
    result = CliRunner().invoke(occystrap, ['process', comes, goes])
    assert result.exit_code == 0, result.output
    asked = [each.rpartition('/')[2] for each in daemon.requests]
    assert asked.count('info') <= 1 and asked.count('version') <= 2, daemon.requests  # of the API, and of programs
