"""Times occystrap beside the published program 0.4.17 and skopeo: `python -m benchmarks.against_peers [--rounds 5]`.

Every job runs in turn with its peers on the same real image and registry, several rounds; printed are medians of wall
seconds, CPU seconds and peak resident MB, and the ratio of each peer's wall time to ours. Needs root, for building the
real image once, and a package index for the peer.
"""
import argparse
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.services.cache import built_once
from tests.services.real_image import real_image, real_registry
from tests.services.real_layers import LARGE
from tests.services.registry import plain_registry

PEER = 'occystrap==0.4.17'
FIRST = 3
"""Layers that the published program can unpack, without verifying: Debian, Python packages, node modules."""
OCI_MANIFEST = 'application/vnd.oci.image.manifest.v1+json'
DOCKER_MANIFEST = 'application/vnd.docker.distribution.manifest.v2+json'


_ENVIRONMENT = {name: value for name, value in os.environ.items() if name != 'PYTHONDONTWRITEBYTECODE'}
"""Without bytecode every start would compile what has changed since the program was installed."""


@dataclass(frozen=True)
class Taken:
    """What one command took."""

    wall: float
    cpu: float
    resident: float


@dataclass(frozen=True)
class Job:
    """One piece of work; each command gets the directory to write to and the host of an empty registry."""

    name: str
    commands: dict[str, Callable[[Path, str], Sequence[object]]]
    registry: bool = False


def jobs(source: str, archive: Path, peer: Path) -> list[Job]:
    """Return the jobs; `source` is the host of the registry with the real image, `peer` a directory of programs."""
    ours = [str(Path(sys.executable).with_name('occystrap')), '-q', 'process']
    image, first = f'registry://{source}/real:v1', f'registry://{source}/real:first'
    theirs = [peer / 'python', peer / 'occystrap', '--insecure']
    looking = [str(Path(sys.executable).with_name('occystrap')), '-q', 'search']
    skopeo = ['skopeo', '--insecure-policy', 'copy', '--src-tls-verify=false', '--dest-tls-verify=false']
    return [
        Job('registry → dir', {
            'occystrap --no-sync': lambda to, _: [*ours, '--no-sync', image, f'dir://{to}/d'],
            'occystrap': lambda to, _: [*ours, image, f'dir://{to}/d'],
            '0.4.17': lambda to, _: [*theirs, 'process', image, f'dir://{to}/d'],
            'skopeo': lambda to, _: [*skopeo, '--dest-decompress', f'docker://{source}/real:v1', f'dir:{to}/d']}),
        Job('registry → tar', {
            'occystrap --no-sync': lambda to, _: [*ours, '--no-sync', image, f'tar://{to}/a.tar'],
            'occystrap': lambda to, _: [*ours, image, f'tar://{to}/a.tar'],
            '0.4.17': lambda to, _: [*theirs, 'process', image, f'tar://{to}/a.tar'],
            'skopeo': lambda to, _: [*skopeo, f'docker://{source}/real:v1', f'docker-archive:{to}/a.tar']}),
        Job('registry → tar, timestamps normalised', {
            'occystrap --no-sync': lambda to, _: [*ours, '--no-sync', image, f'tar://{to}/a.tar', '-f',
                                                  'normalize-timestamps'],
            '0.4.17': lambda to, _: [*theirs, 'process', image, f'tar://{to}/a.tar', '-f', 'normalize-timestamps']}),
        Job('registry → tar, *.pyc excluded', {
            'occystrap --no-sync': lambda to, _: [*ours, '--no-sync', image, f'tar://{to}/a.tar', '-f',
                                                  'exclude:pattern=*.pyc'],
            '0.4.17': lambda to, _: [*theirs, 'process', image, f'tar://{to}/a.tar', '-f', 'exclude:pattern=*.pyc']}),
        Job('registry → oci, all layers', {
            'occystrap --no-sync': lambda to, _: [*ours, '--no-sync', image, f'oci://{to}/b'],
            'skopeo and umoci': lambda to, _: unpacking(f'{source}/real:v1', to)}),
        Job(f'registry → oci, the first {FIRST} layers', {
            'occystrap --no-sync': lambda to, _: [*ours, '--no-sync', first, f'oci://{to}/b'],
            'occystrap': lambda to, _: [*ours, first, f'oci://{to}/b'],
            '0.4.17 --no-verify': lambda to, _: [*theirs, '--no-verify', 'process', first, f'oci://{to}/b'],
            'skopeo and umoci': lambda to, _: unpacking(f'{source}/real:first', to)}),
        Job('search for *.conf in a registry', {
            'occystrap': lambda to, _: [*looking, image, '*.conf'],
            '0.4.17': lambda to, _: [*theirs, 'search', image, '*.conf']}),
        Job('registry → registry, cold', {
            'occystrap': lambda to, host: [*ours, image, f'registry://{host}/real:v1'],
            '0.4.17': lambda to, host: [*theirs, 'process', image, f'registry://{host}/real:v1'],
            'skopeo': lambda to, host: [*skopeo, f'docker://{source}/real:v1', f'docker://{host}/real:v1']}, True),
        Job('tar → registry, cold', {
            'occystrap': lambda to, host: [*ours, f'tar://{archive}', f'registry://{host}/real:v1'],
            'occystrap gzip-fast': lambda to, host: [*ours, f'tar://{archive}',
                                                     f'registry://{host}/real:v1?compression=gzip-fast'],
            'skopeo': lambda to, host: [*skopeo, f'docker-archive:{archive}', f'docker://{host}/real:v1']}, True),
    ]


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


def take(command: Sequence[object]) -> Taken:
    """Run a command and return what it took; ends the program when it fails."""
    words = [str(word) for word in command]
    with tempfile.TemporaryFile() as output:
        started = time.perf_counter()
        process = subprocess.Popen(words, stdout=output, stderr=output, env=_ENVIRONMENT)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        if process.returncode:
            raise SystemExit(f'{words} failed: {output.read().decode()}')
    return Taken(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


@contextmanager
def place(registry: bool) -> Iterator[tuple[Path, str]]:
    """Give an empty directory and, where wanted, an empty registry; nothing unwritten is left to disturb the next."""
    directory = Path(tempfile.mkdtemp(prefix='occystrap-benchmark-'))
    try:
        if registry:
            with plain_registry(directory / 'storage') as empty:
                yield directory, empty.host
        else:
            yield directory, ''
    finally:
        shutil.rmtree(directory)
        os.sync()


def compare(job: Job, rounds: int,
            provide: Callable[[bool], AbstractContextManager[tuple[Path, str]]] = place) -> None:
    """Run a job's commands in turn, `rounds` times, each in a place that `provide` gives, and print a table."""
    taken: dict[str, list[Taken]] = {name: [] for name in job.commands}
    for _ in range(rounds):
        for name, command in job.commands.items():
            with provide(job.registry) as (directory, host):
                taken[name].append(take(command(directory, host)))
    ours = statistics.median(each.wall for each in next(iter(taken.values())))
    print(f'\n### {job.name}\n| program | wall s | CPU s | resident MB | wall, as a multiple of the first |')
    print('| --- | --- | --- | --- | --- |')
    for name, all_taken in taken.items():
        wall, cpu = (statistics.median(getattr(each, what) for each in all_taken) for what in ('wall', 'cpu'))
        resident = max(each.resident for each in all_taken)
        print(f'| {name} | {wall:.2f} | {cpu:.2f} | {resident:.0f} | {wall / ours:.2f} |', flush=True)


def install_peer(directory: Path) -> None:
    """Put the published program into a virtual environment of its own."""
    venv.create(directory / 'venv', with_pip=True)
    subprocess.run([directory / 'venv/bin/pip', 'install', '-q', PEER], check=True)


def main() -> None:
    """Run all jobs, or those whose names contain the argument."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('only', nargs='?', default='')
    parser.add_argument('--rounds', type=int, default=5)
    arguments = parser.parse_args()
    peer = built_once('peer', '0.4.17', install_peer) / 'venv/bin'
    with real_registry(LARGE) as source:
        push_first_layers(source.host)
        for job in jobs(source.host, real_image(LARGE).archive, peer):
            if arguments.only in job.name:
                compare(job, arguments.rounds)


if __name__ == '__main__':
    main()
