"""Places: one name for what users can write in many ways."""
import os
from pathlib import Path

import pytest

from occystrap_core import Place
from occystrap_core.oci import Reference
from occystrap_core.plugins.resolver import destination_location, open_output
from occystrap_core.settings import Settings
from tests.services.installed import installed_plugins

NAME = Reference.parse('registry.example/team/app:v1')


def place(uri: str, reference: Reference = NAME) -> Place:
    """Where an image goes that is written there."""
    plugins = installed_plugins()
    return open_output(plugins, destination_location(plugins, uri), Settings()).place(reference)


def clash(one: Place, other: Place) -> bool:
    """Whether two images would replace each other."""
    return one.root == other.root and one.clashes_with(other)


@pytest.mark.parametrize(('one', 'other'), [
    ('localhost:5000', '127.0.0.1:5000'), ('LOCALHOST:5000', '[::1]:5000'), ('localhost:5000', '127.1:5000'),
    ('localhost:5000', '[::ffff:127.0.0.1]:5000'), ('localhost:5000', 'x.localhost:5000'),
    ('Registry.Example:443', 'registry.example'), ('registry.example:0443', 'registry.example'),
    ('registry.example.', 'registry.example'), ('[2001:DB8:0::1]:5000', '[2001:db8::1]:5000'),
])
def test_one_host_has_one_name(one: str, other: str) -> None:
    assert Place.canonical_host(one, 443) == Place.canonical_host(other, 443)


@pytest.mark.parametrize(('one', 'other'), [
    ('localhost:5000', 'localhost:5001'), ('127.0.0.2:5000', '127.0.0.1:5000'), ('a.example', 'b.example'),
    ('localhost.example', 'localhost'), ('registry.example:80', 'registry.example')])
def test_other_hosts_have_others(one: str, other: str) -> None:
    assert Place.canonical_host(one, 443) != Place.canonical_host(other, 443)


@pytest.mark.parametrize(('one', 'other'), [
    ('registry://localhost:5000/x', 'registry://127.0.0.1:5000/x:latest'),
    ('registry://docker.io/alpine', 'registry://Index.Docker.io/library/alpine:latest'),
    ('registry://docker.io/alpine', 'registry://registry-1.docker.io/library/alpine'),
    ('registry://REG.example:443/x:v1', 'registry://reg.example/x:v1?compression=zstd'),
    ('docker://x?host=tcp://localhost:2375', 'docker://docker.io/library/x:latest?host=http://127.0.0.1:2375'),
    ('docker://x?host=ssh://me@box', 'docker://x:latest?host=ssh://me@BOX:22/'),
])
def test_one_place_in_a_service_has_one_name(one: str, other: str) -> None:
    assert clash(place(one), place(other))


@pytest.mark.parametrize(('one', 'other'), [
    ('registry://localhost:5000/x:a', 'registry://localhost:5000/x:b'),
    ('registry://localhost:5000/x', 'registry://localhost:5001/x'),
    ('registry://localhost:5000/x/y', 'registry://localhost:5000/x'),
    ('docker://x?host=tcp://box:2375', 'docker://x?host=tcp://crate:2375'),
    ('docker://x?host=ssh://me@box', 'docker://x?host=ssh://you@box'),
    ('docker://team/x?host=tcp://box:2375', 'docker://quay.io/team/x?host=tcp://box:2375'),
])
def test_other_places_in_services_have_others(one: str, other: str) -> None:
    assert not clash(place(one), place(other))


@pytest.mark.parametrize('scheme', ['tar', 'dir', 'oci', 'layout', 'mounts'])
@pytest.mark.parametrize('other', ['./x', 'sub/../x', 'x/', 'link/x', 'over/x', '/proc/self/cwd/x', '%78'])
def test_one_path_has_one_name(scheme: str, other: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / 'sub').mkdir()
    (tmp_path / 'link').symlink_to(tmp_path)
    (tmp_path / 'over').symlink_to('link')
    monkeypatch.chdir(tmp_path)
    assert place(f'{scheme}://x') == place(f'{scheme}://{other}')


@pytest.mark.skipif(os.geteuid() != 0, reason='mounts a directory')
@pytest.mark.parametrize('scheme', ['tar', 'dir', 'layout'])
@pytest.mark.parametrize('below', ['x', 'sub/x'])
def test_a_directory_mounted_twice_is_one(scheme: str, below: str, tmp_path: Path) -> None:
    (tmp_path / 'a').mkdir()
    (tmp_path / 'b').mkdir()
    assert os.system(f'mount --bind {tmp_path}/a {tmp_path}/b') == 0
    try:
        assert clash(place(f'{scheme}://{tmp_path}/a/{below}'), place(f'{scheme}://{tmp_path}/b/{below}'))
        assert not clash(place(f'{scheme}://{tmp_path}/a/{below}'), place(f'{scheme}://{tmp_path}/b/{below}2'))
    finally:
        assert os.system(f'umount {tmp_path}/b') == 0


def test_two_names_of_one_archive_are_two_places(tmp_path: Path) -> None:
    """A new archive takes a name; the other name keeps the old one."""
    (tmp_path / 'a.tar').touch()
    (tmp_path / 'b.tar').hardlink_to(tmp_path / 'a.tar')
    assert not clash(place(f'tar://{tmp_path}/a.tar'), place(f'tar://{tmp_path}/b.tar'))


@pytest.mark.parametrize(('uri', 'one', 'other', 'same'), [
    ('dir://{}/x', 'a:v1', 'b:v1', True),
    ('oci://{}/x', 'a:v1', 'b:v1', True),
    ('dir://{}/x?unique_names=true', 'a:v1', 'b:v1', False),
    ('dir://{}/x?unique_names=true', 'h.example/a', 'a:latest', True),
    ('dir://{}/x?unique_names=true', 'h.example/a:v1', 'i.example/a:v1', False),
    ('layout://{}/x', 'a:v1', 'a:v1', True),
    ('layout://{}/x', 'a:v1', f'a:v1@sha256:{"0" * 64}', True),
    ('layout://{}/x', f'a@sha256:{"1" * 64}', f'a@sha256:{"0" * 64}', False),
    ('layout://{}/x', 'untagged', 'untagged', False),
    ('layout://{}/x:v1', 'a:v1', 'b:v2', True),
    ('mounts://{}/x', 'a', 'a:latest', True),
    ('mounts://{}/x', 'a:v1', f'a:v1@sha256:{"0" * 64}', False),
])
def test_which_images_in_one_directory_have_different_places(uri: str, one: str, other: str, same: bool,
                                                             tmp_path: Path) -> None:
    there = uri.format(tmp_path)
    assert clash(place(there, Reference.parse(one)), place(there, Reference.parse(other))) is same


def test_an_image_that_takes_a_whole_directory_clashes_with_all_in_it(tmp_path: Path) -> None:
    assert clash(place(f'dir://{tmp_path}/x'), place(f'layout://{tmp_path}/x'))
    assert clash(place(f'dir://{tmp_path}/x?unique_names=true'), place(f'oci://{tmp_path}/./x'))


def test_a_path_leads_where_the_system_finds_it_and_keeps_other_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                                      ) -> None:
    (tmp_path / 'here').mkdir()
    (tmp_path / 'far/in').mkdir(parents=True)
    (tmp_path / 'here/link').symlink_to('../far/in')
    (tmp_path / 'here/a..').symlink_to('../far')
    (tmp_path / 'here/current').symlink_to('v1')
    monkeypatch.chdir(tmp_path / 'here')
    for written, path in {'x': 'here/x', 'link/../x': 'far/x', 'link/..': 'far', 'link/../../here/./current/x':
                          'here/current/x', '../here/current/x': 'here/current/x', 'current/x/': 'here/current/x',
                          'link/../a../x': 'far/a../x', 'a../x': 'here/a../x', 'link/x': 'here/link/x'}.items():
        assert Place.absolute(written) == Place.absolute(f'{tmp_path}/here/{written}') == f'{tmp_path}/{path}', written
