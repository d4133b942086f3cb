"""tar://- is stdin and stdout; directories that fields name are made."""
import hashlib
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from occystrap_core.testing.sample import sample_config, sample_layers
from tests.functional.archives import write_docker_archive
from tests.hostile.in_process import run_here
from tests.services.command_line import CommandLine

COMMAND = [sys.executable, '-m', 'occystrap_core', 'process']


@pytest.fixture
def archive(tmp_path: Path) -> str:
    """A docker archive of team/app:v1."""
    write_docker_archive(tmp_path / 'a.tar', sample_config(), sample_layers(), 'team/app:v1')
    return f'tar://{tmp_path}/a.tar'


def piped(*arguments: str, input: bytes = b'', temporary: Path) -> 'subprocess.CompletedProcess[bytes]':
    """Run the command with pipes; it must leave nothing in the directory for temporary files."""
    temporary.mkdir(exist_ok=True)
    done = subprocess.run([*COMMAND, *arguments, '--temp-dir', temporary], input=input, capture_output=True)
    assert not list(temporary.iterdir())
    return done


@pytest.mark.parametrize('option', ['', '?format=oci'])
def test_through_a_pipe_and_back(option: str, archive: str, tmp_path: Path) -> None:
    sent = piped(archive, f'tar://-{option}', '--no-verify', temporary=tmp_path / 'spool')
    digest = hashlib.sha256(sent.stdout).hexdigest()
    assert sent.returncode == 0 and f'note: stdout: {len(sent.stdout)} bytes, sha256:{digest}\n' in sent.stderr.decode()
    assert run_here('process', archive, f'tar://{tmp_path}/file.tar{option}').code == 0
    assert sent.stdout == (tmp_path / 'file.tar').read_bytes(), 'it is what a file would have'
    taken = piped('tar://-', f'layout://{tmp_path}/L', input=sent.stdout, temporary=tmp_path / 'spool')
    assert taken.returncode == 0 and b'1/1 verified' in taken.stderr


def test_an_archive_on_stdout_is_not_verified(archive: str, tmp_path: Path) -> None:
    sent = piped(archive, 'tar://-', '--receipt', str(tmp_path / 'receipts'), temporary=tmp_path / 'spool')
    output = sent.stderr.decode()
    assert sent.returncode == 1 and 'unverified: stdout: it cannot be read back' in output and '--no-verify' in output
    assert '0/1 verified, 1 UNVERIFIED' in output.splitlines()[-1] and len(sent.stdout) > 10_000
    receipts = (tmp_path / 'receipts').read_text()
    assert '"path": "-"' in receipts and 'occystrap-stdout' not in receipts


def test_a_bundle_of_many_goes_to_stdout(archive: str, tmp_path: Path) -> None:
    write_docker_archive(tmp_path / 'b.tar', sample_config(), sample_layers(), 'team/tool:v1')
    (tmp_path / 'list').write_text(f'{archive}\ntar://{tmp_path}/b.tar\n')
    sent = piped(f'list://{tmp_path}/list', 'tar://-?format=oci', '--no-verify', temporary=tmp_path / 'spool')
    (tmp_path / 'got.tar').write_bytes(sent.stdout)
    assert '2/2 images' in run_here('process', f'tar://{tmp_path}/got.tar', f'layout://{tmp_path}/L').err
    refused = piped(f'list://{tmp_path}/list', 'tar://-', temporary=tmp_path / 'spool')
    assert refused.returncode == 2 and refused.stdout == b''


@pytest.mark.parametrize(('option', 'words'), [(['-O', 'json'], 'stdout is for the report in JSON'), (
    ['-f', 'search:pattern=etc/*'], 'stdout is already used')])
def test_nothing_else_goes_to_the_same_stdout(option: list[str], words: str, archive: str, tmp_path: Path) -> None:
    refused = piped(archive, 'tar://-', *option, temporary=tmp_path / 'spool')
    assert refused.returncode == 2 and words in refused.stderr.decode() and refused.stdout == b''


def test_no_archive_on_a_terminal(archive: str) -> None:
    main, terminal = pty.openpty()
    try:
        done = subprocess.run([*COMMAND, archive, 'tar://-'], stdout=terminal, stderr=subprocess.PIPE)
    finally:
        os.close(terminal)
        os.close(main)
    assert done.returncode == 2 and b'would write an archive to the terminal' in done.stderr


def test_a_reader_that_goes_away(archive: str, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run([*COMMAND, archive, 'tar://-', '--temp-dir', tmp_path], stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert done.returncode == 1 and b'closed by its reader' in done.stderr and not list(tmp_path.glob('occystrap-*'))


@pytest.mark.parametrize(('written', 'path'), [
    ('tar://out/{repository}-{tag}.tar', 'out/team/app-v1.tar'), ('dir://out/{repository}/{tag}', 'out/team/app/v1'),
    ('layout://out/{repository}:{tag}', 'out/team/app'), ('tar://o-{name}/x.tar', 'o-app/x.tar')])
def test_directories_that_fields_name_are_made(written: str, path: str, archive: str, occystrap: CommandLine) -> None:
    here = occystrap.directory
    if 'out/' in written:  # a medium that is not there is not made
        refused = occystrap('process', archive, written.replace('out/', 'missing/out/')).assert_code(1)
        assert f'there is no directory {here}/missing; create it first' in refused.err
    occystrap('process', archive, written, '--dry-run').assert_success()
    assert not (here / path).parent.exists() and not (here / 'out').exists() and not (here / 'missing').exists()
    occystrap('process', archive, written).assert_success()
    assert (here / path).exists()


def test_directories_for_nothing_are_removed(archive: str, tmp_path: Path, occystrap: CommandLine) -> None:
    content = bytearray((tmp_path / 'a.tar').read_bytes())
    content[3000] ^= 1
    (tmp_path / 'a.tar').write_bytes(content)
    (tmp_path / 'out').mkdir()
    occystrap('process', archive, 'tar://out/{repository}-{tag}.tar').assert_code(1)
    assert not list((tmp_path / 'out').iterdir())
