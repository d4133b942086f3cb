"""The example of a writer is what `plugins new flat` makes, which passes lint; tests of it run in test_wheels.py."""
import os
import subprocess
import sys
from pathlib import Path

import pytest

from occystrap_core import OutputError
from occystrap_core.cli.new_plugin import make_project
from occystrap_core.testing.sample import sample_image, sample_layers
from occystrap_core.testing.writer_conformance import WriterConformance

ROOT = Path(__file__).parents[3]
EXAMPLES = ROOT / 'docs/examples'


def files_of(directory: Path) -> dict[str, str]:
    """The files of a project, each with its text."""
    return {str(path.relative_to(directory)): path.read_text() for path in directory.rglob('*')
            if path.is_file() and not {'__pycache__', '.pytest_cache', '.mypy_cache'} & {*path.parts}}


def passes(directory: Path, *command: str) -> str:
    """Run a module of Python in a project; return what it prints, and fail if it fails."""
    env = {**os.environ, 'PYTHONPATH': str(directory), 'MYPYPATH': f'{directory}:{ROOT}'}
    done = subprocess.run([sys.executable, '-m', *command], cwd=directory, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    return done.stdout


def test_the_example_is_what_plugins_new_makes(tmp_path: Path) -> None:
    make_project(str(tmp_path / 'occystrap-flat'), 'flat')
    assert files_of(EXAMPLES / 'occystrap-flat') == files_of(tmp_path / 'occystrap-flat')


def test_a_new_project_passes_lint(tmp_path: Path) -> None:
    project = tmp_path / 'occystrap-two-words'
    make_project(str(project), 'two-words')
    assert not [name for name, text in files_of(project).items() if '@' in text.replace('@hookimpl', '').replace(
        'actions/checkout@', '').replace('actions/setup-python@', '') or '@' in name]
    passes(project, 'flake8')
    passes(project, 'mypy', '--cache-dir', str(ROOT / '.mypy_cache'))


@pytest.mark.parametrize('name', ['occystrap-sizelimit'])
def test_an_example_passes_its_own_tests_and_lint(name: str) -> None:
    passes(EXAMPLES / name, 'pytest', '-q', '-p', 'no:cacheprovider')
    passes(EXAMPLES / name, 'flake8')
    passes(EXAMPLES / name, 'mypy', '--cache-dir', str(ROOT / '.mypy_cache'))


def test_the_directory_is_what_the_readme_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLES / 'occystrap-flat')
    kit = WriterConformance()
    kit.plugin, kit.uri = 'occystrap_flat.plugin', 'flat://{directory}/image'
    kit.write(tmp_path, sample_image())
    names = sorted(os.listdir(tmp_path / 'image'))
    readme = (EXAMPLES / 'occystrap-flat/README.md').read_text().splitlines()
    assert names == [line.strip() for line in readme if line.startswith('    ')]
    assert {(tmp_path / 'image' / name).read_bytes() for name in names[:3]} == {*sample_layers()}


def test_a_config_that_is_no_images_is_left_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLES / 'occystrap-flat')
    kit = WriterConformance()
    kit.plugin, kit.uri = 'occystrap_flat.plugin', 'flat://{directory}'
    (tmp_path / 'config.json').write_text('{"auths": {}}')
    with pytest.raises(OutputError, match='holds no image of this format'):
        kit.write(tmp_path, sample_image())
    assert os.listdir(tmp_path) == ['config.json'] and (tmp_path / 'config.json').read_text() == '{"auths": {}}'


def test_no_directory_is_created_above_the_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLES / 'occystrap-flat')
    kit = WriterConformance()
    kit.plugin, kit.uri = 'occystrap_flat.plugin', 'flat://{directory}/missing/image'
    with pytest.raises(OutputError, match=f'there is no directory {tmp_path}/missing: create it first'):
        kit.write(tmp_path, sample_image())
    assert not os.listdir(tmp_path)


def test_at_every_start_only_the_declarations_are_imported() -> None:
    code = ('import sys, occystrap_core.api.schemes, occystrap_core.api.hookspecs; before = {*sys.modules}; '
            'import occystrap_flat.plugin, occystrap_sizelimit.plugin; print(*sorted({*sys.modules} - before))')
    path = os.pathsep.join(str(EXAMPLES / f'occystrap-{name}') for name in ('flat', 'sizelimit'))
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True,
                          env={**os.environ, 'PYTHONPATH': path})
    names = [f'occystrap_{name}{module}' for name in ('flat', 'sizelimit') for module in ('', '.plugin')]
    assert done.stdout.split() == names


def test_an_unfinished_image_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / 'there').mkdir()
    with pytest.raises(OutputError, match='is there already'):
        make_project(str(tmp_path / 'there'), 'zip')
    with pytest.raises(OutputError, match='cannot write to .*absent/zip'):
        make_project(str(tmp_path / 'absent/zip'), 'zip')
    monkeypatch.setattr('occystrap_core.cli.new_plugin._FILES', {'one': 'flake8', 'one/two': 'flake8'})
    with pytest.raises(OutputError):
        make_project(str(tmp_path / 'half'), 'zip')
    assert os.listdir(tmp_path) == ['there']


def test_a_path_with_dots_behind_a_link_is_where_the_system_finds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                                                     ) -> None:
    monkeypatch.syspath_prepend(EXAMPLES / 'occystrap-flat')
    (tmp_path / 'there/below').mkdir(parents=True)
    (tmp_path / 'link').symlink_to('there/below')
    kit = WriterConformance()
    kit.plugin, kit.uri = 'occystrap_flat.plugin', 'flat://{directory}/link/../image'
    kit.write(tmp_path, sample_image())
    assert (tmp_path / 'there/image/config.json').is_file()
