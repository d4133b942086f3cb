"""A medium that is unmounted or exchanged while a run writes to it."""
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from occystrap_core.api.place import Place
from occystrap_core.api.uri import Location
from occystrap_core.destinations import media
from occystrap_core.destinations.media import Media
from occystrap_core.errors import OutputError
from occystrap_core.testing.sample import sample_config, sample_layers
from tests.functional.archives import write_docker_archive
from tests.hostile.in_process import run_here

SAYS = 'is on another file system than at the beginning of this run'


@pytest.fixture
def devices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """The devices of directories, by path; that of the temporary directory is 1."""
    numbers = {f'{tmp_path}/usb': 1}
    (tmp_path / 'usb').mkdir()

    def found(path: str) -> tuple[str, int]:
        while not os.path.isdir(path):
            path = os.path.dirname(path)
        above = [path, *map(str, Path(path).parents)]
        return path, next((numbers[each] for each in above if each in numbers), 1)
    monkeypatch.setattr(media, '_found', found)
    return numbers


@pytest.mark.parametrize('written', ['usb/{tag}.tar', 'usb/{repository}/{tag}', 'usb', 'usb/all', 'usb/new/v1.tar'])
def test_the_file_system_of_the_first_image_is_that_of_all(written: str, tmp_path: Path, devices: dict[str, int],
                                                           ) -> None:
    location, place = Location('tar', f'{tmp_path}/{written}', {}, {}), Place.at(f'{tmp_path}/usb/v1.tar')
    place = place if '{' in written else Place.at(location.path)
    ours = Media()
    for _ in range(2):
        with ours.kept(location, place):
            pass
    with pytest.raises(OutputError, match=SAYS), ours.kept(location, place):
        devices[f'{tmp_path}/usb'] = 2
    with pytest.raises(OutputError, match=SAYS):
        ours.require(location, place)
    devices[f'{tmp_path}/usb'] = 1
    ours.require(location, place)
    ours.close()


@pytest.mark.parametrize('again', ['usb/v1', 'usb/v1:name', 'usb/v1@name', 'usb/v1/below', '../usb/v1'])
def test_a_path_is_required_again_by_what_stands_above_it(again: str, tmp_path: Path, devices: dict[str, int],
                                                          monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path / 'usb' if again.startswith('..') else tmp_path)
    ours = Media()
    for name in ('v1', 'other'):
        ours.require(Location('dir', f'{tmp_path}/usb/{name}', {}, {}), Place.at(f'{tmp_path}/usb/{name}'))
    ours.require_again(again)
    devices[f'{tmp_path}/usb'] = 2
    for near in ('usb/v12', 'usb'):
        ours.require_again(f'{tmp_path}/{near}')
    with pytest.raises(OutputError, match=f'{tmp_path}/usb/v1 {SAYS}'):
        ours.require_again(again)
    ours.close()


class Asked(dict[str, int]):
    """The devices of paths, which may be as many as images: looked up, never gone through."""

    __iter__ = items = keys = values = None  # type: ignore[assignment]


def test_among_many_paths_those_above_one_are_looked_up(tmp_path: Path) -> None:
    ours = Media()
    ours._devices = Asked()
    for name in ('a', 'b'):
        ours.require(Location('dir', f'{tmp_path}/{name}', {}, {}), Place.at(f'{tmp_path}/{name}'))
    ours.require_again(f'{tmp_path}/a')
    ours.close()


def test_what_is_nowhere_in_a_file_system_is_not_asked_for() -> None:
    Media().require(Location('registry', 'host/app:v1', {}, {}), Place('', 'host/app:v1'))


def test_its_number_is_not_given_to_another_medium(tmp_path: Path) -> None:
    ours = Media()
    before = len(os.listdir('/proc/self/fd'))
    for name in ('a', 'b'):
        ours.require(Location('dir', f'{tmp_path}/{name}', {}, {}), Place.at(f'{tmp_path}/{name}'))
    assert len(os.listdir('/proc/self/fd')) == before + 1
    ours.close()
    assert len(os.listdir('/proc/self/fd')) == before


@pytest.mark.parametrize(('destination', 'count'), [
    ('tar://usb/{name}.tar', 1), ('layout://usb/all', 1), ('tar://usb/all.tar?format=oci', 2)])
def test_images_after_the_medium_was_removed_fail(destination: str, count: int, tmp_path: Path,
                                                  devices: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """They would be verified on the disk below the mount point. An archive of several images appears after the last."""
    monkeypatch.chdir(tmp_path)
    for name in ('a', 'b'):
        write_docker_archive(tmp_path / f'{name}.tar', sample_config(sample_layers()), sample_layers(), f'{name}:v1')
    (tmp_path / 'list').write_text('tar://a.tar\ntar://b.tar\n')
    kept, written = Media.kept, list[str]()

    @contextmanager
    def until_they_are_there(self: Media, location: Location, place: Place) -> Iterator[None]:
        with kept(self, location, place):
            yield
        written.append(place.path)
        devices[f'{tmp_path}/usb'] = 1 if len(written) < count else 2
    monkeypatch.setattr(Media, 'kept', until_they_are_there)
    result = run_here('process', '-J', '1', 'list://list', destination)
    assert result.code == 1 and SAYS in result.err and ' 2/2 verified' not in result.err


@pytest.mark.parametrize('when', ['before it is ordered', 'while it is copied'])
def test_workers_do_not_write_below_the_mount_point(when: str, tmp_path: Path, devices: dict[str, int],
                                                    monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_docker_archive(tmp_path / 'a.tar', sample_config(sample_layers()), sample_layers(), 'a:v1')
    write_docker_archive(tmp_path / 'b.tar', sample_config(sample_layers()), sample_layers(), 'b:v1')
    (tmp_path / 'list').write_text('tar://a.tar\ntar://b.tar\n')
    method = 'require' if when.startswith('before') else 'require_again'
    required = getattr(Media, method)

    def removed(self: Media, *arguments: Any) -> None:
        if method == 'require':
            required(self, *arguments)
        devices[f'{tmp_path}/usb'] = 2
        if method != 'require':
            required(self, *arguments)
    monkeypatch.setattr(Media, method, removed)
    result = run_here('process', '--executor', 'processes:workers=1', '--receipt', 'receipts', 'list://list',
                      'tar://usb/{name}.tar')
    assert result.code == 1 and SAYS in result.err and '0/2 verified' in result.err
    assert not (tmp_path / 'receipts').exists()
