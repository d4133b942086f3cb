"""How many requests each registry gets, so that one more for each image is seen.

The image has three layers. Its push is: two requests for `/v2/`, one for the tag, two for each blob and one for the
manifest; then its verification, which is manifest and config, and one for each layer. What a registry gets
more is for tokens, for redirects, for its refusals, and for the question whether the login may push.
"""
from pathlib import Path

import pytest

from tests.functional.registry_profiles.conftest import Start
from tests.hostile.in_process import run_here
from tests.services.registry_profiles import PROFILES, Profile
from tests.services.registry_profiles.content import content_of, put_image

PLAIN = {'push': 16, 'verify': 6, 'pull': 6, 'mirror': 133}
MOST = {
    'docker-hub': (28, 13, 12, 250), 'ecr': (21, 9, 11, 168), 'ecr-public': (23, 10, 12, 216), 'gar': (23, 10, 12, 196),
    'ghcr': (26, 10, 12, 226), 'gitlab': (26, 13, 12, 255), 'harbor': (22, 9, 8, 186), 'quay': (29, 12, 13, 243),
    'quay-3.12': (23, 10, 12, 196), 'artifactory': (20, 8, 7, 157), 'nexus': (20, 8, 7, 195),
    'nexus-tokens': (22, 9, 8, 224), 'acr': (23, 10, 12, 196), 'gitea': (22, 9, 8, 186),
    'zot': (21, 7, 6, 160)}
"""Push, verify, pull, and a mirror of 10 images that share two of their three layers; a few depend on threads."""


def requests(profile: type[Profile], start: Start, directory: Path) -> dict[str, int]:
    source, registry, counted = start(Profile), start(profile), {}

    def run(name: str, *arguments: str) -> None:
        registry.forget()
        run_here(*arguments, '--retries', '6').assert_success()
        counted[name] = len(registry.requests)
    put_image(source.store, 'app')
    target = f'registry://{registry.host}/team'
    run('push', 'process', f'registry://{source.host}/app:v1', f'{target}/app:v1', '--receipt', 'receipt')
    run('verify', 'verify', 'receipt')
    run('pull', 'process', f'{target}/app:v1', 'dir://out')
    names = [f'app-{number:02}' for number in range(10)]
    for name in names:
        put_image(source.store, name, variant=name)
    (directory / 'images').write_text(''.join(f'{source.host}/{name}:v1\n' for name in names))
    run('mirror', 'process', 'list://images', f'{target}/{{repository}}:{{tag}}', '-J', '1')
    for name in names:
        assert content_of(registry, f'team/{name}') == content_of(source, name)
    return counted


def test_a_registry_without_quirks(start: Start, tmp_path: Path) -> None:
    assert requests(Profile, start, tmp_path) == PLAIN


@pytest.mark.parametrize('profile', [each for each in PROFILES if each.name in MOST], ids=lambda each: each.name)
def test_each_registry(profile: type[Profile], start: Start, tmp_path: Path) -> None:
    counted = requests(profile, start, tmp_path)
    assert all(counted[name] <= most for name, most in zip(PLAIN, MOST[profile.name], strict=True)), counted
