"""Registries over TLS with certificates of a private authority, and with client certificates; none is lenient."""
import os
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.services.certificates import Authority
from tests.services.command_line import CommandLine, CommandResult
from tests.services.registry import Registry, certified_registry
from tests.services.sample import put_sample_image

with_clients = partial(certified_registry, clients=True)


@pytest.fixture
def push(registry: Registry, occystrap: CommandLine) -> Callable[..., CommandResult]:
    """Push a sample to a registry: `push(registry, '--ca-file', …)`."""
    put_sample_image(registry, 'registry/sample', 'v1')

    def run(target: Registry, *options: str | Path, query: str = '', user: str = '') -> CommandResult:
        return occystrap('process', f'registry://{registry.host}/registry/sample:v1',
                         f'registry://{user}{target.host}/app:v1{query}', *options)
    return run


def put(occystrap: CommandLine, host: str, *files: Path, below: str = '.docker') -> Path:
    """Put files into the user's certs.d."""
    directory = occystrap.directory / 'home' / below / 'certs.d' / host
    directory.mkdir(parents=True, exist_ok=True)
    for file in files:
        shutil.copy(file, directory)
    return directory


def only_line(result: CommandResult) -> str:
    line, = result.errors
    return line


@pytest.mark.parametrize('way', ['--ca-file', '.docker', '.config/containers', 'insecure'])
def test_a_private_authority(way: str, push: Callable[..., CommandResult], registry_factory: Callable[..., Registry],
                             occystrap: CommandLine) -> None:
    private = registry_factory(certified_registry)
    assert private.ca
    refused = only_line(push(private).assert_code(1))
    assert f'{private.host} has a certificate that this machine does not trust' in refused and '--ca-file' in refused
    if way.startswith('.'):
        put(occystrap, f'{private.host}0', private.ca, below=way)
        push(private).assert_code(1)
        put(occystrap, private.host, private.ca, below=way)
    options = ['--ca-file', private.ca] if way == '--ca-file' else []
    pushed = push(private, *options, query='?insecure=true' if way == 'insecure' else '')
    assert pushed.assert_success().err.splitlines()[-1].endswith('1/1 verified')


@pytest.mark.parametrize(('name', 'expired', 'words'), [
    ('other.example', False, 'has a certificate for another name'), ('', True, 'has a certificate that has expired')])
def test_bad_certificates_of_a_good_authority(
        name: str, expired: bool, words: str, push: Callable[..., CommandResult],
        registry_factory: Callable[..., Registry]) -> None:
    bad = registry_factory(partial(certified_registry, name=name, expired=expired))
    assert bad.ca and f'{bad.host} {words}' in only_line(push(bad, '--ca-file', bad.ca).assert_code(1))
    push(bad, query='?insecure=true').assert_success()


def test_client_certificates(push: Callable[..., CommandResult], registry_factory: Callable[..., Registry],
                             occystrap: CommandLine, tmp_path: Path) -> None:
    strict = registry_factory(with_clients)
    assert strict.ca and strict.client
    put(occystrap, strict.host, strict.ca)
    assert f'{strict.host} requires a client certificate' in only_line(push(strict).assert_code(1))
    stranger = Authority(tmp_path, 'stranger').sign('client')
    put(occystrap, strict.host, stranger.certificate, stranger.key)
    line = only_line(push(strict).assert_code(1))
    assert f'{strict.host} requires a client certificate of an authority that it trusts' in line
    put(occystrap, strict.host, strict.client.certificate, strict.client.key)
    push(strict, '--verify=full').assert_success()
    occystrap('process', f'registry://{strict.host}/app:v1', 'dir://out').assert_success()


def test_a_client_certificate_where_certificates_are_not_checked(
        push: Callable[..., CommandResult], registry_factory: Callable[..., Registry], occystrap: CommandLine) -> None:
    strict = registry_factory(with_clients)
    assert strict.client
    put(occystrap, strict.host, strict.client.certificate, strict.client.key)
    push(strict, query='?insecure=true').assert_success()


def test_an_authority_for_this_machine_itself_is_held_to(
        push: Callable[..., CommandResult], tls_registry: Registry, registry_factory: Callable[..., Registry],
        occystrap: CommandLine, tmp_path: Path) -> None:
    put(occystrap, tls_registry.host, Authority(tmp_path, 'stranger').certificate)
    assert 'does not trust' in only_line(push(tls_registry).assert_code(1))
    push(tls_registry, query='?insecure=true').assert_success()
    assert tls_registry.ca
    put(occystrap, tls_registry.host, tls_registry.ca).joinpath(tls_registry.ca.name).rename(
        occystrap.directory / 'home/.docker/certs.d' / tls_registry.host / 'ca.crt')
    push(tls_registry).assert_success()


def test_files_that_are_no_certificates(push: Callable[..., CommandResult], registry_factory: Callable[..., Registry],
                                        occystrap: CommandLine, tmp_path: Path) -> None:
    private = registry_factory(certified_registry)
    assert private.client and private.ca
    (tmp_path / 'empty.crt').write_text('canary')
    assert f'{tmp_path}/empty.crt cannot be read as certificates' in only_line(
        push(private, '--ca-file', tmp_path / 'empty.crt').assert_code(2))
    directory = put(occystrap, private.host, tmp_path / 'empty.crt')
    assert f'{directory}/empty.crt cannot be read as certificates' in only_line(push(private).assert_code(2))
    os.remove(directory / 'empty.crt')
    put(occystrap, private.host, private.client.certificate)
    assert f'{directory}/client.cert has no client.key beside it' in only_line(push(private).assert_code(2))
    os.rename(directory / 'client.cert', directory / 'client.key')
    assert f'{directory}/client.key has no client.cert beside it' in only_line(push(private).assert_code(2))
    (directory / 'client.key').write_text('canary')
    put(occystrap, private.host, private.client.certificate)
    line = only_line(push(private).assert_code(2))
    assert f'{directory}/client.cert and client.key cannot be used' in line and 'canary' not in line
    encrypt = ['openssl', 'pkcs8', '-topk8', '-passout', 'pass:canary', '-in', private.client.key, '-out']
    subprocess.run([*encrypt, directory / 'client.key'], check=True, capture_output=True)
    assert 'expected PEM without a password' in only_line(push(private).assert_code(2))
    shutil.copy(Authority(tmp_path, 'stranger').sign('other').key, directory / 'client.key')
    assert 'the key belongs to another certificate' in only_line(push(private).assert_code(2))


def test_login_over_tls(registry_factory: Callable[..., Registry], occystrap: CommandLine) -> None:
    private = registry_factory(certified_registry)
    words = ['login', private.host, '--username', 'me', '--password-stdin']
    assert 'does not trust' in only_line(occystrap(*words, input='secret').assert_code(1))
    assert private.ca
    occystrap(*words, '--ca-file', private.ca, input='secret').assert_success()
