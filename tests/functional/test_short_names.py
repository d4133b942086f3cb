"""What users write instead of a URI, and instead of the name of a command."""
from pathlib import Path

import pytest

from occystrap_core.plugins.manager import Plugins
from occystrap_core.plugins.resolver import destination_location, source_location
from occystrap_core.testing.sample import sample_config, sample_layers
from tests.functional.archives import write_docker_archive
from tests.hostile.in_process import run_here
from tests.services.installed import installed_plugins


@pytest.fixture(scope='module')
def plugins() -> Plugins:
    return installed_plugins()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with one image in each format: a.tar, layout (v1), directory."""
    monkeypatch.chdir(tmp_path)
    write_docker_archive(tmp_path / 'a.tar', sample_config(), sample_layers(), 'app:v1')
    for place in ('layout://layout:v1', 'dir://directory'):
        run_here('process', 'tar://a.tar', place).assert_code(0)
    return tmp_path


@pytest.mark.parametrize(('written', 'uri'), [
    ('busybox:1.36', 'registry://docker.io/busybox:1.36'), ('team/app', 'registry://docker.io/team/app'),
    ('registry.example/app:v1', 'registry://registry.example/app:v1'), ('localhost/app', 'registry://localhost/app'),
    ('localhost:5000/app', 'registry://localhost:5000/app'), ('REGISTRY://h.example/app', 'registry://h.example/app'),
    ('h.example/team/*:v1*', 'registry://h.example/team/*:v1*'), ('./a.tar', 'tar://./a.tar'),
    ('./a.tar?image=app:v1', 'tar://./a.tar?image=app:v1'), ('./layout', 'layout://./layout'),
    ('./layout:v1', 'layout://./layout:v1'), ('./directory', 'dir://./directory')])
def test_sources(written: str, uri: str, here: Path, plugins: Plugins) -> None:
    assert str(source_location(plugins, written)) == uri
    assert str(source_location(plugins, f'{here}/a.tar')) == f'tar://{here}/a.tar'


@pytest.mark.parametrize(('written', 'uri'), [
    ('registry.example/app:v1', 'registry://registry.example/app:v1'), ('./new.tar', 'tar://./new.tar'),
    ('./a.tar', 'tar://./a.tar'), ('./layout', 'layout://./layout'), ('./directory', 'dir://./directory')])
def test_destinations(written: str, uri: str, here: Path, plugins: Plugins) -> None:
    assert str(destination_location(plugins, written)) == uri


@pytest.mark.parametrize(('source', 'destination', 'words'), [
    ('./no.tar', 'dir://x', 'there is no file ./no.tar'), ('.', 'dir://x', '. is not in a recognized image format'),
    ('a.tar', 'dir://x', 'a.tar is a file here, and also the name of an image: write ./a.tar or '
                         'registry://docker.io/a.tar'),
    ('./a.tar', './new', './new: the format to write is missing: give it, such as dir://./new'),
    ('./a.tar', 'new.tar', 'new.tar may be a file or the name of an image: write ./new.tar or registry://HOST/'),
    ('registry:/r.example:5000/app:v1', 'dir://x', 'has no //: write registry://r.example:5000/app:v1'),
    ('./a.tar', 'docker:/app:v1', 'docker:/app:v1 has no //: write docker://app:v1'),
    ('podman://app:v1', 'dir://x', 'podman:// is not a scheme: write docker://app:v1?engine=podman'),
    ('./a.tar', 'podman://app:v1?socket=/s', 'write docker://app:v1?socket=…&engine=podman'),
    ('oci:layout', 'dir://x', 'oci:layout has no //: write layout://layout'),
    ('docker-archive:a.tar', 'dir://x', 'write tar://a.tar'),
    ('dir:./directory', 'layout://x', 'write dir://./directory'),
    ('./a.tar', 'oci:x:v1', 'write layout://x:v1'), ('./a.tar', 'tar:./x', 'write tar://./x'),
    ('./a.tar', 'docker-daemon:app:v1', 'write docker://app:v1'),
    ('./a.tar', 'app:v2', 'app:v2 is not a destination: give registry://HOST/app:v2, docker://app:v2'),
    ('https://r.example/app:v1', 'dir://x', 'https:// is not an image location: write registry://r.example/app:v1'),
    ('two words', 'dir://x', 'is more than one reference'), ('Upper/Case', 'dir://x', 'malformed repository')])
def test_mistakes(source: str, destination: str, words: str, here: Path) -> None:
    result = run_here('process', source, destination)
    result.assert_code(2)
    assert words in result.err and len(result.errors) == 1 and not (here / 'x').exists()


def test_a_copy_by_short_names(here: Path) -> None:
    for source, target in (('./layout:v1', './b.tar'), ('./b.tar', 'dir://other'), ('./directory', 'layout://new')):
        assert '1/1 verified' in run_here('process', source, target).err
    for words in (['info', './layout'], ['check', './a.tar'], ['search', './other', 'etc/*'], ['verify', 'other'],
                  ['verify', './layout']):
        run_here(*words).assert_code(0)


def test_a_percent_sign_in_a_path_is_one(here: Path) -> None:
    (here / 'a.tar').rename(here / 'a%20b.tar')
    run_here('process', './a%20b.tar', 'dir://out').assert_code(0)


@pytest.mark.parametrize(('command', 'words'), [
    ('copy', 'use occystrap process SOURCE DEST'), ('pull', 'use occystrap process SOURCE DEST'),
    ('inspect', 'use occystrap info SOURCE'), ('version', 'use occystrap --version'),
    ('grep', 'occystrap search'), ('lint', 'occystrap check'), ('ls', 'occystrap tags'), ('extract', 'oci://'),
    ('procss', "did you mean 'process'?"), ('xyzzy', 'available: check, completion, demo')])
def test_commands_of_other_programs(command: str, words: str) -> None:
    result = run_here(command, 'x')
    result.assert_code(2)
    assert words in result.err and len(result.errors) == 1


def test_help() -> None:
    whole = run_here('help')
    assert whole.code == 0 and 'Commands:' in whole.out and run_here().out == whole.out and run_here().code == 2
    assert run_here('help', 'process').out == run_here('process', '--help').out != whole.out
    assert "did you mean 'process'?" in run_here('help', 'procss').err


@pytest.mark.parametrize('shell', ['bash', 'zsh', 'fish'])
def test_the_completion_of_a_shell(shell: str) -> None:
    script = run_here('completion', shell)
    assert script.code == 0 and f'_OCCYSTRAP_COMPLETE={shell}_complete' in script.out
    assert 'occystrap' in script.out and run_here('completion', 'csh').code == 2
