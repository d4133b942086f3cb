"""The seven distributions as users get them: built as wheels, installed one by one into a clean environment."""
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PROJECTS = {'core': ROOT, **{name: ROOT / f'plugins/occystrap_{name}'
                             for name in ('dir', 'tar', 'registry', 'docker', 's3', 'dask')}}


@pytest.fixture(scope='session')
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The wheels, built from copies of nothing but what is in the repository."""
    directory = tmp_path_factory.mktemp('wheels')
    for project in PROJECTS.values():
        command = [sys.executable, '-m', 'build', '--wheel', '--no-isolation', '--outdir', str(directory), str(project)]
        subprocess.run(command, check=True, capture_output=True)
    return {name: next(directory.glob(f'occystrap_{name}-*.whl')) for name in PROJECTS}


class Environment:
    """A clean virtual environment, away from the checkout."""

    def __init__(self, directory: Path, wheels: dict[str, Path]) -> None:
        self._bin, self._directory, self._wheels = directory / 'venv/bin', directory, wheels
        venv.create(directory / 'venv')

    def install(self, name: str, *options: str) -> None:
        """Install one wheel; what it needs of the others comes from the wheels too."""
        pip = [sys.executable, '-m', 'pip', '--python', self._bin / 'python', '--disable-pip-version-check']
        command = [*pip, 'install', '--quiet', '--no-compile', *options, '--find-links', self._wheels[name].parent,
                   self._wheels[name]]
        subprocess.run(command, check=True, capture_output=True)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the installed command."""
        return subprocess.run([self._bin / 'occystrap', *arguments], capture_output=True, text=True,
                              cwd=self._directory)


def test_wheels_have_one_version_and_only_their_own_files(wheels: dict[str, Path]) -> None:
    import zipfile
    assert len({wheel.name.split('-')[1] for wheel in wheels.values()}) == 1
    for name, wheel in wheels.items():
        package = f'occystrap_{name}'
        names = zipfile.ZipFile(wheel).namelist()
        assert f'{package}/__init__.py' in names and f'{package}/py.typed' in names
        assert name != 'registry' or f'{package}/server/page/status.js' in names
        assert all(each.startswith((f'{package}/', f'{package}-')) for each in names), names
        assert not [each for each in names if each.endswith(('.toml', '.pyc'))]


def test_core_alone_says_how_to_get_schemes_and_each_brings_its_own(wheels: dict[str, Path], tmp_path: Path) -> None:
    environment = Environment(tmp_path, wheels)
    environment.install('core')
    listed = environment.run('plugins')
    assert listed.returncode == 0
    assert 'normalize-timestamps' in listed.stdout and 'pip install' in listed.stdout
    missing = environment.run('process', 'registry://127.0.0.1:1/app:v1', 'dir://out')
    assert missing.returncode == 2 and 'pip install occystrap-registry' in missing.stderr
    for name in ('registry', 'dir', 'tar', 'docker', 's3'):
        environment.install(name)
        listed = environment.run('plugins').stdout
        assert f'source {name}://' in listed and f'destination {name}://' in listed and 'FAILED' not in listed
    environment.install('dask', '--no-deps')  # whose declarations need no Dask
    assert 'executor dask' in environment.run('plugins').stdout
    shown = environment.run('demo')
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert '1/1 verified' in shown.stdout and '0/1 verified, 1 FAILED' in shown.stdout
