"""The content of registries, and many images in one run, by pattern, from lists and from plans, on the command line."""
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.functional.images import skopeo
from tests.services.command_line import CommandLine
from tests.services.registry import PASSWORD, USER, Registry
from tests.services.registry import private_registry as start_private
from tests.services.tiny_image import MANIFEST_TYPE, put_tiny_image
from tests.services.uploads import put_manifest


@pytest.fixture
def tagged(registry: Registry, program: Callable[..., str]) -> Registry:
    """A registry with the tags v1.0 to v1.29 in `tags/many`."""
    program('skopeo')
    digest = put_tiny_image(registry, 'tags/many', 'v1.0')['digest']
    raw = registry.read_blob(digest)
    for number in range(1, 30):
        put_manifest(registry, 'tags/many', raw, MANIFEST_TYPE, f'v1.{number}')
    return registry


def test_the_tags_of_a_repository(tagged: Registry, occystrap: CommandLine) -> None:
    out = occystrap('tags', f'registry://{tagged.host}/tags/many').assert_success().out
    assert out.splitlines() == [f'v1.{number}' for number in range(30)]
    witness = json.loads(skopeo('list-tags', '--tls-verify=false', f'docker://{tagged.host}/tags/many'))
    assert sorted(out.splitlines()) == sorted(witness['Tags'])
    assert occystrap('tags', f'{tagged.host}/tags/many').assert_success().out == out
    limited = occystrap('tags', f'registry://{tagged.host}/tags/many', '--limit', '7').assert_success().out
    assert len(limited.splitlines()) == 7 and set(limited.splitlines()) < set(witness['Tags'])


@pytest.mark.parametrize('arguments', [('tags', '-O', 'json'), ('-O', 'json', 'tags')])
def test_json(arguments: tuple[str, ...], tagged: Registry, occystrap: CommandLine) -> None:
    document = occystrap(*arguments, f'registry://{tagged.host}/tags/many').assert_success().json()
    assert document == {'repository': f'{tagged.host}/tags/many', 'tags': [f'v1.{number}' for number in range(30)]}


def test_the_catalog_of_a_registry(registry_factory: Callable[[], Registry], occystrap: CommandLine) -> None:
    registry = registry_factory()
    names = [f'team/app{number}' for number in range(1, 13)]
    for name in names:
        put_tiny_image(registry, name, 'v1')
    for uri in (f'registry://{registry.host}', f'registry://{registry.host}/'):
        assert occystrap('tags', uri).assert_success().out.splitlines() == names
    found = occystrap('tags', f'registry://{registry.host}', '--limit', '5', '-O', 'json').assert_success().json()
    assert found['registry'] == registry.host and len(found['repositories']) == 5
    assert 'GET /v2/_catalog?n=5 200' in registry.requests()


def test_credentials(registry_factory: Callable[..., Registry], occystrap: CommandLine) -> None:
    registry = registry_factory(start_private)
    login = {'OCCYSTRAP_USERNAME': USER, 'OCCYSTRAP_PASSWORD': PASSWORD}
    assert occystrap('tags', f'registry://{registry.host}', env=login).assert_success().out == ''
    line, = occystrap('tags', f'registry://{registry.host}').assert_code(1).errors
    assert registry.host in line and 'occystrap login' in line and 'list://' in line


@pytest.mark.parametrize(('uri', 'code', 'words'), [
    ('{host}/tags/none', 1, 'tags/none does not exist'), ('{host}/tags/many:v1', 2, 'leave out its tag'),
    ('{host}/tags/*', 2, 'is a pattern'), ('{host}/tags/many?insecrue=true', 2, "did you mean 'insecure'"),
    ('127.0.0.1:1/app', 1, '127.0.0.1:1')])
def test_mistakes(uri: str, code: int, words: str, tagged: Registry, occystrap: CommandLine) -> None:
    result = occystrap('tags', f'registry://{uri.format(host=tagged.host)}', '--retries', '0').assert_code(code)
    assert words in result.err and not result.out and len(result.errors) == 1
    assert 'tar:// cannot be listed' in occystrap('tags', 'tar://a.tar').assert_code(2).err


@pytest.fixture
def mirrored(registry: Registry, program: Callable[..., str]) -> Callable[[str], dict[str, list[str]]]:
    """Tells what is in the registry below a prefix; `many/` has four images of which three are v1."""
    program('skopeo')
    for name in ('many/a:v1.9', 'many/a:v1.10', 'many/b:v1.0', 'many/b:v2.0'):
        put_tiny_image(registry, *name.split(':'), files={'name': name.encode()})

    def tags(prefix: str) -> dict[str, list[str]]:
        witness = {}
        for name in ('a', 'b'):
            listed = skopeo('list-tags', '--tls-verify=false', f'docker://{registry.host}/{prefix}/many/{name}')
            witness[name] = sorted(json.loads(listed)['Tags'])
        return witness
    return tags


def test_a_pattern(mirrored: Callable[[str], dict[str, list[str]]], registry: Registry, occystrap: CommandLine) -> None:
    target = f'registry://{registry.host}/by-pattern/{{repository}}:{{tag}}'
    result = occystrap('process', f'registry://{registry.host}/many/*:v1.*', target).assert_success()
    assert '3/3 images' in result.err.splitlines()[-1] and '3/3 verified' in result.err.splitlines()[-1]
    assert mirrored('by-pattern') == {'a': ['v1.10', 'v1.9'], 'b': ['v1.0']}


def test_a_list(mirrored: Callable[[str], dict[str, list[str]]], registry: Registry, occystrap: CommandLine) -> None:
    lines = f'# what we want\n{registry.host}/many/a:v1.9  # one\n\nregistry://{registry.host}/many/b:v*\n'
    (occystrap.directory / 'images.txt').write_text(lines)
    target = f'registry://{registry.host}/by-list/{{repository}}:{{tag}}'
    assert '3/3 images' in occystrap('process', 'list://images.txt', target).assert_success().err
    assert mirrored('by-list') == {'a': ['v1.9'], 'b': ['v1.0', 'v2.0']}
    assert '3/3 images' in occystrap('process', 'list://-', target, input=lines).assert_success().err


@pytest.mark.parametrize('suffix', ['toml', 'yaml'])
def test_a_plan(suffix: str, mirrored: Callable[[str], dict[str, list[str]]], registry: Registry,
                occystrap: CommandLine) -> None:
    target = f'registry://{registry.host}/by-{suffix}/{{repository}}:{{tag}}'
    entries = [f'{registry.host}/many/a:v1.10', f'{registry.host}/many/b:v1.*']
    toml = f"[defaults]\ndestination = '{target}'\n" + ''.join(f"[[images]]\nsource = '{each}'\n" for each in entries)
    yaml = f"defaults:\n  destination: '{target}'\nimages:\n" + ''.join(f"- source: '{each}'\n" for each in entries)
    (occystrap.directory / f'mirror.{suffix}').write_text({'toml': toml, 'yaml': yaml}[suffix])
    assert '2/2 images' in occystrap('process', f'plan://mirror.{suffix}').assert_success().err
    assert mirrored(f'by-{suffix}') == {'a': ['v1.10'], 'b': ['v1.0']}


def test_a_plan_with_mistakes_copies_nothing(registry: Registry, occystrap: CommandLine) -> None:
    put_tiny_image(registry, 'many/fine', 'v1')
    before = len(registry.requests())
    (occystrap.directory / 'mirror.toml').write_text(
        f"[[images]]\nsource = '{registry.host}/many/fine:v1'\ndestination = 'dir://out'\n"
        "[[images]]\nsuorce = 'x'\n[[images]]\nsource = 'a b'\n")
    result = occystrap('process', 'plan://mirror.toml').assert_code(2)
    line, = result.errors
    assert "did you mean 'source'" in line and 'image 3' in line and not Path(occystrap.directory / 'out').exists()
    assert len(registry.requests()) == before
