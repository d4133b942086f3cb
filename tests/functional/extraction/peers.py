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
"""How the folders begin in which stacks are side by side."""


def tars_of(stack: Stack) -> list[bytes]:
    """Return the layers as tars, no two of them the same."""
    return [layer(*entries) + bytes(512 * number) for number, entries in enumerate(stack)]


def write_layout(folder: Path, tars: Sequence[bytes]) -> None:
    """Write an OCI layout whose image is tagged `v1`."""
    shutil.rmtree(folder, ignore_errors=True)
    blobs = folder / 'blobs/sha256'
    blobs.mkdir(parents=True)

    def keep(kind: str, data: bytes) -> dict[str, Any]:
        (blobs / hex_of(data)).write_bytes(data)
        return {'mediaType': f'application/vnd.oci.image.{kind}', 'digest': f'sha256:{hex_of(data)}', 'size': len(data)}

    manifest = {'schemaVersion': 2, 'config': keep('config.v1+json', sample_config(tars)),
                'layers': [keep('layer.v1.tar', tar) for tar in tars]}
    pointer = keep('manifest.v1+json', json.dumps(manifest).encode())
    pointer['annotations'] = {'org.opencontainers.image.ref.name': 'v1'}
    (folder / 'index.json').write_text(json.dumps({'schemaVersion': 2, 'manifests': [pointer]}))
    (folder / 'oci-layout').write_text('{"imageLayoutVersion": "1.0.0"}')


def umoci_unpack(umoci: str, layout: Path, rootfs: Path) -> str:
    """Unpack a layout's image, and return what went wrong, or nothing."""
    done = subprocess.run([umoci, 'raw', 'unpack', '--image', f'{layout}:v1', rootfs], capture_output=True, text=True)
    return done.stderr.strip() if done.returncode else ''


def side_by_side(many: Sequence[Stack]) -> Stack:
    """Return one stack in which each is in a folder of its own, since a daemon takes long for each image."""
    moved = [[_moved(entries, f'{STACK}{number}') for entries in stack] for number, stack in enumerate(many)]
    return tuple(tuple(entry for entries in level for entry in entries or ()) for level in zip_longest(*moved))


def _moved(entries: Sequence[Entry], top: str) -> list[Entry]:
    def inside(path: str | bytes) -> str:
        text = path.decode() if isinstance(path, bytes) else path
        return f'{top}/{text}'
    folder = Entry(f'{top}/', tarfile.DIRTYPE, mode=0o755)
    return [folder, *(replace(entry, name=inside(entry.name), link=inside(entry.link) if entry.kind == tarfile.LNKTYPE
                              else entry.link) for entry in entries)]


def docker_export(daemon: DockerDaemon, folder: Path, tars: Sequence[bytes]) -> Path:
    """Load an image into the daemon, and return the folder into which GNU tar unpacked what a container of it has."""
    said = daemon.run('load', '-i', save_image(folder / 'image.tar', *tars))
    image = said.rpartition('Loaded image: ')[2]
    container = daemon.run('create', image, 'x')
    target = folder / 'docker'
    target.mkdir()
    try:
        daemon.run('export', '-o', folder / 'export.tar', container)
    finally:
        daemon.run('rm', container)
        daemon.run('rmi', image)
    subprocess.run(['tar', '-xpf', folder / 'export.tar', '-C', target, '--numeric-owner', '--xattrs',
                    '--xattrs-include=security.capability'], check=True, capture_output=True)
    return target
