"""The jobs that are measured: each command does the same work, on the same image."""
import hashlib
import json
import subprocess
import sys
import venv
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx

from benchmarks.turns import Job

PEER = 'occystrap==0.4.17'
Command = Callable[[Path, str], Sequence[object]]
"""Makes a command of the directory to write to and the host of an empty registry."""
FIRST = 3
"""Layers that the published program can unpack, without verifying: Debian, Python packages, node modules."""
OCI_MANIFEST = 'application/vnd.oci.image.manifest.v1+json'
DOCKER_MANIFEST = 'application/vnd.docker.distribution.manifest.v2+json'
_READ = ('get', 'sha256 of blobs')
_STORED = (*_READ, 'write blobs')
_PLAIN = (*_READ, 'inflate', 'sha256 of tars', 'write tars')
_SKOPEO = ['skopeo', '--insecure-policy', 'copy', '--src-tls-verify=false', '--dest-tls-verify=false']


class Programs:
    """The commands of all programs for one image, at `reference` of the registry at `source` and in `archive`."""

    def __init__(self, source: str, reference: str, archive: Path, peer: Path) -> None:
        """`peer` is the directory of the published program."""
        program = str(Path(sys.executable).with_name('occystrap'))
        self.copy, self.search = [program, '-q', 'process'], [program, '-q', 'search']
        self.unsynced = [*self.copy, '--no-sync']
        self.peer = [peer / 'python', peer / 'occystrap', '--insecure']
        self.ours, self.theirs = f'registry://{source}/{reference}', f'docker://{source}/{reference}'
        self.archive, self.source, self.reference = archive, source, reference

    def unsynced_to(self, uri: str, *options: str) -> Command:
        """Return our copy from the registry, on the disk as soon as the system likes, as the others write."""
        return lambda to, host: [*self.unsynced, self.ours, uri.format(to=to), *options]

    def peer_to(self, uri: str, *options: str) -> Command:
        """Return the copy of the published program."""
        return lambda to, host: [*self.peer, 'process', self.ours, uri.format(to=to), *options]

    def skopeo_to(self, name: str, *options: str) -> Command:
        """Return skopeo's copy from the registry."""
        return lambda to, host: [*_SKOPEO, *options, self.theirs, name.format(to=to, host=host)]

    def pushed(self, query: str = '') -> Command:
        """Return our push of the archive."""
        return lambda to, host: [*self.copy, f'tar://{self.archive}', f'registry://{host}/copy:v1{query}']

    def skopeo_pushed(self, *options: str) -> Command:
        """Return skopeo's push of the archive."""
        return lambda to, host: [*_SKOPEO, *options, f'docker-archive:{self.archive}', f'docker://{host}/copy:v1']


def jobs(run: Programs) -> list[Job]:
    """Return the jobs that work with any image."""
    return [
        Job('registry → dir', {
            'occystrap': run.unsynced_to('dir://{to}/d'), '0.4.17': run.peer_to('dir://{to}/d'),
            'skopeo': run.skopeo_to('dir:{to}/d', '--dest-decompress')}, unavoidable=_PLAIN),
        Job('registry → tar', {
            'occystrap': run.unsynced_to('tar://{to}/a.tar'), '0.4.17': run.peer_to('tar://{to}/a.tar'),
            'skopeo': run.skopeo_to('docker-archive:{to}/a.tar')}, unavoidable=_PLAIN),
        Job('registry → layout', {
            'occystrap': run.unsynced_to('layout://{to}/l'), 'skopeo': run.skopeo_to('oci:{to}/l:v1')},
            unavoidable=_STORED),
        Job('registry → OCI archive', {
            'occystrap': run.unsynced_to('tar://{to}/a.tar?format=oci'),
            'skopeo': run.skopeo_to('oci-archive:{to}/a.tar:v1')}, unavoidable=_STORED),
        Job('registry → registry, cold', {
            'occystrap': lambda to, host: [*run.copy, run.ours, f'registry://{host}/copy:v1'],
            'skopeo': run.skopeo_to('docker://{host}/copy:v1')}, True, ('get', 'put')),
        Job('tar → registry, gzip', {'occystrap': run.pushed(), 'skopeo': run.skopeo_pushed()}, True,
            ('sha256 of tars', 'deflate', 'sha256 of blobs', 'put')),
        Job('tar → registry, gzip-fast', {
            'occystrap': run.pushed('?compression=gzip-fast'), 'skopeo': run.skopeo_pushed()}, True),
        Job('tar → registry, zstd', {
            'occystrap': run.pushed('?compression=zstd'),
            'skopeo': run.skopeo_pushed('--dest-compress-format', 'zstd')}, True),
        Job('registry → tar, timestamps normalised', {
            'occystrap': run.unsynced_to('tar://{to}/a.tar', '-f', 'normalize-timestamps'),
            '0.4.17': run.peer_to('tar://{to}/a.tar', '-f', 'normalize-timestamps')}, unavoidable=_PLAIN),
        Job('registry → tar, *.pyc excluded', {
            'occystrap': run.unsynced_to('tar://{to}/a.tar', '-f', 'exclude:pattern=*.pyc'),
            '0.4.17': run.peer_to('tar://{to}/a.tar', '-f', 'exclude:pattern=*.pyc')}, unavoidable=_PLAIN),
        Job('search for *.conf', {
            'occystrap': lambda to, host: [*run.search, run.ours, '*.conf'],
            '0.4.17': lambda to, host: [*run.peer, 'search', run.ours, '*.conf']}, unavoidable=(*_READ, 'inflate')),
        Job('registry → oci', {
            'occystrap': run.unsynced_to('oci://{to}/b'),
            'skopeo and umoci': lambda to, host: unpacking(f'{run.source}/{run.reference}', to)}),
    ]


def jobs_of_first_layers(run: Programs) -> list[Job]:
    """Return what is measured with `real:first`, which the published program can unpack."""
    return [Job(f'registry → oci, the first {FIRST} layers', {
        'occystrap': run.unsynced_to('oci://{to}/b'),
        '0.4.17': lambda to, host: [*run.peer, '--no-verify', 'process', run.ours, f'oci://{to}/b'],
        'skopeo and umoci': lambda to, host: unpacking(f'{run.source}/{run.reference}', to)})]


def unpacking(image: str, to: Path) -> list[str]:
    """Return the command that unpacks an image of a registry with skopeo and umoci."""
    return ['sh', '-ec', f'skopeo --insecure-policy copy --src-tls-verify=false docker://{image} oci:{to}/l:v1; '
                         f'umoci unpack --image {to}/l:v1 {to}/b']


def push_first_layers(host: str) -> None:
    """Tag an image of the real image's first layers `real:first`: 0.4.17 cannot unpack the others.

    In one of those a directory becomes a file, which it takes for an error.
    """
    with httpx.Client(base_url=f'http://{host}/v2/real') as client:
        manifest = client.get('/manifests/v1', headers={'Accept': f'{OCI_MANIFEST}, {DOCKER_MANIFEST}'}).json()
        config = client.get(f'/blobs/{manifest["config"]["digest"]}').json()
        config['rootfs']['diff_ids'] = config['rootfs']['diff_ids'][:FIRST]
        config['history'] = [each for each in config['history'] if not each.get('empty_layer')][:FIRST]
        raw = json.dumps(config).encode()
        begun = client.post('/blobs/uploads/').raise_for_status()
        target = httpx.URL(begun.headers['Location'])
        digest = f'sha256:{hashlib.sha256(raw).hexdigest()}'
        client.put(target.copy_merge_params({'digest': digest}), content=raw).raise_for_status()
        manifest['layers'] = manifest['layers'][:FIRST]
        manifest['config'] |= {'digest': digest, 'size': len(raw)}
        client.put('/manifests/first', content=json.dumps(manifest).encode(),
                   headers={'Content-Type': manifest['mediaType']}).raise_for_status()


def install_peer(directory: Path) -> None:
    """Put the published program into a virtual environment of its own."""
    venv.create(directory / 'venv', with_pip=True)
    subprocess.run([directory / 'venv/bin/pip', 'install', '-q', PEER], check=True)
