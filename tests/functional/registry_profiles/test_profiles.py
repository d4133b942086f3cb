"""Each registry that people use, through what they do with it: pull, push, verify, tags, referrers."""
import json
from pathlib import Path

import pytest

from occystrap_core.oci.media_types import OCI_INDEX
from occystrap_registry.auth import authentication
from tests.functional.registry_profiles.conftest import Start
from tests.hostile.in_process import run_here
from tests.services.registry_profiles import PROFILES, Profile
from tests.services.registry_profiles.clouds import EcrPublic
from tests.services.registry_profiles.content import (
    content_of, put_docker_image, put_image, put_index, put_sbom,
)
from tests.services.registry_profiles.profile import Refusal
from tests.services.registry_profiles.store import digest_of

every_profile = pytest.mark.parametrize('profile', PROFILES, ids=lambda each: each.name)
each_to_push_to = pytest.mark.parametrize('profile', [each for each in PROFILES if not each.is_read_only],
                                          ids=lambda each: each.name)
QUICK = ('--retries', '6')


def blobs_in(layout: Path) -> set[str]:
    return {digest_of(each.read_bytes()) for each in (layout / 'blobs/sha256').iterdir()}


@every_profile
def test_pull(profile: type[Profile], start: Start, tmp_path: Path) -> None:
    registry = start(profile)
    put_image(registry.store, 'team/app')
    run_here('process', f'registry://{registry.host}/team/app:v1', 'layout://out', '--verify=full').assert_success()
    assert blobs_in(tmp_path / 'out') == set(content_of(registry, 'team/app'))


@each_to_push_to
def test_push_and_pull_back(profile: type[Profile], start: Start, tmp_path: Path) -> None:
    source, registry = start(Profile), start(profile)
    put_image(source.store, 'app')
    run_here('process', f'registry://{source.host}/app:v1', f'registry://{registry.host}/team/app:v1',
             '--verify=fast', '--receipt', 'receipt', *QUICK).assert_success()
    assert content_of(registry, 'team/app') == content_of(source, 'app')
    run_here('verify', 'receipt', '--verify=full', *QUICK).assert_success()
    run_here('process', f'registry://{registry.host}/team/app:v1', 'layout://back').assert_success()
    assert blobs_in(tmp_path / 'back') == set(content_of(source, 'app'))


@every_profile
def test_tags(profile: type[Profile], start: Start) -> None:
    registry, raw = start(profile), b'{}'
    for count in (25, 1000, 2001):
        names = [f'v1.{number}' for number in range(count)]
        for name in names:
            registry.store.repositories[f'team/app-{count}'].put(name, ('application/json', raw))
        listed = run_here('tags', f'registry://{registry.host}/team/app-{count}').assert_success()
        assert listed.out.split() == names


def test_a_build_cache_is_left_out_of_a_pattern(start: Start) -> None:
    registry = start(Profile)
    put_image(registry.store, 'app')
    entries = [{'mediaType': f'application/vnd.{kind}', 'digest': digest_of(kind.encode()), 'size': 9}
               for kind in ('oci.image.layer.v1.tar+gzip', 'buildkit.cacheconfig.v0')]
    index = json.dumps({'schemaVersion': 2, 'mediaType': OCI_INDEX, 'manifests': entries}).encode()
    registry.store.repositories['app'].put('cache', (OCI_INDEX, index))
    for destination in ('layout://whole', 'dir://one?unique_names=true'):
        result = run_here('process', f'registry://{registry.host}/app:*', destination).assert_success()
        assert 'Summary: 1/1 image' in result.err and 'note: left out 1 artifact' in result.err
    alone = run_here('process', f'registry://{registry.host}/app:cache', 'layout://cache').assert_code(1)
    assert 'app:cache is a build cache of BuildKit' in alone.err


@pytest.mark.parametrize('profile', [Profile, EcrPublic])
def test_a_delta_takes_what_another_repository_has(profile: type[Profile], start: Start) -> None:
    """Also where nothing is mounted."""
    source, registry = start(Profile), start(profile)
    far = f'registry://{registry.host}/{{repository}}:{{tag}}'
    put_image(source.store, 'app')
    run_here('process', f'registry://{source.host}/app:v1', 'tar://1.tar?format=oci', '--receipt', '1').assert_success()
    put_image(source.store, 'other')
    run_here('process', f'registry://{source.host}/other:v1', 'tar://2.tar?format=oci', '--since', '1').assert_success()
    result = run_here('process', 'tar://2.tar', far, *QUICK).assert_code(1)
    assert 'first load there the archive of the earlier run' in result.err
    run_here('process', 'tar://1.tar', far, *QUICK).assert_success()
    run_here('process', 'tar://2.tar', far, '--verify=full', *QUICK).assert_success()
    assert content_of(registry, 'other') == content_of(source, 'other')


@each_to_push_to
def test_referrers_come_along(profile: type[Profile], start: Start) -> None:
    source, registry, back = start(Profile), start(profile), start(Profile)
    sbom = put_sbom(source.store, 'app', put_image(source.store, 'app'))
    run_here('process', f'registry://{source.host}/app:v1?referrers=true', f'registry://{registry.host}/team/app:v1',
             '--verify=full', *QUICK).assert_success()
    run_here('process', f'registry://{registry.host}/team/app:v1?referrers=true', f'registry://{back.host}/app:v1',
             '--verify=full', *QUICK).assert_success()
    for each in (registry.store.repositories['team/app'], back.store.repositories['app']):
        assert each.manifests[sbom] == source.store.repositories['app'].manifests[sbom]


@every_profile
def test_referrers_are_read(profile: type[Profile], start: Start) -> None:
    registry, back = start(profile), start(Profile)
    sbom = put_sbom(registry.store, 'team/app', put_image(registry.store, 'team/app'))
    run_here('process', f'registry://{registry.host}/team/app:v1?referrers=true', f'registry://{back.host}/app:v1',
             *QUICK).assert_success()
    assert sbom in back.store.repositories['app'].manifests


@every_profile
def test_a_pattern_of_tags(profile: type[Profile], start: Start) -> None:
    """Of more tags than a page has."""
    registry = start(profile)
    put_image(registry.store, 'team/app', 'v0')
    image = registry.store.repositories['team/app'].find('v0')
    assert image
    for number in range(130):
        registry.store.repositories['team/app'].put(f'v{number}', image)
    result = run_here('process', f'registry://{registry.host}/team/app:v12*', 'dir://out?unique_names=true',
                      '--dry-run', *QUICK).assert_success()
    assert sum(f'/team/app:v{number} ' in result.out for number in range(130)) == 11, result


@each_to_push_to
def test_an_index(profile: type[Profile], start: Start) -> None:
    source, registry = start(Profile), start(profile)
    put_index(source.store, 'app')
    run_here('process', f'registry://{source.host}/app:v1?platform=all', f'registry://{registry.host}/team/app:v1',
             '--verify=full', *QUICK).assert_success()
    run_here('process', f'registry://{registry.host}/team/app:v1?platform=all', 'layout://out', '--verify=full',
             *QUICK).assert_success()
    kept = source.store.repositories['app']
    assert registry.store.repositories['team/app'].find('v1') == kept.find('v1')
    assert set(kept.manifests) | kept.blobs <= blobs_in(Path('out'))


@each_to_push_to
def test_an_image_in_dockers_form(profile: type[Profile], start: Start, tmp_path: Path) -> None:
    source, registry = start(Profile), start(profile)
    put_docker_image(source.store, 'app')
    run_here('process', f'registry://{source.host}/app:v1', f'registry://{registry.host}/team/app:v1',
             '--verify=full', *QUICK).assert_success()
    sent, stored = content_of(source, 'app'), content_of(registry, 'team/app')
    assert stored == sent if not profile.refused_types else list(stored.items())[1:] == list(sent.items())[1:]


@each_to_push_to
def test_a_copy_within_the_registry(profile: type[Profile], start: Start) -> None:
    registry = start(profile)
    put_image(registry.store, 'team/app')
    run_here('process', f'registry://{registry.host}/team/app:v1', f'registry://{registry.host}/team/other:v2',
             *QUICK).assert_success()
    assert content_of(registry, 'team/other', 'v2') == content_of(registry, 'team/app')
    if profile.mounts != 'none' and not profile.keeps_last_scope_only:
        assert len(registry.received('PUT', 'upload')) <= 1, 'layers are mounted'


@pytest.mark.parametrize('profile', [each for each in PROFILES if each.realm], ids=lambda each: each.name)
def test_tokens_that_run_out_unexpectedly(profile: type[Profile], start: Start, tmp_path: Path,
                                          monkeypatch: pytest.MonkeyPatch) -> None:
    source, registry = start(Profile), start(profile)
    monkeypatch.setattr(authentication, '_YOUNG', 0.0)
    for name in 'abcd':
        put_image(source.store, name, variant=name)
    registry.access.tokens_run_out_after = 40
    (tmp_path / 'images').write_text(''.join(f'{source.host}/{name}:v1\n' for name in 'abcd'))
    run_here('process', 'list://images', f'registry://{registry.host}/team/{{repository}}:{{tag}}', '-J', '1', *QUICK
             ).assert_success()
    assert registry.access.tokens_run_out_after < 0, 'they did'


@pytest.mark.parametrize('profile', [each for each in PROFILES if each.name in ('docker-hub', 'ecr', 'gar', 'gitlab')],
                         ids=lambda each: each.name)
@pytest.mark.parametrize('protocol', ['HTTP/1.0', 'HTTP/1.1'])
def test_old_servers_that_break_off(profile: type[Profile], protocol: str, start: Start) -> None:
    bad = type('Bad', (profile, ), {'protocol': protocol, 'every': 7, 'busy': Refusal(0)})
    source, registry = start(Profile), start(bad)
    put_image(source.store, 'app')
    run_here('process', f'registry://{source.host}/app:v1', f'registry://{registry.host}/team/app:v1',
             '--verify=full', *QUICK).assert_success()
    assert content_of(registry, 'team/app') == content_of(source, 'app')
