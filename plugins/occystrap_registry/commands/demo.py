"""The command `demo`: the newcomer's first run, on a sample image and an embedded registry, with nothing installed."""
import os
import secrets
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import click
from occystrap_core import OccystrapError
from occystrap_core.files import print_lines
from occystrap_core.oci import Descriptor, Digest, Manifest, media_types
from occystrap_core.testing.sample import sample_config, sample_layers
from occystrap_registry.transport.http_library import httpx

_NAME = 'sample:v1'


@click.command()
@click.option('--folder', 'directory', type=click.Path(file_okay=False),
              help='Where to work (default: a new temporary directory).')
def demo(directory: str | None) -> None:
    """Show what occystrap does: mirror a sample image with proof, then damage a copy and see it found."""
    from occystrap_registry.server.admission import USER
    from occystrap_registry.server.server_thread import RegistryServer
    place = Path(directory or tempfile.mkdtemp(prefix='occystrap-demo-')).absolute()
    place.mkdir(parents=True, exist_ok=True)
    if any(place.iterdir()):
        raise click.UsageError(f'{place} is not empty: name a new directory')
    password = secrets.token_hex(16)  # all users of the machine reach the port
    os.environ.update(OCCYSTRAP_USERNAME=USER, OCCYSTRAP_PASSWORD=password)
    with RegistryServer(place / 'registry', password=password) as server:
        _push_sample(server.host, (USER, password))
        _tell(f'A registry with a sample image of three layers runs at {server.host} for the length of this demo.')
        _mirror(server.host, place)
    _tell('The registry is gone. What was written can still be proved, from the receipt, in a new process:')
    _run(f'occystrap verify {place}/receipt.json --verify=full', expected=0)
    _damage(place)
    _tell(f'That is all. Look around in {place}: mirror/ and sample.tar are whole, damaged/ and cut/ are not.')


def _mirror(host: str, place: Path) -> None:
    _tell('Mirror it into a directory. Verification by reading back is on by default:')
    _run(f'occystrap process registry://{host}/{_NAME} dir://{place}/mirror', expected=0)
    _tell('And into a docker archive, every layer hashed again, times set to zero on the way, with a receipt:')
    _run(f'occystrap process registry://{host}/{_NAME} tar://{place}/sample.tar -f normalize-timestamps '
         f'--verify=full --receipt {place}/receipt.json', expected=0)


def _damage(place: Path) -> None:
    flipped, cut = place / 'damaged', place / 'cut'
    for copy in (flipped, cut):
        shutil.copytree(place / 'mirror', copy)
    _flip_one_byte(_largest_layer(flipped))
    _tell('Now one byte of a layer is flipped in a copy. Its size is right, so fast verification sees nothing:')
    _run(f'occystrap verify dir://{flipped} --verify=fast', expected=0)
    _tell('A full one, which hashes every byte, does:')
    _run(f'occystrap verify dir://{flipped} --verify=full', expected=1)
    os.truncate(_largest_layer(cut), 1024)
    _tell('A layer that is cut short is seen by the fast one too:')
    _run(f'occystrap verify dir://{cut} --verify=fast', expected=1)


def _tell(text: str) -> None:
    print_lines(['', text])


def _run(command: str, expected: int) -> None:
    """Show a command, run it, and stop the demo when it does not end as it should."""
    print_lines([f'  $ {command}'])
    words = [sys.executable, '-P', '-m', 'occystrap_core', *shlex.split(command)[1:]]
    done = subprocess.run(words, stderr=subprocess.STDOUT, stdout=subprocess.PIPE, text=True)
    print_lines(f'    {line}' for line in (*done.stdout.splitlines(), f'(exit code {done.returncode})'))
    if done.returncode != expected:
        raise OccystrapError(f'the demo expected exit code {expected} here: something is wrong with this installation')


def _push_sample(host: str, login: tuple[str, str]) -> None:
    """Put the sample image into the registry, by the plain requests that the distribution spec has for it."""
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
