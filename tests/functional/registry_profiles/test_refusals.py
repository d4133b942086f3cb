"""What a registry refuses by its own rules, how the user hears of it, and new tags that appear late."""
import pytest

from tests.functional.registry_profiles.conftest import Start
from tests.hostile.in_process import run_here
from tests.hostile.refusals import is_refused
from tests.services.registry_profiles import PROFILES, Profile
from tests.services.registry_profiles.content import content_of, put_image
from tests.services.registry_profiles.profile import Refusal

IMMUTABLE = [each for each in PROFILES if each.immutable]
CHOOSY = [each for each in PROFILES if each.existing]
LIMITED = [each for each in PROFILES if each.realm or each.basic]


def named(profile: type[Profile]) -> str:
    return profile.name


@pytest.mark.parametrize('profile', IMMUTABLE, ids=named)
def test_tags_that_cannot_be_moved(profile: type[Profile], start: Start) -> None:
    source, registry = start(Profile), start(profile)
    put_image(source.store, 'app')
    put_image(registry.store, 'team/app', variant='other')
    before = content_of(registry, 'team/app')
    assert profile.immutable
    result = run_here('process', f'registry://{source.host}/app:v1', f'registry://{registry.host}/team/app:v1',
                      '--retries', '0')
    is_refused(result, profile.immutable.detail or profile.immutable.message, f'{registry.host}/team/app:v1')
    assert content_of(registry, 'team/app') == before


@pytest.mark.parametrize('profile', IMMUTABLE, ids=named)
def test_an_image_that_is_there_is_no_push(profile: type[Profile], start: Start) -> None:
    source, registry = start(Profile), start(profile)
    put_image(source.store, 'app')
    put_image(registry.store, 'team/app')
    run_here('process', f'registry://{source.host}/app:v1', f'registry://{registry.host}/team/app:v1').assert_success()
    assert not registry.received('PUT', '')


@pytest.mark.parametrize('profile', CHOOSY, ids=named)
def test_repositories_that_must_exist(profile: type[Profile], start: Start) -> None:
    source, registry = start(Profile), start(profile)
    put_image(source.store, 'app')
    result = run_here('process', f'registry://{source.host}/app:v1', f'registry://{registry.host}/other/app:v1')
    is_refused(result, f'{registry.host}/other/app', profile.unknown_repository.message)
    assert not registry.received('PUT', '')


@pytest.mark.parametrize('profile', LIMITED, ids=named)
def test_pushing_needs_a_login(profile: type[Profile], start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    source, registry = start(Profile), start(profile)
    put_image(source.store, 'app')
    monkeypatch.setenv('DOCKER_CONFIG', '/nonexistent')
    result = run_here('process', f'registry://{source.host}/app:v1', f'registry://{registry.host}/team/app:v1')
    is_refused(result, registry.host, 'requires credentials: log in with occystrap login')
    assert not registry.store.content


@pytest.mark.parametrize('profile', [each for each in LIMITED if each.realm or not each.is_public], ids=named)
def test_a_wrong_password(profile: type[Profile], start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = start(profile)
    put_image(registry.store, 'team/app')
    monkeypatch.setenv('OCCYSTRAP_USERNAME', 'me')
    monkeypatch.setenv('OCCYSTRAP_PASSWORD', 'wrong-canary')
    result = run_here('process', f'registry://{registry.host}/team/app:v1', 'dir://out')
    is_refused(result, registry.host, 'refuses access with the given credentials')
    assert 'canary' not in result.err


@pytest.mark.parametrize('profile', [each for each in LIMITED if each.is_public], ids=named)
def test_everybody_pulls(profile: type[Profile], start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = start(profile)
    put_image(registry.store, 'team/app')
    monkeypatch.setenv('DOCKER_CONFIG', '/nonexistent')
    run_here('process', f'registry://{registry.host}/team/app:v1', 'dir://out').assert_success()


@pytest.mark.parametrize('profile', PROFILES, ids=named)
def test_the_catalog(profile: type[Profile], start: Start) -> None:
    registry = start(profile)
    for number in range(25):
        put_image(registry.store, f'team/app-{number}')
    result = run_here('tags', f'registry://{registry.host}')
    if profile.catalog == Refusal(200):
        assert result.assert_success().out.split() == [f'team/app-{number}' for number in range(25)]
    else:
        is_refused(result, registry.host, 'catalog', 'give the repository')


@pytest.mark.parametrize('profile', PROFILES, ids=named)
def test_a_name_that_does_not_exist(profile: type[Profile], start: Start) -> None:
    registry = start(profile)
    put_image(registry.store, 'team/app')
    is_refused(run_here('process', f'registry://{registry.host}/team/app:v2', 'dir://out'), 'v1')
    is_refused(run_here('process', f'registry://{registry.host}/team/none:v1', 'dir://out'), 'does not exist')


@pytest.mark.parametrize('profile', [each for each in PROFILES if each.settles_after], ids=named)
def test_new_tags_that_take_a_while(profile: type[Profile], start: Start) -> None:
    source, registry = start(Profile), start(profile)
    put_image(source.store, 'app')
    run_here('process', f'registry://{source.host}/app:v1', f'registry://{registry.host}/team/app:v1').assert_success()
