"""The command `demo`: a first run on a sample image and an embedded registry, without anything else installed."""
import os
import secrets
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click
import httpx
from occystrap_core import OccystrapError, OutputError
from occystrap_core.files import output_errors, print_lines, size_text
from occystrap_core.oci import Descriptor, Digest, Manifest, media_types
from occystrap_core.testing.sample import sample_config, sample_layers

_NAME = 'sample:v1'
_ROOM = 2 << 20
"""Bytes; what the demo leaves is a quarter of that."""


@click.command()
@click.option('--folder', 'directory', type=click.Path(file_okay=False),
              help='Where to work (default: a new temporary directory).')
def demo(directory: str | None) -> None:
    """Mirror a sample image with verification, then damage copies and show that verification finds it."""
    from occystrap_registry.server.access import USER
    from occystrap_registry.server.server_thread import RegistryServer
    place = Path(directory or tempfile.mkdtemp(prefix='occystrap-demo-')).absolute()
    _require_room(place)
    with output_errors(str(place)):
        place.mkdir(parents=True, exist_ok=True)
    if any(place.iterdir()):
        raise click.UsageError(f'{place} is not empty: choose a new directory')
    password = secrets.token_hex(16)  # all users of the machine can reach the port
    os.environ.update(OCCYSTRAP_USERNAME=USER, OCCYSTRAP_PASSWORD=password)
    with RegistryServer(place / 'registry', password=password) as server:
        _push_sample(server.host, (USER, password))
        _print(f'A registry with a sample image of three layers runs at {server.host} during this demo.')
        _mirror(server.host, place)
    _print('The registry has stopped. The archive can still be verified with its receipt, in a new process:')
    _run(['verify', f'{place}/receipt.json', '--verify=full'], expected=0)
    _damage(place)
    _print(f'That is all. In {place}, mirror/ and sample.tar are intact, damaged/ and cut/ are not.')


def _require_room(place: Path) -> None:
    """Raise OutputError unless there is room for the demo where `place` is, or will be."""
    free = shutil.disk_usage(next(each for each in (place, *place.parents) if each.exists())).free
    if free < _ROOM:
        raise OutputError(f'{place}: the demo needs {size_text(_ROOM)}, and {size_text(free)} are free: choose a '
                          'directory on another disk with --folder')


def _mirror(host: str, place: Path) -> None:
    _print('Mirror the image into a directory. Copies are verified by default:')
    _run(['process', f'registry://{host}/{_NAME}', f'dir://{place}/mirror'], expected=0)
    _print('And into a docker archive, with all times set to zero, every layer hashed again, and a receipt:')
    _run(['process', f'registry://{host}/{_NAME}', f'tar://{place}/sample.tar', '-f', 'normalize-timestamps',
          '--verify=full', '--receipt', f'{place}/receipt.json'], expected=0)


def _damage(place: Path) -> None:
    flipped, cut = place / 'damaged', place / 'cut'
    for copy in (flipped, cut):
        shutil.copytree(place / 'mirror', copy)
    _flip_one_byte(_largest_layer(flipped))
    _print('One byte of a layer is changed in a copy. Its size is right, so fast verification does not find it:')
    _run(['verify', f'dir://{flipped}', '--verify=fast'], expected=0)
    _print('Full verification, which hashes every byte, does:')
    _run(['verify', f'dir://{flipped}', '--verify=full'], expected=1)
    os.truncate(_largest_layer(cut), 1024)
    _print('A truncated layer is found by fast verification too:')
    _run(['verify', f'dir://{cut}', '--verify=fast'], expected=1)


def _print(text: str) -> None:
    print_lines(['', text])


def _run(words: Sequence[str], expected: int) -> None:
    """Show a command and its output; raises OccystrapError for another exit code than `expected`."""
    print_lines([f'  $ {shlex.join(["occystrap", *words])}'])
    command = [sys.executable, '-P', '-m', 'occystrap_core', *words]
    done = subprocess.run(command, stderr=subprocess.STDOUT, stdout=subprocess.PIPE, text=True)
    print_lines(f'    {line}' for line in (*done.stdout.splitlines(), f'(exit code {done.returncode})'))
    if done.returncode != expected:
        raise OccystrapError(f'the demo expected exit code {expected}, got {done.returncode}: reinstall occystrap')


def _push_sample(host: str, login: tuple[str, str]) -> None:
    """Push the sample image to the registry, by plain requests of the distribution spec."""
    tars = sample_layers()
    blobs = [sample_config(tars), *tars]
    config, *layers = [Descriptor(media_types.OCI_LAYER, Digest.of(blob), len(blob)) for blob in blobs]
    manifest = Manifest.build(Descriptor(media_types.OCI_CONFIG, config.digest, config.size), layers)
    name, _, tag = _NAME.partition(':')
    with httpx.Client(base_url=f'http://{host}/v2/{name}', trust_env=False, auth=login) as client:
        for blob in blobs:
            client.post('/blobs/uploads/', params={'digest': Digest.of(blob)}, content=blob).raise_for_status()
        headers = {'Content-Type': manifest.media_type}
        client.put(f'/manifests/{tag}', content=manifest.raw, headers=headers).raise_for_status()


def _largest_layer(directory: Path) -> Path:
    return max(directory.rglob('layer.tar'), key=lambda path: path.stat().st_size)


def _flip_one_byte(path: Path) -> None:
    with open(path, 'r+b') as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))
