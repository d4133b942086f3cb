"""HTTP/2 with a registry behind nginx, which logs the protocol of each request."""
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.functional.archives import write_archive_of_noise
from tests.services.command_line import CommandLine
from tests.services.registry import Registry
from tests.services.sample import put_sample_image

pytestmark = pytest.mark.xdist_group('registry')


def protocols(front: Registry, methods: tuple[str, ...] = ('GET', 'HEAD')) -> set[str]:
    """Return the protocols of the requests of occystrap over TLS that nginx had, of these methods."""
    lines = [line.split('"') for line in front.log.read_text().splitlines() if 'occystrap/' in line]
    return {parts[1].rpartition(' ')[2] for parts in lines
            if parts[1].startswith(methods) and not parts[2].startswith(' 400')}


@pytest.mark.parametrize(('query', 'protocol'), [('?http2=true', 'HTTP/2.0'), ('', 'HTTP/1.1')])
def test_an_image_comes_and_goes(query: str, protocol: str, registry: Registry, nginx: Callable[..., Registry],
                                 occystrap: CommandLine) -> None:
    put_sample_image(registry, 'http2/sample', 'v1')
    front = nginx(registry)
    occystrap('process', f'registry://{front.host}/http2/sample:v1{query}', 'dir://out').assert_success()
    occystrap('process', 'dir://out', f'registry://{front.host}/http2/{protocol[-3]}:v1{query}', '--verify=full',
              '-f', 'normalize-timestamps:ts=5', '-J', '4').assert_success()
    assert protocols(front, ('GET', 'HEAD')) == {protocol}
    assert protocols(front, ('PUT', 'PATCH')) == {'HTTP/1.1'}


def test_large_layers_and_several_connections(registry: Registry, nginx: Callable[..., Registry],
                                              occystrap: CommandLine, tmp_path: Path) -> None:
    front = nginx(registry)
    archive = write_archive_of_noise(tmp_path, 40 << 20)
    for source, destination in [(f'tar://{archive}', f'registry://{front.host}/http2/large:v1?http2=true'),
                                (f'registry://{front.host}/http2/large:v1?http2=true', 'dir://out')]:
        occystrap('process', source, destination, '--verify=full').assert_success()
    assert protocols(front) == {'HTTP/2.0'}


def test_a_server_that_offers_none(registry: Registry, nginx: Callable[..., Registry], occystrap: CommandLine) -> None:
    front = nginx(registry, http2=False)
    put_sample_image(registry, 'http2/sample', 'v1')
    occystrap('process', f'registry://{front.host}/http2/sample:v1?http2=true', 'dir://out').assert_success()
    assert protocols(front) == {'HTTP/1.1'}


def test_a_proxy_that_takes_no_large_bodies(registry_factory: Callable[[], Registry], nginx: Callable[..., Registry],
                                            occystrap: CommandLine, tmp_path: Path) -> None:
    target = registry_factory()
    front = nginx(target, client_max_body_size='1m')
    archive = write_archive_of_noise(tmp_path, 5 << 20)
    occystrap('process', f'tar://{archive}', f'registry://{front.host}/large/app:v1?http2=true').assert_success()
    cut, *patches = [each for each in target.requests() if each.startswith('PATCH ')]
    assert not cut.endswith(' 202'), 'the one of unknown length'
    assert len(patches) >= 6 and all(each.endswith(' 202') for each in patches)
