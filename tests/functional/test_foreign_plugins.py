"""Third-party plugins: a good one from its own distribution, and broken ones that do not stop others."""
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.services.command_line import CommandLine
from tests.services.plugin_directory import plugin_directory

FLAT = Path(__file__).parent.parent.parent / 'docs/examples/occystrap-flat'
IMPORT_ERROR = 'import a_module_that_does_not_exist\n'
MISSPELT = '''
from occystrap_core import hookimpl


@hookimpl
def register_wrtiers():
    return []
'''
SECOND_CLAIM = '''
from occystrap_core import WriterScheme, hookimpl


@hookimpl
def register_writers():
    return [WriterScheme('dir', 'broken_plugin:Nothing')]
'''
NO_VERIFIER = '''
from occystrap_core import Expectation, ImageOutput, WriterScheme, WrittenLayer, hookimpl


class Forgetful(ImageOutput):
    def write_layer(self, layer):
        with layer.open() as stream:
            stream.drain()
        return WrittenLayer('nowhere')

    def finalize(self, image):
        config = Expectation('config', 'nowhere', image.config.digest, len(image.config.raw))
        return image.receipt(self.location, [config] if self.location.path == 'x' else [])


@hookimpl
def register_writers():
    return [WriterScheme('forgetful', 'broken_plugin:Forgetful')]
'''


@pytest.fixture
def sample_archive(tmp_path: Path) -> Path:
    """The sample image as a docker archive, made without services."""
    from occystrap_core.testing.sample import sample_config, sample_layers
    from tests.functional.archives import write_docker_archive
    return write_docker_archive(tmp_path / 'sample.tar', sample_config(), sample_layers(), 'sample:v1')


@pytest.fixture
def foreign(tmp_path: Path) -> Callable[[str], dict[str, str]]:
    """Put a module into a distribution of its own in a directory on the path; return the environment for it."""
    def install(code: str) -> dict[str, str]:
        return {'PYTHONPATH': str(plugin_directory(tmp_path / 'foreign', 'broken', code))}
    return install


@pytest.mark.parametrize(('code', 'reason'), [(IMPORT_ERROR, 'a_module_that_does_not_exist'),
                                              (MISSPELT, 'register_wrtiers')], ids=['import error', 'misspelt hook'])
def test_a_broken_plugin_is_named_and_does_not_stop_others(
        code: str, reason: str, foreign: Callable[[str], dict[str, str]], sample_archive: Path,
        occystrap: CommandLine, tmp_path: Path) -> None:
    env = foreign(code)
    listed = occystrap('plugins', env=env).assert_success().out
    assert 'broken-plugin 1.0 (broken_plugin)' in listed and reason in listed and 'FAILED' in listed
    result = occystrap('process', f'tar://{sample_archive}', 'dir://out', env=env).assert_success()
    warnings = [line for line in result.err.splitlines() if line.startswith('warning:')]
    assert len(warnings) == 1 and 'broken-plugin' in warnings[0]
    assert result.err.splitlines()[-1].endswith('1/1 verified')
    strict = occystrap('process', f'tar://{sample_archive}', 'dir://out2', env={**env, 'OCCYSTRAP_STRICT_PLUGINS': '1'})
    assert 'broken-plugin' in strict.assert_code(1).err


def test_second_claim_is_an_error_only_for_who_asks(foreign: Callable[[str], dict[str, str]], sample_archive: Path,
                                                    occystrap: CommandLine) -> None:
    env = foreign(SECOND_CLAIM)
    listed = occystrap('plugins', env=env).assert_success().out
    assert 'CONFLICT' in listed and 'broken-plugin' in listed and 'occystrap-dir' in listed
    occystrap('process', f'tar://{sample_archive}', 'tar://copy.tar', env=env).assert_success()
    refused = occystrap('process', f'tar://{sample_archive}', 'dir://out', env=env).assert_code(1)
    assert 'broken-plugin' in refused.err and 'occystrap-dir' in refused.err
    blocked = {**env, 'OCCYSTRAP_DISABLE_PLUGINS': 'broken-plugin'}
    occystrap('process', f'tar://{sample_archive}', 'dir://out', env=blocked).assert_success()


def test_writer_without_verifier_is_unverified(foreign: Callable[[str], dict[str, str]], sample_archive: Path,
                                               occystrap: CommandLine) -> None:
    env = foreign(NO_VERIFIER)
    result = occystrap('process', f'tar://{sample_archive}', 'forgetful://x', env=env).assert_code(1)
    assert result.err.splitlines()[-1].endswith('0/1 verified, 1 UNVERIFIED')
    assert 'forgetful://x: unverified: no installed plugin verifies forgetful://' in result.err
    silent = occystrap('process', f'tar://{sample_archive}', 'forgetful://x', '--no-verify', env=env).assert_success()
    assert 'verif' not in silent.err
    short = occystrap('process', f'tar://{sample_archive}', 'forgetful://y', '--no-verify', env=env).assert_code(1)
    assert 'Forgetful returned an incomplete receipt: it does not expect config' in short.err


@pytest.fixture(scope='session')
def flat(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The example plugin, installed by pip as a distribution of its own; the environment that finds it."""
    target = tmp_path_factory.mktemp('flat')
    command = [sys.executable, '-m', 'pip', 'install', '--quiet', '--no-deps', '--no-build-isolation',
               '--target', str(target), str(FLAT)]
    subprocess.run(command, check=True)
    return {'PYTHONPATH': str(target)}


def test_example_plugin_writes_and_verifies(flat: dict[str, str], sample_archive: Path, occystrap: CommandLine,
                                            tmp_path: Path) -> None:
    result = occystrap('process', f'tar://{sample_archive}', f'flat://{tmp_path}/out', '--receipt', 'receipt', env=flat)
    assert result.assert_success().err.splitlines()[-1].endswith('1/1 verified')
    occystrap('verify', 'receipt', '--verify=full', env=flat).assert_success()
    layer = sorted((tmp_path / 'out').glob('*.tar'))[0]
    content = bytearray(layer.read_bytes())
    content[700] ^= 1
    layer.write_bytes(content)
    damaged = occystrap('verify', 'receipt', '--verify=full', env=flat).assert_code(1)
    assert layer.name in damaged.err and damaged.err.splitlines()[-1].endswith('0/1 verified, 1 FAILED')
