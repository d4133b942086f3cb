"""The whole command line against real registries: open, private, with tokens, over TLS."""
import base64
import json
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.functional.images import raw_manifest, skopeo
from tests.services.command_line import CommandLine, CommandResult
from tests.services.registry import PASSWORD, USER, Registry
from tests.services.registry import private_registry as start_private
from tests.services.sample import put_sample_image
from tests.services.tiny_image import put_tiny_image
from tests.services.uploads import put_manifest

INDEX_TYPE = 'application/vnd.oci.image.index.v1+json'
LOGIN = {'OCCYSTRAP_USERNAME': USER, 'OCCYSTRAP_PASSWORD': PASSWORD}
WRONG = {'OCCYSTRAP_USERNAME': USER, 'OCCYSTRAP_PASSWORD': 'wrong horse'}


@pytest.fixture
def source(registry: Registry, program: Callable[..., str]) -> str:
    """The sample image in an open registry."""
    program('skopeo')
    put_sample_image(registry, 'registry/sample', 'v1')
    return f'registry://{registry.host}/registry/sample:v1'


def secrets_in(result: CommandResult, directory: Path) -> list[str]:
    """Return what of the password can be read in the output or in any file that was written."""
    basic = base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()
    files = [path for path in directory.glob('*') if path.is_file()]
    texts = [result.out, result.err, *(path.read_text(errors='replace') for path in files)]
    secrets = (PASSWORD, 'correct%20horse', 'wrong horse', basic)
    return [secret for secret in secrets for text in texts if secret in text]


@pytest.mark.parametrize('level', ['fast', 'full'])
def test_copied_byte_for_byte(level: str, source: str, registry: Registry, occystrap: CommandLine) -> None:
    target = f'registry/copy-{level}:v1'
    result = occystrap('process', source, f'registry://{registry.host}/{target}', f'--verify={level}')
    assert result.assert_success().err.splitlines()[-1].endswith(', 1/1 verified')
    assert raw_manifest(registry, target) == raw_manifest(registry, 'registry/sample:v1')
    skopeo('copy', '--src-tls-verify=false', f'docker://{registry.host}/{target}', f'dir:{occystrap.directory}/witness')


def test_a_second_run_moves_no_blob(source: str, registry_factory: Callable[[], Registry], occystrap: CommandLine,
                                    ) -> None:
    target = registry_factory()
    occystrap('process', source, f'registry://{target.host}/app:v1').assert_success()
    before = len(target.requests())
    occystrap('process', source, f'registry://{target.host}/app:v1').assert_success()
    assert {line.split()[0] for line in target.requests()[before:]} == {'GET', 'HEAD'}


def test_layers_without_blobs_are_the_same_blobs_next_time(
        source: str, registry_factory: Callable[[], Registry], occystrap: CommandLine) -> None:
    target = registry_factory()
    occystrap('process', source, 'dir://image').assert_success()
    occystrap('process', 'dir://image', f'registry://{target.host}/app:v1', '--verify=full').assert_success()
    before = len(target.requests())
    occystrap('process', 'dir://image', f'registry://{target.host}/app:v1').assert_success()
    assert {line.split()[0] for line in target.requests()[before:]} == {'GET', 'HEAD'}


@pytest.mark.parametrize('way', ['environment', 'uri', 'options', 'docker login'])
def test_private(way: str, source: str, private_registry: Registry, occystrap: CommandLine) -> None:
    host = private_registry.host
    name = f'private/{way.replace(" ", "-")}:v1'
    target = {'uri': f'registry://{USER}:correct%20horse%3Abattery@{host}/{name}',
              'options': f'registry://{host}/{name}?username={USER}&password=correct%20horse:battery',
              }.get(way, f'registry://{host}/{name}')
    if way == 'docker login':
        (occystrap.directory / 'home/.docker').mkdir(parents=True)
        auth = {'auth': base64.b64encode(f'{USER}:{PASSWORD}'.encode()).decode()}
        (occystrap.directory / 'home/.docker/config.json').write_text(json.dumps({'auths': {host: auth}}))
    env = LOGIN if way == 'environment' else {}
    pushed = occystrap('process', source, target, '--receipt', 'receipt', env=env).assert_success()
    assert pushed.err.splitlines()[-1].endswith(', 1/1 verified')
    occystrap('verify', 'receipt', '--verify=full', env=LOGIN).assert_success()
    pulled = occystrap('process', target, f'dir://image-{way.replace(" ", "-")}', '--debug', env=env).assert_success()
    assert f'occystrap.registry: GET http://{host}/v2/{name.partition(":")[0]}/manifests/v1 200' in pulled.err
    assert not secrets_in(pushed, occystrap.directory) + secrets_in(pulled, occystrap.directory)


@pytest.mark.parametrize(('env', 'words'), [(WRONG, 'refuses access'), ({}, 'requires credentials')])
@pytest.mark.parametrize('role', ['source', 'destination'])
def test_private_with_no_or_wrong_password(role: str, env: dict[str, str], words: str, source: str,
                                           private_registry: Registry, occystrap: CommandLine) -> None:
    closed = f'registry://{private_registry.host}/private/none:v1'
    result = occystrap('process', *((closed, 'dir://out') if role == 'source' else (source, closed)), env=env)
    line, = result.assert_code(1).errors
    assert private_registry.host in line and words in line and not secrets_in(result, occystrap.directory)
    assert not (occystrap.directory / 'out').exists()


def test_a_lost_login_proves_nothing(source: str, registry_factory: Callable[..., Registry], occystrap: CommandLine,
                                     ) -> None:
    private = registry_factory(start_private)
    occystrap('process', source, f'registry://{private.host}/app:v1', '--receipt', 'receipt', env=LOGIN)
    for env in (WRONG, {}):
        result = occystrap('verify', 'receipt', env=env).assert_code(1)
        assert result.err.splitlines()[-1].endswith('0/1 verified, 1 UNVERIFIED')
        assert private.host in result.err and not secrets_in(result, occystrap.directory)


def test_tokens(source: str, token_registry: Registry, occystrap: CommandLine) -> None:
    assert token_registry.tokens
    target = f'registry://{token_registry.host}/tokens/app:v1'
    before = len(token_registry.tokens.requests)
    occystrap('process', source, target, '--verify=full', '--receipt', 'receipt', env=LOGIN).assert_success()
    assert len(token_registry.tokens.requests) - before == 2, 'one for the copy, one for the verification'
    occystrap('process', target, 'dir://anonymous').assert_success()
    assert occystrap('verify', 'receipt').assert_success().err.splitlines()[-1].endswith('1/1 verified')


@pytest.mark.parametrize('env', [WRONG, {}])
def test_tokens_for_anonymous_users(env: dict[str, str], source: str, token_registry: Registry,
                                    occystrap: CommandLine) -> None:
    result = occystrap('process', source, f'registry://{token_registry.host}/tokens/none:v1', env=env).assert_code(1)
    line, = result.errors
    assert token_registry.host in line and 'credentials' in line and not secrets_in(result, occystrap.directory)
    assert not any('/tokens/none/blobs/uploads/' in each and each.endswith('201') for each in token_registry.requests())


def test_tls_with_a_certificate_of_its_own_on_this_machine(source: str, tls_registry: Registry, occystrap: CommandLine,
                                                           ) -> None:
    target = f'registry://{tls_registry.host}/tls/app:v1'
    occystrap('process', source, target, '--verify=full').assert_success()
    occystrap('process', target, 'dir://out').assert_success()


@pytest.mark.parametrize('architecture', ['amd64', 'arm64'])
def test_index(architecture: str, registry: Registry, occystrap: CommandLine) -> None:
    entries = [put_tiny_image(registry, 'registry/many', architecture=each) for each in ('amd64', 'arm64')]
    index = {'schemaVersion': 2, 'mediaType': INDEX_TYPE, 'manifests': entries}
    put_manifest(registry, 'registry/many', json.dumps(index).encode(), INDEX_TYPE, 'v1')
    target = f'registry/one-{architecture}:v1'
    occystrap('process', f'registry://{registry.host}/registry/many:v1', f'registry://{registry.host}/{target}',
              '--platform', f'linux/{architecture}').assert_success()
    assert json.loads(raw_manifest(registry, target))['config'] == json.loads(
        registry.read_blob(entries[architecture == 'arm64']['digest']))['config']
    refused = occystrap('process', f'registry://{registry.host}/registry/many:v1?platform=linux/s390x', 'dir://out')
    line, = refused.assert_code(1).errors
    assert 'linux/s390x' in line and 'linux/amd64, linux/arm64' in line


@pytest.mark.parametrize('level', ['fast', 'full'])
def test_a_deleted_manifest_is_found(level: str, source: str, registry: Registry, occystrap: CommandLine) -> None:
    name = f'registry/deleted-{level}'
    occystrap('process', source, f'registry://{registry.host}/{name}:v1', '--receipt', 'receipt').assert_success()
    digest = registry.tag_digest(name, 'v1')
    urllib.request.urlopen(urllib.request.Request(f'{registry.url}/v2/{name}/manifests/{digest}', method='DELETE'))
    result = occystrap('verify', 'receipt', f'--verify={level}').assert_code(1)
    assert f'manifest v1: is not in {registry.host}/{name}' in result.err
    assert result.err.splitlines()[-1].endswith('0/1 verified, 1 FAILED')


def test_damage_at_the_source_is_found(registry_factory: Callable[[], Registry], registry: Registry,
                                       occystrap: CommandLine) -> None:
    damaged = registry_factory()
    put_sample_image(damaged, 'app', 'v1')
    manifest = json.loads(damaged.read_blob(damaged.tag_digest('app', 'v1')))
    layer = manifest['layers'][0]['digest']
    damaged.damage_blob(layer, 20)
    target = f'registry://{registry.host}/registry/from-damaged:v1'
    line, = occystrap('process', f'registry://{damaged.host}/app:v1', target).assert_code(1).errors
    assert layer in line
    occystrap('process', target, 'dir://out').assert_code(1)
