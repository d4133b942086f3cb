"""What the registry of the pages, `registry.example`, has before any command is run."""
import io
import json
import shutil
import tarfile
from pathlib import Path

from occystrap_core.oci.media_types import OCI_INDEX
from occystrap_core.testing.sample import sample_config, sample_layers
from tests.functional.archives import write_docker_archive
from tests.hostile.in_process import run_here
from tests.services.registry import Registry
from tests.services.tiny_image import layer_tar, put_tiny_image
from tests.services.uploads import put_manifest

TINY = {'team/app': ('v1.1', 'v1.2', '1.3'), 'team/base': ('1.1', '1.2'), 'library/busybox': ('1.36', ),
        'web': ('v2', ), 'app': ('v1.2', ), 'quay/openstack.kolla/nova-api': ('2025.1', ), 'quay/org/tool': ('v1', )}


def write_runnable(path: Path, *tags: str) -> Path:
    """Write an archive of an image that runs anywhere: ldconfig needs no other file."""
    program = io.BytesIO()
    with tarfile.open(fileobj=program, mode='w') as tar:
        tar.add('/sbin/ldconfig', 'usr/bin/ldconfig')
    layers = [*sample_layers(), program.getvalue()]
    config = json.loads(sample_config(layers))
    config['config'] = {'Cmd': ['/usr/bin/ldconfig', '--version'], 'Labels': {'pages': ''}}
    return write_docker_archive(path, json.dumps(config).encode(), layers, *tags)


def write_builds(directory: Path) -> None:
    """Write archives of two builds of one thing, which differ in times and in what builds leave behind."""
    for number in (1, 2):
        files = {'app': b'the same', 'var/log/build.log': b'%d' % number, 'lib/a.pyc': b'%d' % number}
        layer = io.BytesIO()
        with tarfile.open(fileobj=layer, mode='w') as tar:
            for name, data in files.items():
                member = tarfile.TarInfo(name)
                member.size, member.mtime = len(data), number
                tar.addfile(member, io.BytesIO(data))
        raw = layer.getvalue()
        write_docker_archive(directory / f'build-{number}.tar', sample_config([raw]), [raw], 'app:v1')


def fill(registry: Registry, directory: Path) -> None:
    """Put the images there; `directory` is for what is needed on the way."""
    for number in (1, 2):
        layers = [layer_tar({'etc/app.conf': b'colour %d\n' % number, 'etc/secret': b'hunter2\n'}),
                  layer_tar({'etc/.wh.secret': b''})]
        archive = write_docker_archive(directory / 'app.tar', sample_config(layers), layers, f'app:v{number}')
        run_here('process', f'tar://{archive}', f'registry://{registry.host}/team/app:v{number}').assert_success()
    archive = write_runnable(directory / 'runs.tar', 'app:v1')
    run_here('process', f'tar://{archive}', f'registry://{registry.host}/app:v1').assert_success()
    for name, tags in TINY.items():
        for tag in tags:
            put_tiny_image(registry, name, tag, files={'etc/name': f'{name}:{tag}'.encode()})
    images = [put_tiny_image(registry, 'quay/org/app', architecture=each) for each in ('amd64', 'arm64')]
    index = {'schemaVersion': 2, 'mediaType': OCI_INDEX, 'manifests': images}
    put_manifest(registry, 'quay/org/app', json.dumps(index).encode(), OCI_INDEX, 'v1')


def replace(storage: Path, other: Path | None) -> None:
    """Have a registry store what another did, or nothing."""
    shutil.rmtree(storage / 'docker', ignore_errors=True)
    if other:
        shutil.copytree(other, storage / 'docker')
