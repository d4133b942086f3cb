"""A real image, built once per machine: `python -m tests.services.real_image` builds and describes it.

The cache holds a registry's storage with `real:v1` (as Docker 20.10 pushed it) and `multi:v1` (an index: amd64 is
`real:v1`, arm64 is tiny), and the archive that `docker save` wrote. Both belong to all runs: copy before you change.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tests.services.cache import built_once
from tests.services.directories import service_directory
from tests.services.docker_daemon import DockerDaemon, docker_daemon
from tests.services.real_layers import GREETING_LINE, LARGE, SMALL, Contents, write_context
from tests.services.registry import Registry, plain_registry
from tests.services.registry_storage import RegistryStorage
from tests.services.requirements import EVERYTHING
from tests.services.tiny_image import put_tiny_image
from tests.services.uploads import mount_blob, put_manifest

NAME = 'real:v1'
MULTI = 'multi:v1'
INDEX_TYPE = 'application/vnd.oci.image.index.v1+json'
OF_TESTS = LARGE if EVERYTHING else SMALL


@dataclass(frozen=True)
class RealImage:
    """The cached image: where it is and what a copy of it must be."""

    registry_root: Path
    archive: Path
    manifest_digest: str
    config_digest: str
    layer_digests: tuple[str, ...]
    diff_ids: tuple[str, ...]
    greeting: str = GREETING_LINE


def real_image(contents: Contents = OF_TESTS) -> RealImage:
    """The cached image, built by the first who asks (one to three minutes, root, a package mirror)."""
    directory = built_once(contents.name, contents.version, partial(_build, contents))
    storage = RegistryStorage(directory / 'registry')
    manifest_digest = storage.tag_digest(*NAME.split(':'))
    manifest = json.loads(storage.read_blob(manifest_digest))
    config = json.loads(storage.read_blob(manifest['config']['digest']))
    return RealImage(
        storage.root, directory / 'real.tar', manifest_digest, manifest['config']['digest'],
        tuple(layer['digest'] for layer in manifest['layers']), tuple(config['rootfs']['diff_ids']),
    )


@contextmanager
def real_registry(contents: Contents = OF_TESTS) -> Iterator[Registry]:
    """An open registry with `real:v1` and `multi:v1`, on its own copy of the cached storage: damage stays in it."""
    with service_directory('real') as directory:
        root = Path(shutil.copytree(real_image(contents).registry_root, directory / 'storage'))
        with plain_registry(root) as registry:
            yield registry


def _build(contents: Contents, directory: Path) -> None:
    context = directory / 'context'
    context.mkdir()
    write_context(context, contents)
    with docker_daemon() as daemon, plain_registry(directory / 'registry') as registry:
        _build_and_push(daemon, registry, context)
        daemon.run('save', '-o', directory / 'real.tar', NAME)
        _push_index(registry)
    shutil.rmtree(context)


def _build_and_push(daemon: DockerDaemon, registry: Registry, context: Path) -> None:
    daemon.run('build', '--network', 'none', '-t', NAME, context)
    output = daemon.run('run', '--rm', '--network', 'none', NAME)
    if output != GREETING_LINE:
        raise RuntimeError(f'the real image says {output!r}, not {GREETING_LINE!r}')
    daemon.run('tag', NAME, f'{registry.host}/{NAME}')
    daemon.run('push', f'{registry.host}/{NAME}')


def _push_index(registry: Registry) -> None:
    repository, _, tag = MULTI.partition(':')
    manifests = [_mount_real_image(registry, repository), put_tiny_image(registry, repository, architecture='arm64')]
    index = {'schemaVersion': 2, 'mediaType': INDEX_TYPE, 'manifests': manifests}
    put_manifest(registry, repository, json.dumps(index).encode(), INDEX_TYPE, tag)


def _mount_real_image(registry: Registry, repository: str) -> dict[str, Any]:
    origin, _, tag = NAME.partition(':')
    data = registry.read_blob(registry.tag_digest(origin, tag))
    manifest = json.loads(data)
    for blob in [manifest['config'], *manifest['layers']]:
        mount_blob(registry, repository, blob['digest'], origin)
    descriptor = put_manifest(registry, repository, data, manifest['mediaType'])
    return {**descriptor, 'platform': {'os': 'linux', 'architecture': 'amd64'}}


if __name__ == '__main__':
    print(json.dumps(asdict(real_image()), default=str, indent=2))
