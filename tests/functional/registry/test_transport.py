"""How blobs travel: mounted where they can be, in chunks where they must, over few connections."""
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.functional.archives import write_archive_of_noise
from tests.functional.images import raw_manifest
from tests.services.command_line import CommandLine
from tests.services.registry import Registry
from tests.services.sample import put_sample_image


def sent_blobs(requests: list[str]) -> list[str]:
    """Return the uploads that were finished with bytes, among a registry's requests."""
    return [each for each in requests if each.startswith(('PUT /v2/', 'PATCH /v2/')) and '/blobs/uploads/' in each]


@pytest.mark.parametrize('tag', ['v1', 'v2'])
def test_blobs_of_the_same_registry_are_mounted(tag: str, registry_factory: Callable[[], Registry],
                                                occystrap: CommandLine) -> None:
    registry = registry_factory()
    put_sample_image(registry, 'first/app', 'v1')
    before = len(registry.requests())
    occystrap('process', f'registry://{registry.host}/first/app:v1',
              f'registry://{registry.host}/second/app:{tag}', '--verify=full').assert_success()
    requests = registry.requests()[before:]
    mounts = [each for each in requests if 'mount=' in each]
    assert len(mounts) == 3 and all(each.endswith(' 201') and 'from=first%2Fapp' in each for each in mounts)
    assert len(sent_blobs(requests)) == 1, 'the config alone'
    assert raw_manifest(registry, f'second/app:{tag}') == raw_manifest(registry, 'first/app:v1')


def test_a_layer_of_several_images_is_sent_once_and_mounted(registry_factory: Callable[[], Registry],
                                                            occystrap: CommandLine, tmp_path: Path) -> None:
    source, target = registry_factory(), registry_factory()
    put_sample_image(source, 'team/app', 'v1')
    names = [f'{source.host}/team/app:v1', *(f'{source.host}/team/app-{number}:v1' for number in range(5))]
    for name in names[1:]:
        put_sample_image(source, name.partition('/')[2].rpartition(':')[0], 'v1')
    (tmp_path / 'images.txt').write_text('\n'.join(names))
    occystrap('process', 'list://images.txt', f'registry://{target.host}/mirror/{{repository}}:{{tag}}', '-J', '6',
              '-f', 'normalize-timestamps:ts=5').assert_success()
    requests = target.requests()
    assert len(sent_blobs(requests)) == 3 + 6, 'three layers once, a config for each image'
    assert len([each for each in requests if 'mount=' in each]) == 5 * 3


def test_a_proxy_that_takes_no_large_bodies(registry_factory: Callable[[], Registry], nginx: Callable[..., Registry],
                                            occystrap: CommandLine, tmp_path: Path) -> None:
    target = registry_factory()
    front = nginx(target, client_max_body_size='1m')
    archive = write_archive_of_noise(tmp_path, 5 << 20)
    occystrap('process', f'tar://{archive}', f'registry://{front.host}/large/app:v1', '--verify=full').assert_success()
    cut, *patches = [each for each in target.requests() if each.startswith('PATCH ')]
    assert not cut.endswith(' 202'), 'the one of unknown length'
    assert len(patches) >= 6 and all(each.endswith(' 202') for each in patches)


def test_connections_are_kept_for_the_run(registry_factory: Callable[[], Registry], occystrap: CommandLine,
                                          tmp_path: Path) -> None:
    source = registry_factory()
    for number in range(40):
        put_sample_image(source, f'team/app-{number}', 'v1')
    result = occystrap('process', f'registry://{source.host}/team/*:v1', 'dir://out?unique_names=true', '-J', '4',
                       wrapper=('prlimit', '--nofile=100'))
    assert result.assert_success().err.splitlines()[-1].endswith('40/40 verified')
