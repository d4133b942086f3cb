"""Damage done to what was really written is found, and named: on disk, in the registry's storage, in the daemon."""
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from occystrap_core import Receipt
from occystrap_core.testing.sample import sample_config
from tests.functional.archives import write_docker_archive
from tests.functional.images import Places
from tests.services.command_line import CommandLine, CommandResult
from tests.services.docker_daemon import DockerDaemon
from tests.services.registry import Registry
from tests.services.sample import put_sample_image
from tests.services.tiny_image import layer_tar

LEVELS = ['fast', 'full']
KINDS = ['manifest', 'config', 'layer']
DAMAGES = ['removed', 'truncated', 'flipped']
Expectation = dict[str, str]


@pytest.fixture(scope='session')
def sample_uri(registry: Registry) -> str:
    """The sample image in a registry that tests do not damage."""
    put_sample_image(registry, 'damage/sample', 'v1')
    return f'registry://{registry.host}/damage/sample:v1'


@pytest.fixture
def written(sample_uri: str, occystrap: CommandLine, tmp_path: Path) -> Callable[[str], dict[str, Expectation]]:
    """Write the sample image to a destination; return one expectation of each kind, by kind."""
    def write(destination: str) -> dict[str, Expectation]:
        occystrap('process', sample_uri, destination, '--receipt', tmp_path / 'receipt').assert_success()
        receipt = json.loads((tmp_path / 'receipt').read_text())
        return {each['kind']: each for each in receipt['expectations']}
    return write


def verify(occystrap: CommandLine, level: str) -> CommandResult:
    """Verify from the receipt, in a new process; a registry that fails on what is damaged is not waited for."""
    return occystrap('verify', 'receipt', f'--verify={level}', '--longest-wait', '0.1')


def assert_found(result: CommandResult, *names: str) -> None:
    """The damage was found: exit code, summary, and one of the item's names in the output."""
    result.assert_code(1)
    last = result.err.splitlines()[-1]
    assert last.startswith('Summary: 1/1 image') and last.endswith('0/1 verified, 1 FAILED'), result
    assert any(name in result.err for name in names), f'none of {names} is named in\n{result}'


def judge(occystrap: CommandLine, kind: str, damage: str, *names: str) -> None:
    """A flipped bit in a layer is seen by full alone; all else by both."""
    for level in LEVELS:
        result = verify(occystrap, level)
        if kind == 'layer' and damage == 'flipped' and level == 'fast':
            result.assert_success()
        else:
            assert_found(result, *names)


def test_what_is_said_of_very_many_layers_is_one_line(occystrap: CommandLine, tmp_path: Path) -> None:
    for count, folded in ((3, False), (25, True)):
        layers = [layer_tar({f'etc/{number}': b'x'}) for number in range(count)]
        write_docker_archive(tmp_path / 'many.tar', sample_config(layers), layers, 'many:v1')
        occystrap('process', 'tar://many.tar', 'tar://out.tar', '--receipt', 'many', '--force').assert_success()
        os.truncate(tmp_path / 'out.tar', 512)
        result = occystrap('verify', 'many').assert_code(1)
        said = [line for line in result.err.splitlines() if 'is not in ' in line]
        assert (len(said) == 1) is folded and (' more: ' in said[0]) is folded
        (tmp_path / 'many').unlink()


def damage_file(path: Path, damage: str, offset: int = 0, size: int | None = None) -> None:
    """Remove a file, cut its last byte, or flip a bit in the middle of the given range."""
    if damage == 'removed':
        path.unlink()
    elif damage == 'truncated':
        os.truncate(path, path.stat().st_size - 1)
    else:
        middle = offset + (path.stat().st_size if size is None else size) // 2
        with open(path, 'r+b') as file:
            file.seek(middle)
            byte = file.read(1)[0]
            file.seek(middle)
            file.write(bytes([byte ^ 1]))


@pytest.mark.parametrize('damage', DAMAGES)
@pytest.mark.parametrize('kind', KINDS)
def test_directory(kind: str, damage: str, written: Callable[[str], dict[str, Expectation]],
                   occystrap: CommandLine, tmp_path: Path) -> None:
    locator = written(f'dir://{tmp_path}/out')[kind]['locator']
    damage_file(tmp_path / 'out' / locator, damage)
    judge(occystrap, kind, damage, locator)


def rewrite_archive(archive: Path, change: Callable[[tarfile.TarInfo, bytes], bytes | None]) -> None:
    """Write the archive again with each member's content changed, or without it where `change` returns None."""
    target = io.BytesIO()
    with tarfile.open(archive) as before, tarfile.open(fileobj=target, mode='w') as after:
        for member in before.getmembers():
            reader = before.extractfile(member)
            content = change(member, reader.read() if reader else b'')
            if content is not None:
                member.size = len(content)
                after.addfile(member, io.BytesIO(content))
    archive.write_bytes(target.getvalue())


@pytest.mark.parametrize('damage', DAMAGES)
@pytest.mark.parametrize('kind', KINDS)
@pytest.mark.parametrize('archive_format', ['docker', 'oci'])
def test_archive(archive_format: str, kind: str, damage: str, written: Callable[[str], dict[str, Expectation]],
                 occystrap: CommandLine, tmp_path: Path) -> None:
    option = '?format=oci' if archive_format == 'oci' else ''
    expectation = written(f'tar://{tmp_path}/out.tar{option}')[kind]
    locator = expectation['locator']

    def change(member: tarfile.TarInfo, content: bytes) -> bytes | None:
        if member.name != locator:
            return content
        return None if damage == 'removed' else content[:-1]

    if damage == 'flipped':  # in its place: all else stays as it is, down to the headers
        with tarfile.open(tmp_path / 'out.tar') as archive:
            member = archive.getmember(locator)
        damage_file(tmp_path / 'out.tar', damage, member.offset_data, member.size)
    else:
        rewrite_archive(tmp_path / 'out.tar', change)
    judge(occystrap, kind, damage, locator)


def test_truncated_or_missing_archive(written: Callable[[str], dict[str, Expectation]], occystrap: CommandLine,
                                      tmp_path: Path) -> None:
    written(f'tar://{tmp_path}/out.tar')
    for damage in ('truncated', 'removed'):
        damage_file(tmp_path / 'out.tar', damage)
        for level in LEVELS:
            assert_found(verify(occystrap, level), 'out.tar')


@pytest.fixture
def damaged_registry(registry_factory: Callable[[], Registry]) -> Iterator[Registry]:
    """A registry for one test alone."""
    yield registry_factory()


@pytest.mark.parametrize('damage', DAMAGES)
@pytest.mark.parametrize('kind', KINDS)
def test_registry(kind: str, damage: str, damaged_registry: Registry,
                  written: Callable[[str], dict[str, Expectation]], occystrap: CommandLine) -> None:
    expectation = written(f'registry://{damaged_registry.host}/damaged:v1')[kind]
    digest = expectation['digest']
    damage_file(damaged_registry.blob_path(digest), damage)
    judge(occystrap, kind, damage, digest, expectation['locator'])


def test_registry_whose_tag_moved(damaged_registry: Registry, occystrap: CommandLine,
                                  written: Callable[[str], dict[str, Expectation]]) -> None:
    manifest = written(f'registry://{damaged_registry.host}/damaged:v1')['manifest']
    put_sample_image(damaged_registry, 'damaged', 'v1', variant='another')
    for level in LEVELS:
        assert_found(verify(occystrap, level), manifest['locator'], manifest['digest'])


def test_unreachable_registry_is_unverified(sample_uri: str, occystrap: CommandLine, tmp_path: Path) -> None:
    from tests.services.registry import plain_registry
    with plain_registry() as gone:
        occystrap('process', sample_uri, f'registry://{gone.host}/x:v1', '--receipt', 'receipt').assert_success()
    result = verify(occystrap, 'fast').assert_code(1)
    assert result.err.splitlines()[-1].endswith('0/1 verified, 1 UNVERIFIED'), result
    assert gone.host in result.err


@pytest.mark.parametrize('damage', ['tag moved', 'image removed'])
def test_daemon(damage: str, registry: Registry, docker_daemon: DockerDaemon, tmp_path: Path,
                written: Callable[[str], dict[str, Expectation]], occystrap: CommandLine) -> None:
    name = f'damage/daemon-{damage.replace(" ", "-")}'
    places = Places(registry, docker_daemon, tmp_path)
    with places.fresh('docker', name) as target:
        written(target)
        for level in LEVELS:
            verify(occystrap, level).assert_success()
        if damage == 'image removed':
            docker_daemon.run('rmi', '-f', f'{name}:v1')
        else:
            put_sample_image(registry, f'{name}-other', 'v1', variant='another')
            occystrap('process', f'registry://{registry.host}/{name}-other:v1', target).assert_success()
        for level in LEVELS:
            assert_found(verify(occystrap, level), f'{name}:v1')


def test_unreachable_daemon_is_unverified(sample_uri: str, docker_daemon: DockerDaemon, occystrap: CommandLine,
                                          tmp_path: Path) -> None:
    target = f'docker://damage/gone:v1?socket={docker_daemon.socket}'
    occystrap('process', sample_uri, target, '--receipt', 'receipt').assert_success()
    receipt = tmp_path / 'receipt'
    written = Receipt.from_json(receipt.read_text())
    elsewhere = {name: value.replace(str(docker_daemon.socket), str(tmp_path / 'no.sock'))
                 for name, value in written.options.items()}
    receipt.write_text(replace(written, options=elsewhere).to_json())
    result = verify(occystrap, 'fast').assert_code(1)
    assert result.err.splitlines()[-1].endswith('0/1 verified, 1 UNVERIFIED'), result
    assert 'no.sock' in result.err
