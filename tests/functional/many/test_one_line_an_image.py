"""A list whose lines each name one image of one place: what lists the images is read once, not once a line."""
import gzip
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from occystrap_core import Settings
from occystrap_core.testing.sample import sample_config, sample_layers
from occystrap_dir.directory import catalog_images, manifests
from occystrap_tar.archive import archive_copy, docker_archive, members, oci_archive
from occystrap_tar.archive.open_archives import OpenArchives
from tests.functional.archives import write_docker_archive
from tests.hostile.in_process import run_here
from tests.unit.tar.archives import write_tar

COUNT = 12


class Calls:
    """Counts the calls of functions, which still do their work."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._patch, self.count = patch, dict[str, int]()

    def watch(self, module: object, name: str) -> None:
        """Count the calls of a function of a module or class."""
        function: Callable[..., object] = getattr(module, name)
        self.count[name] = 0

        def counted(*arguments: object, **named: object) -> object:
            self.count[name] += 1
            return function(*arguments, **named)
        self._patch.setattr(module, name, counted)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Calls:
    """A counter of calls."""
    return Calls(monkeypatch)


@pytest.fixture(scope='module')
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a docker archive, an OCI archive, both compressed, and a directory of the same images."""
    here = tmp_path_factory.mktemp('places')
    layers = sample_layers()[:1]
    for number in range(COUNT):
        write_docker_archive(here / f'{number}.tar', sample_config(layers), layers, f'team/app:v{number}')
    (here / 'list').write_text(''.join(f'tar://{here}/{number}.tar\n' for number in range(COUNT)))
    for goes in (f'tar://{here}/oci.tar?format=oci', f'dir://{here}/dir?unique_names=true'):
        run_here('-q', 'process', f'list://{here}/list', goes).assert_code(0)
    (here / 'oci.tar.gz').write_bytes(gzip.compress((here / 'oci.tar').read_bytes(), 1))
    return here


def copied(place: str, here: Path, names: list[str], to: Path) -> None:
    """Copy by a list with one line an image."""
    shutil.rmtree(to, ignore_errors=True)
    (here / 'lines').write_text(''.join(f'{place}?image={name}\n' for name in names))
    result = run_here('process', f'list://{here}/lines', f'layout://{to}')
    result.assert_code(0)
    assert f'{COUNT}/{COUNT} verified' in result.err


NAMES = [f'team/app:v{number}' for number in range(COUNT)]


@pytest.mark.parametrize('file', ['oci.tar', 'oci.tar.gz'])
def test_an_archive(file: str, places: Path, tmp_path: Path, calls: Calls) -> None:
    calls.watch(members.Archive, '_read')
    calls.watch(archive_copy, '_copied')
    calls.watch(oci_archive, 'layout_offers')
    copied(f'tar://{places}/{file}', places, NAMES, tmp_path / 'L')
    assert calls.count == {'_read': 1, '_copied': file.count('.gz'), 'layout_offers': 1}


def test_a_docker_archive(places: Path, tmp_path: Path, calls: Calls) -> None:
    layers = sample_layers()[:1]
    config = sample_config(layers)
    manifest = json.dumps([{'Config': 'c.json', 'RepoTags': [name], 'Layers': ['l.tar']} for name in NAMES]).encode()
    write_tar(tmp_path / 'many.tar', [('c.json', config), ('l.tar', layers[0]), ('manifest.json', manifest)])
    calls.watch(members.Archive, '_read')
    calls.watch(docker_archive, 'parse_json')
    copied(f'tar://{tmp_path}/many.tar', places, NAMES, tmp_path / 'L')
    assert calls.count == {'_read': 1, 'parse_json': 1}


def test_a_directory(places: Path, tmp_path: Path, calls: Calls) -> None:
    calls.watch(catalog_images, 'list_choices')
    copied(f'dir://{places}/dir', places, NAMES, tmp_path / 'L')
    assert calls.count == {'list_choices': 1}


def test_a_directory_of_one_manifest(places: Path, tmp_path: Path, calls: Calls) -> None:
    layers = sample_layers()[:1]
    entries = [{'Config': f'{number}/config.json', 'RepoTags': [name], 'Layers': ['l.tar']}
               for number, name in enumerate(NAMES)]
    for number in range(COUNT):
        (tmp_path / f'dir/{number}').mkdir(parents=True)
        (tmp_path / f'dir/{number}/config.json').write_bytes(sample_config(layers))
    (tmp_path / 'dir/l.tar').write_bytes(layers[0])
    (tmp_path / 'dir/manifest.json').write_text(json.dumps(entries))
    calls.watch(catalog_images, 'list_choices')
    calls.watch(manifests, '_parse_manifest')
    copied(f'dir://{tmp_path}/dir', places, NAMES, tmp_path / 'L')
    assert calls.count == {'list_choices': 1, '_parse_manifest': 1}


def test_an_archive_that_changed_is_read_again(places: Path, tmp_path: Path) -> None:
    path, archives, settings = tmp_path / 'a.tar', OpenArchives(), Settings()
    shutil.copy(places / '0.tar', path)
    first, same = archives.take(str(path), settings), archives.take(str(path), settings)
    shutil.copy(places / '1.tar', path)
    assert first is same is not archives.take(str(path), settings)
    archives.release(first)
    assert archives.take(str(path), settings) is not first
