"""All pairs of source and destination of the sample image, at both levels; a ring of them of the real one, or with
OCCYSTRAP_TEST_ALL=1 all; independent witnesses agree."""
import filecmp
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.functional.images import (
    SCHEMES, MovableImage, Places, exported, image_id_in_daemon, prepare_sources, raw_manifest, skopeo,
)
from tests.services.command_line import CommandLine
from tests.services.docker_daemon import DockerDaemon
from tests.services.measured import run_measured
from tests.services.real_image import RealImage
from tests.services.registry import Registry
from tests.services.requirements import EVERYTHING
from tests.services.sample import put_sample_image

MEMORY_CAP = 100.0
PAIRS = [(source, destination) for source in SCHEMES for destination in SCHEMES]
RING = PAIRS if EVERYTHING else list(zip(SCHEMES, (*SCHEMES[1:], SCHEMES[0])))
"""The pairs that the real image goes through: each scheme as a source and as a destination, or all of them."""


@pytest.fixture(scope='session')
def sample(registry: Registry, docker_daemon: DockerDaemon, tmp_path_factory: pytest.TempPathFactory) -> MovableImage:
    """The sample image at every kind of source."""
    made = put_sample_image(registry, 'sample', 'v1')
    sources = prepare_sources('sample:v1', f'{registry.host}/sample:v1', tmp_path_factory.mktemp('sample'),
                              docker_daemon)
    return MovableImage('sample', made['image_id'], made['manifest'], 3, sources)


@pytest.fixture(scope='session')
def real(real_registry: Registry, real_image: RealImage, real_archive: Path, docker_with_real_image: DockerDaemon,
         tmp_path_factory: pytest.TempPathFactory) -> MovableImage:
    """The real image at every kind of source."""
    sources = prepare_sources('real:v1', f'{real_registry.host}/real:v1', tmp_path_factory.mktemp('real'),
                              docker_with_real_image, real_archive)
    return MovableImage('real', real_image.config_digest, real_image.manifest_digest, len(real_image.diff_ids),
                        sources)


@pytest.fixture
def places(registry: Registry, docker_daemon: DockerDaemon, tmp_path: Path) -> Iterator[Places]:
    """Where to write."""
    yield Places(registry, docker_daemon, tmp_path)


def move(image: MovableImage, pair: tuple[str, str], level: str, again_at: str, places: Places,
         occystrap: CommandLine) -> None:
    """Move the image, see that it says so, and verify again from the receipt in a new process, at another level."""
    source, destination = pair
    name = f'pairs/{image.name}-{source}-{destination}-{level}'
    receipt = places.directory / 'receipt.json'
    with places.fresh(destination, name) as target:
        if destination == 'registry' and image.name == 'real':
            target += '?compression=gzip-fast'  # 600 MB three times over; the sample has the usual one
        words = ('process', image.sources[source], target, f'--verify={level}', '--receipt', receipt)
        if image.name == 'real':
            result, resident = run_measured(occystrap, *words)
            assert resident < MEMORY_CAP
        else:
            result = occystrap(*words)
        result.assert_success()
        last = result.err.splitlines()[-1]
        assert last.startswith(f'Summary: 1/1 image, {image.layers} layers, '), last
        assert last.endswith(', 1/1 verified'), last
        assert json.loads(receipt.read_text())['image_id'] == image.image_id
        again = occystrap('verify', receipt, f'--verify={again_at}').assert_success()
        assert again.err.splitlines()[-1].endswith(', 1/1 verified')
        witness(image, source, destination, name, places)


def witness(image: MovableImage, source: str, destination: str, name: str, places: Places) -> None:
    """Ask a tool that knows nothing of occystrap what is there."""
    if destination == 'registry':
        manifest = raw_manifest(places.registry, f'{name}:v1')
        assert json.loads(manifest)['config']['digest'] == image.image_id
        if source == 'registry':
            assert f'sha256:{hashlib.sha256(manifest).hexdigest()}' == image.manifest_digest
        skopeo('copy', '--src-tls-verify=false', f'docker://{places.registry.host}/{name}:v1',
               f'dir:{places.directory}/witness')
    elif destination == 'docker':
        assert image_id_in_daemon(places.daemon, f'{name}:v1') == image.image_id
    elif destination == 'tar':
        config = skopeo('inspect', '--config', '--raw', f'docker-archive:{places.directory}/out.tar')
        assert f'sha256:{hashlib.sha256(config.encode()).hexdigest()}' == image.image_id
    else:
        manifest_file = json.loads((places.directory / 'out/manifest.json').read_text())
        config_file = places.directory / 'out' / manifest_file[0]['Config']
        assert f'sha256:{hashlib.sha256(config_file.read_bytes()).hexdigest()}' == image.image_id


@pytest.mark.parametrize('pair', PAIRS, ids='-'.join)
def test_sample_image(pair: tuple[str, str], sample: MovableImage, places: Places, occystrap: CommandLine) -> None:
    source, destination = pair
    levels = ['fast', 'full']  # each scheme has both from either side, as it is written and in a later look
    if (SCHEMES.index(source) + SCHEMES.index(destination)) % 2:
        levels.reverse()
    move(sample, pair, *levels, places, occystrap)


@pytest.mark.parametrize('pair', RING, ids='-'.join)
def test_real_image(pair: tuple[str, str], real: MovableImage, places: Places, occystrap: CommandLine) -> None:
    move(real, pair, 'full', 'fast', places, occystrap)


def test_archive_is_loaded_and_runs(real: MovableImage, real_image: RealImage, places: Places,
                                    occystrap: CommandLine) -> None:
    occystrap('process', real.sources['registry'],
              f'tar://{places.directory}/out.tar?tag=pairs/run:v1').assert_success()
    places.daemon.run('load', '-i', places.directory / 'out.tar')
    assert image_id_in_daemon(places.daemon, 'pairs/run:v1') == real.image_id
    assert places.daemon.run('run', '--rm', '--network', 'none', 'pairs/run:v1') == real_image.greeting


def test_filters_in_a_row_change_what_they_were_asked_to(
        real: MovableImage, real_image: RealImage, places: Places, occystrap: CommandLine) -> None:
    archive, again = places.directory / 'out.tar', places.directory / 'again.tar'
    filtered = ('-f', 'exclude:pattern=/usr/share/doc,*.md', '-f', 'normalize-timestamps:ts=9')
    occystrap('process', real.sources['registry'], f'tar://{archive}?tag=pairs/after:v1', *filtered, '--verify=full'
              ).assert_success()
    if EVERYTHING:
        occystrap('process', real.sources['registry'], f'tar://{again}?tag=pairs/after:v1', *filtered, '--no-verify'
                  ).assert_success()
        assert filecmp.cmp(archive, again, shallow=False)
        again.unlink()
    places.daemon.run('load', '-i', archive)
    before, after = exported(places.daemon, 'real:v1'), exported(places.daemon, 'pairs/after:v1')
    gone = {path for path in before if f'{path}/'.startswith('usr/share/doc/') or path.endswith('.md')}
    assert gone and set(before) - set(after) == gone
    made_by_docker = {'.dockerenv', 'dev', 'etc', 'etc/hosts', 'etc/hostname', 'etc/resolv.conf', 'etc/mtab'}
    for path, (*what, mtime) in after.items():
        assert what == list(before[path][:-1]), path
        assert mtime == 9 or path.split('/')[0] in ('dev', 'proc', 'sys') or path in made_by_docker, path
    assert places.daemon.run('run', '--rm', '--network', 'none', 'pairs/after:v1') == real_image.greeting


def test_oci_archive_keeps_the_manifest_and_skopeo_reads_it(real: MovableImage, places: Places,
                                                            occystrap: CommandLine) -> None:
    archive = places.directory / 'out.oci.tar'
    occystrap('process', real.sources['registry'], f'tar://{archive}?format=oci', '--verify=full', '--receipt',
              'receipt').assert_success()
    occystrap('verify', 'receipt', '--verify=fast').assert_success()
    skopeo('inspect', f'oci-archive:{archive}')
    target = f'{places.registry.host}/pairs/oci:v1'
    skopeo('copy', '--dest-tls-verify=false', f'oci-archive:{archive}', f'docker://{target}')
    back = f'registry://{places.registry.host}/pairs/oci-back:v1'
    occystrap('process', f'tar://{archive}', back, '--verify=fast', '--receipt', 'back').assert_success()
    occystrap('verify', 'back', '--verify=full').assert_success()
    manifest = raw_manifest(places.registry, 'pairs/oci-back:v1')
    assert f'sha256:{hashlib.sha256(manifest).hexdigest()}' == real.manifest_digest


@pytest.mark.parametrize('compression', ['gzip', 'gzip-fast', 'zstd'])
def test_compressions_are_read_by_skopeo(compression: str, sample: MovableImage, places: Places,
                                         occystrap: CommandLine) -> None:
    name = f'pairs/{compression}'
    target = f'registry://{places.registry.host}/{name}:v1?compression={compression}'
    occystrap('process', sample.sources['tar'], target, '--verify=full').assert_success()
    skopeo('copy', '--src-tls-verify=false', '--dest-decompress', f'docker://{places.registry.host}/{name}:v1',
           f'dir:{places.directory}/witness')
