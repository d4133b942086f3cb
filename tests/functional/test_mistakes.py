"""What users get wrong: one clear line that says what to do, the right exit code, nothing half-written."""
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.functional.archives import write_docker_archive
from tests.functional.images import image_id_in_daemon
from tests.services.command_line import CommandLine, CommandResult, errors_in
from tests.services.docker_daemon import DockerDaemon
from tests.services.faults import FaultProxy
from tests.services.ports import free_port
from tests.services.real_image import RealImage
from tests.services.registry import Registry
from tests.services.requirements import require_root
from tests.services.sample import put_sample_image


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """The sample image as an archive."""
    from occystrap_core.testing.sample import sample_config, sample_layers
    return write_docker_archive(tmp_path / 'sample.tar', sample_config(), sample_layers(), 'sample:v1')


@pytest.fixture
def sample_uri(registry: Registry) -> str:
    """The sample image in a registry."""
    put_sample_image(registry, 'mistakes/sample', 'v1')
    return f'registry://{registry.host}/mistakes/sample:v1'


@pytest.fixture(autouse=True)
def nothing_is_left(tmp_path: Path) -> Iterator[None]:
    """After every mistake: no temporary file, no destination."""
    yield
    left = [path.name for path in tmp_path.rglob('*') if 'partial' in path.name or path.name.startswith('.')]
    assert not left, left
    assert not list(tmp_path.glob('out*')), 'something was written'
    assert not list((tmp_path / 'spool').glob('*'))


def one_line(result: CommandResult, code: int, *words: str) -> str:
    """The mistake gave this exit code and exactly one line on stderr, with these words in it."""
    result.assert_code(code)
    lines = result.errors
    assert len(lines) == 1, result
    assert lines[0].startswith('occystrap: error: ')
    assert 'Traceback' not in lines[0] and result.out == ''
    for word in words:
        assert word in lines[0], result
    return lines[0]


@pytest.mark.parametrize(('arguments', 'words'), [
    (['tra://sample.tar', 'dir://out'], ['tra://', "did you mean 'tar'"]),
    (['tar://sample.tar', 'layuot://out'], ['layuot://', "did you mean 'layout'"]),
    (['sample.tar', 'dir://out'], ['sample.tar', 'write ./sample.tar']),
    (['tar://sample.tar?imgae=x', 'dir://out'], ['imgae', "did you mean 'image'"]),
    (['tar://sample.tar', 'dir://out?unique_names=perhaps'], ['unique_names', 'perhaps', 'true or false']),
    (['tar://sample.tar', 'dir://out', '-f', 'normalise-timestamps'], ["did you mean 'normalize-timestamps'"]),
    (['tar://sample.tar', 'dir://out', '-f', 'normalize-timestamps:tss=1'], ['tss', "did you mean 'ts'"]),
    (['tar://sample.tar', 'dir://out', '-f', 'normalize-timestamps:ts=now'], ['ts', 'now', 'whole number']),
    (['tar://sample.tar', 'dir://out', '--verfy'], ['--verfy', '--verify']),
    (['tar://sample.tar', 'dir://out', '--verify=most'], ['most', 'full']),
    (['tar://sample.tar', 'dir://out', '--platform', 'arm64'], ['arm64', 'os/architecture']),
    (['tar://sample.tar'], ['DEST']),
    (['tar://sample.tar', 'tar://sample.tar'], ['same place']),
], ids=lambda value: ' '.join(value) if isinstance(value, list) else None)
def test_wrong_usage(arguments: list[str], words: list[str], archive: Path, occystrap: CommandLine) -> None:
    one_line(occystrap('process', *arguments), 2, *words)


def test_scheme_that_is_not_installed_names_its_distribution(archive: Path, occystrap: CommandLine) -> None:
    disabled = {'OCCYSTRAP_DISABLE_PLUGINS': 'occystrap-dir'}
    one_line(occystrap('process', 'tar://sample.tar', 'dir://out', env=disabled), 2,
             'install the wheel of occystrap-dir')


def test_missing_tag(sample_uri: str, occystrap: CommandLine) -> None:
    one_line(occystrap('process', sample_uri.replace(':v1', ':v2'), 'dir://out'), 1, 'sample:v2', 'v1')


def test_missing_image(registry: Registry, occystrap: CommandLine) -> None:
    one_line(occystrap('process', f'registry://{registry.host}/mistakes/nothing:v1', 'dir://out'), 1, 'nothing:v1')


def test_connection_refused(occystrap: CommandLine) -> None:
    host = f'127.0.0.1:{free_port()}'
    one_line(occystrap('process', f'registry://{host}/app:v1', 'dir://out'), 1, host, 'refused')


def test_destination_registry_refuses_before_anything_is_read(archive: Path, occystrap: CommandLine) -> None:
    host = f'127.0.0.1:{free_port()}'
    one_line(occystrap('process', 'tar://sample.tar', f'registry://{host}/app:v1'), 1, host, 'refused')


def test_wrong_credentials(private_registry: Registry, occystrap: CommandLine) -> None:
    env = {'OCCYSTRAP_USERNAME': 'tester', 'OCCYSTRAP_PASSWORD': 'canary-secret'}
    line = one_line(occystrap('process', f'registry://{private_registry.host}/app:v1', 'dir://out', env=env), 1,
                    private_registry.host)
    assert 'canary-secret' not in line


@pytest.mark.parametrize('role', ['source', 'destination'])
def test_no_daemon_at_the_socket(role: str, archive: Path, occystrap: CommandLine, tmp_path: Path) -> None:
    daemon = f'docker://app:v1?socket={tmp_path}/no.sock'
    pair = (daemon, 'dir://out') if role == 'source' else ('tar://sample.tar', daemon)
    one_line(occystrap('process', *pair), 1, f'{tmp_path}/no.sock')


def test_image_that_the_daemon_has_not(docker_daemon: DockerDaemon, occystrap: CommandLine) -> None:
    source = f'docker://mistakes/nothing:v1?socket={docker_daemon.socket}'
    one_line(occystrap('process', source, 'dir://out'), 1, 'mistakes/nothing:v1')


def test_wrong_platform_lists_what_there_is(real_registry: Registry, occystrap: CommandLine) -> None:
    source = f'registry://{real_registry.host}/multi:v1'
    one_line(occystrap('process', source, 'dir://out', '--platform', 'linux/s390x'), 1, 'linux/s390x', 'linux/amd64',
             'linux/arm64')


def test_wrong_platform_of_a_single_image(sample_uri: str, occystrap: CommandLine) -> None:
    one_line(occystrap('process', sample_uri, 'dir://out', '--platform', 'linux/s390x'), 1, 'linux/amd64')


def test_missing_file(occystrap: CommandLine) -> None:
    assert occystrap('process', 'tar://nothing.tar', 'dir://out').code in (1, 2)
    line = occystrap('process', 'tar://nothing.tar', 'dir://out').err
    assert line.count('\n') == 1 and 'nothing.tar' in line


@pytest.mark.parametrize('content', [b'', b'this is no archive\n' * 100, b'\x1f\x8b\x08\x00broken'],
                         ids=['empty', 'text', 'bad gzip'])
def test_not_a_tar(content: bytes, occystrap: CommandLine, tmp_path: Path) -> None:
    (tmp_path / 'text.tar').write_bytes(content)
    one_line(occystrap('process', 'tar://text.tar', 'dir://out'), 1, 'text.tar')


def test_truncated_tar_at_every_block(archive: Path, occystrap: CommandLine, tmp_path: Path) -> None:
    whole = archive.read_bytes()
    content = (len(whole.rstrip(b'\0')) + 511) // 512 * 512
    step = content // 24 // 512 * 512
    for cut in [*range(512, content, step), content, content + 512]:
        (tmp_path / 'cut.tar').write_bytes(whole[:cut])
        one_line(occystrap('process', 'tar://cut.tar', 'dir://out'), 1)


@pytest.mark.parametrize('target', ['dir://missing/out', 'tar://missing/out.tar', 'dir://sample.tar', 'tar://.'])
def test_invalid_destination(target: str, archive: Path, occystrap: CommandLine) -> None:
    one_line(occystrap('process', 'tar://sample.tar', target), 1)


def test_invalid_receipt_file(archive: Path, occystrap: CommandLine) -> None:
    result = occystrap('process', 'tar://sample.tar', 'dir://out', '--receipt', 'missing/receipt')
    one_line(result, 1, 'missing/receipt')


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 32 MiB."""
    require_root('a small tmpfs')
    place = tmp_path / 'small'
    place.mkdir()
    subprocess.run(['mount', '-t', 'tmpfs', '-o', 'size=32m', 'tmpfs', place], check=True)
    try:
        yield place
    finally:
        subprocess.run(['umount', place], check=True)


@pytest.mark.parametrize('target', ['dir://{}/d', 'tar://{}/a.tar', 'tar://{}/a.tar?format=oci'])
def test_disk_full(target: str, small_disk: Path, real_registry: Registry, occystrap: CommandLine) -> None:
    result = occystrap('process', '-q', f'registry://{real_registry.host}/real:v1', target.format(small_disk))
    one_line(result, 1, 'No space left')
    assert not [path for path in small_disk.rglob('*') if path.is_file()]


def test_disk_full_leaves_the_old_target(small_disk: Path, archive: Path, real_registry: Registry,
                                         occystrap: CommandLine) -> None:
    target = small_disk / 'a.tar'
    occystrap('process', 'tar://sample.tar', f'tar://{target}').assert_success()
    before = target.read_bytes()
    result = occystrap('process', '-q', f'registry://{real_registry.host}/real:v1', f'tar://{target}', '--force')
    one_line(result, 1, 'No space left')
    assert target.read_bytes() == before and [path.name for path in small_disk.iterdir()] == ['a.tar']


def test_temporary_directory_full(small_disk: Path, real_registry: Registry, registry: Registry,
                                  occystrap: CommandLine) -> None:
    result = occystrap('process', '-q', f'registry://{real_registry.host}/real:v1',
                       f'registry://{registry.host}/mistakes/spool:v1', '-f', 'normalize-timestamps',
                       '--temp-dir', small_disk)
    one_line(result, 1, str(small_disk), '--temp-dir')
    assert not list(small_disk.iterdir())


@pytest.mark.parametrize(('number', 'code'), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize('target', ['dir', 'tar', 'registry', 'docker'])
def test_interrupted_in_mid_copy(target: str, number: int, code: int, real_registry: Registry, real_image: RealImage,
                                 registry: Registry, docker_daemon: DockerDaemon, tmp_path: Path) -> None:
    name = f'mistakes/interrupted-{code}'
    spool = tmp_path / 'spool'
    spool.mkdir()
    uri = {'dir': f'dir://{tmp_path}/out', 'tar': f'tar://{tmp_path}/out.tar',
           'registry': f'registry://{registry.host}/{name}:v1',
           'docker': f'docker://{name}:v1?socket={docker_daemon.socket}'}[target]
    command = [sys.executable, '-m', 'occystrap_core', 'process', f'registry://{real_registry.host}/real:v1', uri,
               '-f', 'normalize-timestamps', '--temp-dir', str(spool)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while len(os.listdir(f'/proc/{process.pid}/task')) < 4:  # those that copy have not begun
        time.sleep(0.01)
    time.sleep(0.15)
    process.send_signal(number)
    sent = time.monotonic()
    err = process.communicate(timeout=60)[1]
    assert time.monotonic() - sent < 2.5
    assert process.returncode == code, err
    assert len(errors_in(err)) == 1 and 'interrupted' in err
    kept = tmp_path / '.out.tar.kept'  # layers that were complete
    assert kept.exists() == ('kept for the next run' in err and target == 'tar'), err
    shutil.rmtree(kept, ignore_errors=True)
    if target == 'docker':
        with pytest.raises(RuntimeError):
            image_id_in_daemon(docker_daemon, f'{name}:v1')
    if target == 'registry':
        assert not (registry.root / f'docker/registry/v2/repositories/{name}/_manifests/tags').exists()


def test_old_archive_survives_an_interruption(archive: Path, real_registry: Registry, occystrap: CommandLine,
                                              fault_proxy: Callable[..., FaultProxy], tmp_path: Path) -> None:
    target, proxy = tmp_path / 'kept.tar', fault_proxy(real_registry.host)
    occystrap('process', 'tar://sample.tar', f'tar://{target}').assert_success()
    before = target.read_bytes()
    process = occystrap.start('process', f'registry://{proxy.host}/real:v1', f'tar://{target}', '--force',
                              stderr=subprocess.PIPE)
    while sum(proxy.bytes_read().values()) < 10_000_000:
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    err = process.communicate(timeout=20)[1].decode()
    assert process.returncode == 130, err
    assert target.read_bytes() == before
    kept = tmp_path / '.kept.tar.kept'
    assert kept.exists() == ('kept for the next run' in err), err
    shutil.rmtree(kept, ignore_errors=True)
