"""Entry points are those that importlib.metadata finds, whatever is on the path."""
import sys
import zipfile
from importlib.machinery import PathFinder
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from occystrap_core.plugins.entry_points import installed_entry_points

GROUP = 'occystrap.test'
TEXT = f'''[console_scripts]
other = somewhere:main

[{GROUP}]
# a comment
first = entry_module
 second=entry_module:Inner.value [extra]
[another]
third = entry_module
'''


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory on the path that has the module that entry points name."""
    place = tmp_path / 'place'
    place.mkdir()
    (place / 'entry_module.py').write_text('class Inner:\n    value = 7\n')
    monkeypatch.syspath_prepend(place)
    monkeypatch.setattr(sys, 'modules', dict(sys.modules))
    return place


def distribution(place: Path, directory: str, text: str = TEXT) -> None:
    """Make a distribution's metadata."""
    (place / directory).mkdir(parents=True)
    (place / directory / 'METADATA').write_text('Metadata-Version: 2.1\nName: some-plugin\nVersion: 1.5\n')
    (place / directory / 'entry_points.txt').write_text(text)


def assert_same() -> None:
    ours, theirs = installed_entry_points(GROUP), entry_points(group=GROUP)
    assert sorted((each.name, each.value) for each in ours) == sorted((each.name, each.value) for each in theirs)


def test_names_values_and_the_distribution(place: Path) -> None:
    distribution(place, 'some_plugin-1.5.dist-info')
    first, second = installed_entry_points(GROUP)
    assert (first.name, first.value) == ('first', 'entry_module')
    assert (first.dist.name, first.dist.version) == ('some-plugin', '1.5')
    assert first.load().Inner.value == 7 and second.load() == 7
    assert_same()


def test_of_one_distribution_in_several_places_the_first_counts(place: Path, tmp_path: Path,
                                                                monkeypatch: pytest.MonkeyPatch) -> None:
    distribution(place, 'some_plugin-1.5.dist-info', f'[{GROUP}]\nnew = entry_module\n')
    distribution(tmp_path / 'behind', 'Some.Plugin-1.0.egg-info')
    monkeypatch.setattr(sys, 'path', [*sys.path, str(tmp_path / 'behind'), str(tmp_path / 'missing')])
    assert [each.name for each in installed_entry_points(GROUP)] == ['new']
    assert_same()


def test_a_broken_list_is_no_end(place: Path) -> None:
    distribution(place, 'some_plugin-1.5.dist-info', f'[{GROUP}')
    (place / 'bare-1.0.dist-info').mkdir()
    assert installed_entry_points(GROUP) == []
    (place / 'other-1.0.dist-info').mkdir()
    (place / 'other-1.0.dist-info/entry_points.txt').write_bytes(f'[{GROUP}]\nbad = m\xff\n'.encode('latin-1'))
    with pytest.raises(ImportError):
        installed_entry_points(GROUP)[0].load()


def test_distributions_in_zip_files_and_of_other_finders(place: Path, tmp_path: Path,
                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    with zipfile.ZipFile(tmp_path / 'packed.zip', 'w') as packed:
        packed.writestr('packed-1.0.dist-info/METADATA', 'Name: packed\n')
        packed.writestr('packed-1.0.dist-info/entry_points.txt', f'[{GROUP}]\nzipped = entry_module\n')
    with monkeypatch.context() as zipped:
        zipped.setattr(sys, 'path', [*sys.path, str(tmp_path / 'packed.zip')])
        assert [each.name for each in installed_entry_points(GROUP)] == ['zipped']
    distribution(tmp_path / 'hidden', 'hidden-1.0.dist-info')

    class Finder(PathFinder):
        @classmethod
        def find_distributions(cls, context=None):  # type: ignore[no-untyped-def, override]
            from importlib.metadata import Distribution
            return [Distribution.at(tmp_path / 'hidden/hidden-1.0.dist-info')]
    monkeypatch.setattr(sys, 'meta_path', [*sys.meta_path, Finder])
    assert {each.name for each in installed_entry_points(GROUP)} == {'first', 'second'}
