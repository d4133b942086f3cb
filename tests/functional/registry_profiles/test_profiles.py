"""Each registry that people use, through what they do with it: pull, push, verify, tags, referrers."""
from pathlib import Path

import pytest

from tests.functional.registry_profiles.conftest import Start
from tests.hostile.in_process import run_here
from tests.services.registry_profiles import PROFILES, Profile
from tests.services.registry_profiles.content import content_of, put_image, put_sbom
from tests.services.registry_profiles.store import digest_of

every_profile = pytest.mark.parametrize('profile', PROFILES, ids=lambda each: each.name)
QUICK = ('--retries', '6')


def blobs_in(layout: Path) -> set[str]:
    return {digest_of(each.read_bytes()) for each in (layout / 'blobs/sha256').iterdir()}


@every_profile
def test_pull(profile: type[Profile], start: Start, tmp_path: Path) -> None:
    registry = start(profile)
    put_image(registry.store, 'team/app')
    run_here('process', f'registry://{registry.host}/team/app:v1', 'layout://out', '--verify=full').assert_success()
    assert blobs_in(tmp_path / 'out') == set(content_of(registry, 'team/app'))


@every_profile
@pytest.mark.parametrize('level', ['fast', 'full'])
def test_push_and_pull_back(profile: type[Profile], level: str, start: Start, tmp_path: Path) -> None:
    source, registry = start(Profile), start(profile)
    put_image(source.store, 'app')
    run_here('process', f'registry://{source.host}/app:v1', f'registry://{registry.host}/team/app:v1',
             f'--verify={level}', '--receipt', 'receipt', *QUICK).assert_success()
    assert content_of(registry, 'team/app') == content_of(source, 'app')
    run_here('verify', 'receipt', f'--verify={level}', *QUICK).assert_success()
    run_here('process', f'registry://{registry.host}/team/app:v1', 'layout://back').assert_success()
    assert blobs_in(tmp_path / 'back') == set(content_of(source, 'app'))


@every_profile
@pytest.mark.parametrize('count', [25, 1000, 1001, 2300])
def test_tags(profile: type[Profile], count: int, start: Start) -> None:
    registry, raw = start(profile), b'{}'
    names = [f'v1.{number}' for number in range(count)]
    for name in names:
        registry.store.repositories['team/app'].put(name, ('application/json', raw))
    listed = run_here('tags', f'registry://{registry.host}/team/app').assert_success()
    assert listed.out.split() == names


@every_profile
def test_referrers_come_along(profile: type[Profile], start: Start) -> None:
    source, registry, back = start(Profile), start(profile), start(Profile)
    sbom = put_sbom(source.store, 'app', put_image(source.store, 'app'))
    run_here('process', f'registry://{source.host}/app:v1?referrers=true', f'registry://{registry.host}/team/app:v1',
             '--verify=full', *QUICK).assert_success()
    run_here('process', f'registry://{registry.host}/team/app:v1?referrers=true', f'registry://{back.host}/app:v1',
             '--verify=full', *QUICK).assert_success()
    for each in (registry.store.repositories['team/app'], back.store.repositories['app']):
        assert each.manifests[sbom] == source.store.repositories['app'].manifests[sbom]
