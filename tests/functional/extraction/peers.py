"""What others unpack a stack to: umoci by a layout made by hand, a Docker daemon by an archive."""
import json
import shutil
import subprocess
import tarfile
from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

from occystrap_core.testing.sample import sample_config
from tests.functional.extraction.stack_strategy import Stack
from tests.hostile.extraction.stacks import Entry, layer, save_image
from tests.services.docker_daemon import DockerDaemon
from tests.unit.tar.archives import hex_of

STACK = 'stack-'
"""How the directories begin in which stacks are side by side."""


def tars_of(stack: Stack) -> list[bytes]:
    """Return the layers as tars, no two of them the same."""
    return [layer(*entries) + bytes(512 * number) for number, entries in enumerate(stack)]


def write_layout(directory: Path, tars: Sequence[bytes]) -> None:
    """Write an OCI layout whose image is tagged `v1`."""
    shutil.rmtree(directory, ignore_errors=True)
    blobs = directory / 'blobs/sha256'
    blobs.mkdir(parents=True)

    def keep(kind: str, data: bytes) -> dict[str, Any]:
        (blobs / hex_of(data)).write_bytes(data)
        return {'mediaType': f'application/vnd.oci.image.{kind}', 'digest': f'sha256:{hex_of(data)}', 'size': len(data)}

    manifest = {'schemaVersion': 2, 'config': keep('config.v1+json', sample_config(tars)),
                'layers': [keep('layer.v1.tar', tar) for tar in tars]}
    pointer = keep('manifest.v1+json', json.dumps(manifest).encode())
    pointer['annotations'] = {'org.opencontainers.image.ref.name': 'v1'}
    (directory / 'index.json').write_text(json.dumps({'schemaVersion': 2, 'manifests': [pointer]}))
    (directory / 'oci-layout').write_text('{"imageLayoutVersion": "1.0.0"}')


def umoci_unpack(umoci: str, layout: Path, rootfs: Path) -> str:
    """Unpack a layout's image, and return what went wrong, or nothing."""
    done = subprocess.run([umoci, 'raw', 'unpack', '--image', f'{layout}:v1', rootfs], capture_output=True, text=True)
    return done.stderr.strip() if done.returncode else ''


def side_by_side(many: Sequence[Stack]) -> Stack:
    """Return one stack in which each is in a directory of its own, since a daemon takes long for each image."""
    moved = [[_moved(entries, f'{STACK}{number}') for entries in stack] for number, stack in enumerate(many)]
    return tuple(tuple(entry for entries in level for entry in entries or ()) for level in zip_longest(*moved))


def _moved(entries: Sequence[Entry], top: str) -> list[Entry]:
    def inside(path: str | bytes) -> str:
        text = path.decode() if isinstance(path, bytes) else path
        return f'{top}/{text}'
    directory = Entry(f'{top}/', tarfile.DIRTYPE, mode=0o755)
    return [directory, *(replace(entry, name=inside(entry.name),
                                 link=inside(entry.link) if entry.kind == tarfile.LNKTYPE
                                 else entry.link) for entry in entries)]


def docker_export(daemon: DockerDaemon, directory: Path, tars: Sequence[bytes]) -> Path:
    """Load an image into the daemon, and return where GNU tar unpacked what a container of it has."""
    output = daemon.run('load', '-i', save_image(directory / 'image.tar', *tars))
    image = output.rpartition('Loaded image: ')[2]
    container = daemon.run('create', image, 'x')
    target = directory / 'docker'
    target.mkdir()
    try:
        daemon.run('export', '-o', directory / 'export.tar', container)
    finally:
        daemon.run('rm', container)
        daemon.run('rmi', image)
    subprocess.run(['tar', '-xpf', directory / 'export.tar', '-C', target, '--numeric-owner', '--xattrs',
                    '--xattrs-include=security.capability'], check=True, capture_output=True)
    return target
