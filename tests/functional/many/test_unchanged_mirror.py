"""What a mirror costs in a night in which nothing moved, by the access logs of real registries."""
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from tests.conftest import require_service
from tests.functional.many.mirroring import AT_ONCE, counted_before
from tests.services.command_line import CommandLine
from tests.services.registry import Registry, plain_registry
from tests.services.registry_storage import RegistryStorage
from tests.services.requirements import EVERYTHING
from tests.services.tagged_images import TaggedImages

REPOSITORIES, RELEASES = (10, 18) if EVERYTHING else (5, 10)
"""Products of so many releases each; `latest` and `stable` are the newest ones once more."""
IMAGES = REPOSITORIES * (RELEASES + 2)
ALL_VERIFIED = f'{IMAGES}/{IMAGES} verified'
AT_FIRST = 9
"""Requests of `/v2/` in a run: one for http or https, and one for each image of the first that are verified at once."""
BASE = ('system', 'runtime')
Pair = tuple[Registry, Registry]


def put_releases(images: TaggedImages, prefix: str) -> list[str]:
    """Put the images of all products, and return their names."""
    names = []
    for product in range(REPOSITORIES):
        repository = f'{prefix}team/app-{product}'
        tags = {f'v{release}': release for release in range(RELEASES)}
        for tag, release in {**tags, 'latest': RELEASES - 1, 'stable': RELEASES - 2}.items():
            images.put(repository, tag, f'{product}-{release}', BASE)
            names.append(f'team/app-{product}:{tag}')
    return names


@pytest.fixture(scope='module')
def releases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Pair, list[str]]]:
    """A registry and its mirror, which is complete after each test; the names of all images."""
    directory = tmp_path_factory.mktemp('releases')
    for name, prefix in (('source', ''), ('mirror', 'mirror/')):
        names = put_releases(TaggedImages(RegistryStorage(directory / name)), prefix)
    with (require_service(partial(plain_registry, directory / 'source')) as source,
          require_service(partial(plain_registry, directory / 'mirror')) as mirror):
        yield (source, mirror), names


@pytest.fixture
def mirrored(releases: tuple[Pair, list[str]], occystrap: CommandLine) -> Pair:
    """The registry and its mirror; no receipt says that it is complete."""
    (source, mirror), names = releases
    (occystrap.directory / 'images').write_text(''.join(f'registry://{source.host}/{name}\n' for name in names))
    return source, mirror


def process(occystrap: CommandLine, mirror: Registry) -> Callable[..., list[str]]:
    """Return what runs the mirror with more options and returns the last line."""
    def run(*more: str) -> list[str]:
        result = occystrap('process', 'list://images', f'registry://{mirror.host}/mirror/{{repository}}:{{tag}}',
                           *AT_ONCE, *more).assert_success()
        assert counted_before(result) == IMAGES and result.err.splitlines()[-1].endswith(ALL_VERIFIED), result
        return result.err.splitlines()
    return run


def methods(registry: Registry, begun: int) -> Counter[str]:
    """Count the requests since the log had so many, but for those that find out how to log in."""
    requests = [each.split() for each in registry.requests()[begun:]]
    assert sum(path == '/v2/' for _, path, _ in requests) <= AT_FIRST
    return Counter(method for method, path, _ in requests if path != '/v2/')


def test_an_unchanged_mirror_costs_one_request_an_image_there_and_three_here(mirrored: Pair, occystrap: CommandLine,
                                                                             ) -> None:
    source, mirror = mirrored
    night = process(occystrap, mirror)
    for more in ((), ('--receipt', 'done'), ('--receipt', 'done', '--resume', 'done')):
        begun = [len(registry.requests()) for registry in mirrored]
        night(*more)
        there, here = methods(source, begun[0]), methods(mirror, begun[1])
        assert there == {'HEAD': IMAGES}, more
        assert set(here) <= {'GET', 'HEAD'} and here.total() <= 3 * IMAGES, (more, here)


def test_lost_images_are_not_unchanged(mirrored: Pair, occystrap: CommandLine) -> None:
    """A blob that one repository has lost is found, though others have it; so is one whose bytes are gone."""
    source, mirror = mirrored
    base, *_, own = source.layers_of('team/app-3', 'v7')
    mirror.unlink_blob('mirror/team/app-3', base)
    mirror.remove_blob(own)
    result = occystrap('process', 'list://images', f'registry://{mirror.host}/mirror/{{repository}}:{{tag}}', *AT_ONCE)
    assert result.assert_success().err.splitlines()[-1].endswith(ALL_VERIFIED)
    assert 0 < counted_before(result) < IMAGES and mirror.blob_path(own).exists()
    begun = len(source.requests())
    process(occystrap, mirror)()
    assert methods(source, begun) == {'HEAD': IMAGES}
