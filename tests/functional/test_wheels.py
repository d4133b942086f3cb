"""The seven distributions as users get them: built as wheels, installed one by one into a clean environment."""
import os
import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Sequence
from email import message_from_string
from pathlib import Path

import pytest

from occystrap_core.testing.sample import sample_config, sample_layers
from tests.functional.archives import write_docker_archive

ROOT = Path(__file__).parent.parent.parent
PROJECTS = ('core', 'dir', 'tar', 'registry', 'docker', 's3', 'dask')


@pytest.fixture(scope='session')
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with what tools/build makes."""
    return build(tmp_path_factory.mktemp('dist'))


@pytest.fixture(scope='session')
def wheels(built: Path) -> dict[str, Path]:
    """The wheels by the names of distributions."""
    return {name: next(built.glob(f'occystrap_{name}-*.whl')) for name in PROJECTS}


def build(directory: Path) -> Path:
    """Run tools/build."""
    subprocess.run([sys.executable, ROOT / 'tools/build', directory], check=True, capture_output=True)
    return directory


class Environment:
    """A clean virtual environment, away from the checkout."""

    def __init__(self, directory: Path, wheels: dict[str, Path]) -> None:
        self._bin, self._directory, self._wheels = directory / 'venv/bin', directory, wheels
        venv.create(directory / 'venv')

    def install(self, *names: str, options: Sequence[str] = ()) -> None:
        """Install wheels, or any files; what they need of the others comes from the wheels too."""
        pip = [sys.executable, '-m', 'pip', '--python', self._bin / 'python', '--disable-pip-version-check']
        command = [*pip, 'install', '--quiet', '--no-compile', *options, '--find-links', self._wheels['core'].parent,
                   *(self._wheels.get(name, name) for name in names)]
        subprocess.run(command, check=True, capture_output=True)

    def python(self, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run the environment's Python in a directory."""
        return subprocess.run([self._bin / 'python', *arguments], capture_output=True, text=True, cwd=cwd)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the installed command."""
        return subprocess.run([self._bin / 'occystrap', *arguments], capture_output=True, text=True,
                              cwd=self._directory)


def test_wheels_have_one_version_and_only_their_own_files(wheels: dict[str, Path]) -> None:
    assert len({wheel.name.split('-')[1] for wheel in wheels.values()}) == 1
    for name, wheel in wheels.items():
        package = f'occystrap_{name}'
        names = zipfile.ZipFile(wheel).namelist()
        assert f'{package}/__init__.py' in names and f'{package}/py.typed' in names
        assert name != 'registry' or f'{package}/server/page/status.js' in names
        assert all(each.startswith((f'{package}/', f'{package}-')) for each in names), names
        own = [each for each in names if '.dist-info/' not in each]
        assert not [each for each in own if each.endswith(('.toml', '.pyc', '.md', '/LICENSE'))]


def test_an_index_would_show_who_what_and_under_which_licence(wheels: dict[str, Path]) -> None:
    for wheel in wheels.values():
        with zipfile.ZipFile(wheel) as opened:
            info = f'{wheel.name.partition("-py3")[0]}.dist-info'
            shown = message_from_string(opened.read(f'{info}/METADATA').decode())
            licence = opened.read(f'{info}/licenses/LICENSE').decode()
        assert shown['License-Expression'] == 'Apache-2.0' and 'Version 2.0, January 2004' in licence
        assert shown['Author'] == 'occystrap developers' and shown['Summary'] and shown['Requires-Python'] == '>=3.11'
        classifiers = shown.get_all('Classifier') or []
        assert all(f'Programming Language :: Python :: 3.{minor}' in classifiers for minor in (11, 12, 13, 14))
        page = shown.get_payload()
        assert isinstance(page, str) and page.strip().startswith('# occystrap-') and 'pip install occystrap' not in page
        assert not re.findall(r'\]\((?!https://|#)', page), 'an index has no files beside the page'


def test_one_commit_gives_the_same_bytes_each_time(built: Path, tmp_path: Path) -> None:
    again = build(tmp_path / 'again')
    names = sorted(os.listdir(built))
    assert len(names) == 2 * len(PROJECTS) and sorted(os.listdir(again)) == names
    assert [name for name in names if (built / name).read_bytes() != (again / name).read_bytes()] == []


def test_a_source_archive_gives_the_wheel(built: Path, wheels: dict[str, Path], tmp_path: Path) -> None:
    with tarfile.open(next(built.glob('occystrap_registry-*.tar.gz'))) as archive:
        archive.extractall(tmp_path)
        moment = archive.getmembers()[0].mtime
    project, = tmp_path.iterdir()
    subprocess.run([sys.executable, '-m', 'hatchling', 'build', '-t', 'wheel', '-d', tmp_path / 'out'], check=True,
                   cwd=project, capture_output=True, env={**os.environ, 'SOURCE_DATE_EPOCH': str(int(moment))})
    assert next((tmp_path / 'out').iterdir()).read_bytes() == wheels['registry'].read_bytes()


def test_core_alone_says_how_to_get_schemes_and_each_brings_its_own(wheels: dict[str, Path], tmp_path: Path) -> None:
    environment = Environment(tmp_path, wheels)
    environment.install('core')
    listed = environment.run('plugins')
    assert listed.returncode == 0
    assert 'normalize-timestamps' in listed.stdout and 'install the wheels of' in listed.stdout
    missing = environment.run('process', 'registry://127.0.0.1:1/app:v1', 'dir://out')
    assert missing.returncode == 2 and 'install the wheel of occystrap-registry' in missing.stderr
    for names in (('dir', 'tar'), ('registry', 'docker'), ('s3',)):
        environment.install(*names, options=['--no-deps'] if 's3' in names else [])  # boto3 alone is 15 MB
        listed = environment.run('plugins').stdout
        assert all(f'{kind} {name}://' in listed for kind in ('source', 'destination') for name in names), listed
        assert 'FAILED' not in listed
    environment.install('dask', options=['--no-deps'])  # whose declarations need no Dask
    assert 'executor dask' in environment.run('plugins').stdout
    shown = environment.run('demo')
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert '1/1 verified' in shown.stdout and '0/1 verified, 1 FAILED' in shown.stdout
    versions = environment.run('--version').stdout.splitlines()
    assert versions[0].startswith('occystrap 0.') and versions[1].startswith('occystrap-core 0.')
    assert any(each.startswith('occystrap-dask 0.') for each in versions) and versions[-1].startswith('Python 3.')
    share = tmp_path / 'venv/share'
    for name in ('process', 'serve', 'images', 'seal'):
        page = (share / f'man/man1/occystrap-{name}.1').read_text()
        assert page.startswith(f'.TH "OCCYSTRAP {name.upper()}" "1"') and '\\-\\-debug' in page
    assert 'occystrap-verify(1)' in (share / 'man/man1/occystrap.1').read_text()
    page = (share / 'man/man1/occystrap-completion.1').read_text()
    assert '\n.nf\nbash: occystrap completion bash >' in page and '\\- Print the completion script of bash' in page
    assert all(path.read_text().isascii() for path in (share / 'man/man1').iterdir())
    for shell, name in (('bash', 'bash-completion/completions/occystrap'), ('zsh', 'zsh/site-functions/_occystrap'),
                        ('fish', 'fish/vendor_completions.d/occystrap.fish')):
        assert '_OCCYSTRAP_COMPLETE' in (share / name).read_text(), shell
    script = (share / 'bash-completion/completions/occystrap').read_text()
    assert script == environment.run('completion', 'bash').stdout
    other = next((tmp_path / 'venv/lib').glob('python3*')) / 'site-packages/occystrap-0.4.1.dist-info'
    other.mkdir()
    (other / 'METADATA').write_text('Metadata-Version: 2.1\nName: occystrap\nVersion: 0.4.1\n')
    told = environment.run('plugins').stdout
    assert 'CONFLICT: occystrap 0.4.1 is another program' in told and 'pip uninstall occystrap' in told


def test_a_new_plugin_passes_its_tests_and_works_with_wheels_alone(wheels: dict[str, Path], tmp_path: Path) -> None:
    environment = Environment(tmp_path, wheels)
    environment.install('tar', f'{wheels["core"]}[testing]')
    assert environment.run('plugins', 'new', 'two-words').returncode == 0
    project = tmp_path / 'occystrap-two-words'
    subprocess.run([sys.executable, '-m', 'pip', 'wheel', '--quiet', '--no-deps', '--no-build-isolation', '-w',
                    tmp_path, project], check=True, capture_output=True)
    environment.install(str(next(tmp_path.glob('*.whl'))))
    tested = environment.python('-m', 'pytest', '-q', '-p', 'no:cacheprovider', cwd=project)
    assert tested.returncode == 0 and ' passed' in tested.stdout, tested.stdout[-3000:]
    write_docker_archive(tmp_path / 'sample.tar', sample_config(), sample_layers(), 'sample:v1')
    done = environment.run('process', 'tar://sample.tar', 'two-words://out', '--verify=full', '--receipt', 'receipt')
    assert done.returncode == 0 and done.stderr.splitlines()[-1].endswith('1/1 verified'), done.stderr
    (tmp_path / 'out/config.json').write_text('{}')
    assert environment.run('verify', 'receipt').returncode == 1
