"""The command line's contract: levels, places of options, what goes to stdout and what to stderr."""
import json
from pathlib import Path

import pytest

from tests.functional.archives import write_docker_archive
from tests.services.command_line import CommandLine


@pytest.fixture(autouse=True)
def archive(tmp_path: Path) -> Path:
    """The sample image as sample.tar, where the command runs."""
    from occystrap_core.testing.sample import sample_config, sample_layers
    return write_docker_archive(tmp_path / 'sample.tar', sample_config(), sample_layers(), 'sample:v1')


def flip_a_layer(directory: Path) -> None:
    """Change one bit of a layer, its size as it was."""
    layer = next(directory.glob('*/layer.tar'))
    content = bytearray(layer.read_bytes())
    content[700] ^= 1
    layer.write_bytes(content)


@pytest.mark.parametrize('arguments', [
    ['--verify', 'tar://sample.tar', 'dir://out'], ['tar://sample.tar', '--verify', 'dir://out'],
    ['tar://sample.tar', 'dir://out', '--verify'], ['--verify=full', 'tar://sample.tar', 'dir://out'],
    ['--verify', 'full', 'TAR://sample.tar', 'DIR://out']])
def test_verify_swallows_no_argument(arguments: list[str], occystrap: CommandLine) -> None:
    result = occystrap('process', *arguments).assert_success()
    assert result.err.splitlines()[-1].endswith('1/1 verified') and result.out == ''


@pytest.mark.parametrize(('arguments', 'env', 'level'), [
    ([], {}, 'fast'), (['--no-verify'], {}, 'none'), (['--verify=none'], {}, 'none'),
    ([], {'OCCYSTRAP_VERIFY': 'full'}, 'full'), ([], {'OCCYSTRAP_VERIFY': 'none'}, 'none'),
    (['--verify'], {'OCCYSTRAP_VERIFY': 'none'}, 'fast'), (['--no-verify'], {'OCCYSTRAP_VERIFY': 'full'}, 'none'),
    (['--verify=full'], {'OCCYSTRAP_VERIFY': 'none'}, 'full'), (['--no-verify', '--verify=full'], {}, 'full')])
def test_level_by_option_before_environment(arguments: list[str], env: dict[str, str], level: str,
                                            occystrap: CommandLine) -> None:
    result = occystrap('process', 'tar://sample.tar', 'dir://out', '-O', 'json', *arguments, env=env).assert_success()
    assert result.json()['level'] == level
    assert ('verif' in result.err) is (level != 'none')


def test_unknown_level_in_the_environment(occystrap: CommandLine) -> None:
    result = occystrap('process', 'tar://sample.tar', 'dir://out', env={'OCCYSTRAP_VERIFY': 'most'}).assert_code(2)
    assert 'OCCYSTRAP_VERIFY=most' in result.err and len(result.errors) == 1


def test_options_work_before_and_after_the_command(occystrap: CommandLine) -> None:
    before = occystrap('-O', 'json', 'process', 'tar://sample.tar', 'dir://one').assert_success().json()
    after = occystrap('process', 'tar://sample.tar', 'dir://two', '-O', 'json').assert_success().json()
    assert before['images'][0]['image_id'] == after['images'][0]['image_id']
    assert before['succeeded'] and before['summary'].startswith('Summary: 1/1 image, 3 layers, 70.0 KiB moved, ')


@pytest.mark.parametrize('arguments', [
    ['--platform', 'linux/s390x', 'process', 'tar://sample.tar', 'dir://out'],
    ['-q', '--platform=linux/s390x', '--verify', 'full', '-O', 'text', 'process', 'tar://sample.tar', 'dir://out'],
    ['process', 'tar://sample.tar', 'dir://out', '--verify', 'full', '--platform', 'linux/s390x', '--debug'],
    ['--no-verify', '--platform', 'linux/s390x', 'info', 'tar://sample.tar']], ids=' '.join)
def test_options_of_commands_work_before_the_command_too(arguments: list[str], occystrap: CommandLine) -> None:
    result = occystrap(*arguments)
    refused = '--no-verify' in arguments
    assert result.code == 2 if refused else 1
    assert ('--no-verify' if refused else 'linux/s390x') in result.err


@pytest.mark.parametrize(('arguments', 'level'), [
    (['--verify', 'full', 'process', 'tar://sample.tar', 'dir://out'], 'full'),
    (['--verify=full', 'process', 'tar://sample.tar', 'dir://out'], 'full'),
    (['--verify', 'process', 'tar://sample.tar', 'dir://out'], 'fast'),
    (['--no-verify', 'process', 'tar://sample.tar', 'dir://out'], 'none'),
    (['process', '--verify', 'none', 'tar://sample.tar', 'dir://out'], 'none'),
    (['process', 'tar://sample.tar', 'dir://out', '--verify', 'full'], 'full')], ids=str)
def test_level_with_and_without_an_equals_sign(arguments: list[str], level: str, occystrap: CommandLine) -> None:
    assert occystrap('-O', 'json', *arguments).assert_success().json()['level'] == level


@pytest.mark.parametrize(('before', 'says'), [
    (['--verify', 'once', 'proxy'], "Missing option '-d'"),
    (['--verify', 'once', '-q', 'proxy'], "Missing option '-d'"),
    (['--verify', 'ful', 'process', 'tar://sample.tar', 'dir://out'], "'ful' is not one of"),
    (['--verify', 'proces', 'tar://sample.tar', 'dir://out'], "unknown command 'proces'"),
    (['--verify', 'proxy'], "Missing option '-d'")], ids=str)
def test_the_level_of_a_command_of_its_own_before_the_command(before: list[str], says: str, occystrap: CommandLine,
                                                              ) -> None:
    assert says in occystrap(*before).assert_code(2).err


@pytest.mark.parametrize('command', ['tags', 'login', 'logout', 'images', 'demo', 'completion', 'help', 'plugins'])
def test_every_command_has_the_common_options(command: str, occystrap: CommandLine) -> None:
    shown = occystrap('-q', command, '-h', '--debug').assert_success().out
    assert all(option in shown for option in ('-q, --quiet', '--debug', '-O, --output-format'))


def test_json_says_what_the_summary_says(occystrap: CommandLine, tmp_path: Path) -> None:
    occystrap('process', 'tar://sample.tar', 'dir://out', '--receipt', 'receipt').assert_success()
    flip_a_layer(tmp_path / 'out')
    result = occystrap('verify', 'receipt', '--verify=full', '-O', 'json').assert_code(1)
    report = result.json()
    assert report['images'][0]['outcome'] == 'failed' and report['succeeded'] is False
    assert 'layer.tar' in report['images'][0]['findings'][0]['item']
    assert report['summary'] == result.err.splitlines()[-1]


def test_a_directory_needs_no_receipt_file_wherever_it_goes(occystrap: CommandLine, tmp_path: Path) -> None:
    occystrap('process', 'tar://sample.tar', 'dir://out').assert_success()
    (tmp_path / 'out').rename(tmp_path / 'moved')
    occystrap('verify', 'dir://moved', '--verify=full').assert_success()
    flip_a_layer(tmp_path / 'moved')
    occystrap('verify', 'dir://moved').assert_success()
    assert '0/1 verified, 1 FAILED' in occystrap('verify', 'dir://moved', '--full').assert_code(1).err


def test_several_images_in_one_directory(occystrap: CommandLine, tmp_path: Path) -> None:
    from occystrap_core.testing.sample import sample_config, sample_layers
    other = sample_layers('other')
    write_docker_archive(tmp_path / 'other.tar', sample_config(other), other, 'other:v2')
    for name in ('sample', 'other'):
        occystrap('process', f'tar://{name}.tar', 'dir://out?unique_names=true').assert_success()
    assert json.loads((tmp_path / 'out/catalog.json').read_text()).keys() == {'sample', 'other'}
    result = occystrap('verify', 'dir://out', '--verify=full').assert_success()
    assert 'No failed images.' in result.err.splitlines()
    assert result.err.splitlines()[-1].startswith('Summary: 2/2 images, 6 layers, ')
    occystrap('process', 'dir://out?image=other&tag=v2', 'tar://back.tar').assert_success()
    assert 'other:v2' in occystrap('process', 'dir://out', 'tar://x.tar').assert_code(2).err


@pytest.mark.parametrize(('target', 'words'), [
    ('missing', 'cannot read the receipt missing'), ('empty', 'holds no receipt'),
    ('sample.tar', 'is not a file of receipts: give the file that process --receipt wrote'),
    ('dir://empty-directory', 'keeps no receipt'), ('json', 'not a receipt')])
def test_invalid_receipts(target: str, words: str, occystrap: CommandLine, tmp_path: Path) -> None:
    (tmp_path / 'empty').touch()
    (tmp_path / 'empty-directory').mkdir()
    (tmp_path / 'json').write_text('{"receipt": 1}')
    result = occystrap('verify', target).assert_code(1 if target == 'json' else 2)
    assert words in result.err and len(result.errors) == 1


@pytest.mark.parametrize('arguments', [['--version'], ['--help'], ['process', '--help'], ['plugins'],
                                       ['-O', 'json', 'plugins'],
                                       ['verify', '-h'], ['demo', '--help']])
def test_results_go_to_stdout(arguments: list[str], occystrap: CommandLine) -> None:
    result = occystrap(*arguments).assert_success()
    assert result.out and result.err == ''


def test_traceback_only_with_debug(occystrap: CommandLine) -> None:
    assert 'Traceback' not in occystrap('process', 'tar://missing.tar', 'dir://out').err
    assert 'Traceback' in occystrap('--debug', 'process', 'tar://missing.tar', 'dir://out').err
    assert 'Traceback' in occystrap('process', 'tar://missing.tar', 'dir://out', '--debug').err
