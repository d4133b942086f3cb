"""How many requests each registry gets, so that one more for each image is seen.

The image has three layers. Its push is: two requests for `/v2/`, one for the tag, three for each blob and one for the
manifest; then its verification, which is manifest and config, and one for each layer. What a registry gets
more is for tokens, for redirects, for its refusals, and for the question whether the login may push.
"""
from pathlib import Path

import pytest

from tests.functional.registry_profiles.conftest import Start
from tests.hostile.in_process import run_here
from tests.services.registry_profiles import PROFILES, Profile
from tests.services.registry_profiles.content import content_of, put_image

PLAIN = {'push': 19, 'verify': 6, 'pull': 6, 'mirror': 163}
MOST = {
    'docker-hub': (32, 13, 12, 295), 'ecr': (26, 9, 11, 223), 'ecr-public': (28, 10, 12, 272), 'gar': (28, 10, 12, 252),
    'ghcr': (30, 10, 12, 272), 'gitlab': (31, 13, 12, 306), 'harbor': (27, 9, 8, 242), 'quay': (33, 12, 13, 292),
    'quay-3.12': (28, 10, 12, 252), 'artifactory': (25, 8, 7, 213), 'nexus': (25, 8, 7, 191),
    'nexus-tokens': (27, 9, 8, 211), 'acr': (28, 10, 12, 252), 'gitea': (27, 9, 8, 242),
    'zot': (24, 7, 6, 211)}
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
