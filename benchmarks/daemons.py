"""Times docker:// and dockerpush:// beside the docker command: `python -m benchmarks.daemons [WORD…] [--daemon 26]`.

Every job runs in turn with its peers on the real image, several rounds, in a daemon of its own that has the image where
it is the source and has none where it is the destination. Needs root. TMPDIR says where daemon and results lie.
"""
import argparse
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from benchmarks.jobs import install_peer
from benchmarks.turns import Job, Measured, chosen, in_turn, place, table
from tests.functional.docker.conftest import start_containerd
from tests.services.cache import built_once
from tests.services.docker_daemon import DockerDaemon, docker_daemon
from tests.services.real_image import real_image, real_registry
from tests.services.real_layers import LARGE
from tests.services.registry import plain_registry
from tests.services.trixie import docker26_daemon

Start = Callable[[], AbstractContextManager[DockerDaemon]]
DAEMONS: dict[str, Start] = {
    '20.10': docker_daemon, '26': docker26_daemon, 'containerd': start_containerd}
NAME = 'made/real:v1'
OURS = [str(Path(sys.executable).with_name('occystrap')), '-q', 'process']


def reading(daemon: DockerDaemon, full: str, peer: Path) -> list[Job]:
    """Return the jobs that take the image out of the daemon; the registry at `full` has its layers already."""
    ours, theirs, docker = OURS, published(peer), docker_command(daemon)
    there = f'?socket={daemon.socket}'
    exported, pushed = f'docker://{NAME}{there}', f'dockerpush://{NAME}{there}'
    return [
        Job('docker → tar', {
            'occystrap --no-sync': lambda to, _: [*ours, '--no-sync', exported, f'tar://{to}/a.tar'],
            'occystrap --no-sync --no-verify': lambda to, _: [*ours, '--no-sync', '--no-verify', exported,
                                                              f'tar://{to}/a.tar'],
            'occystrap dockerpush --no-sync': lambda to, _: [*ours, '--no-sync', pushed, f'tar://{to}/a.tar'],
            'docker save': lambda to, _: [*docker, 'save', '-o', f'{to}/a.tar', NAME],
            'docker save; openssl dgst -sha256': lambda to, _: saving_and_hashing(docker, f'{to}/a.tar'),
            '0.4.17 --no-verify': lambda to, _: [*theirs, exported, f'tar://{to}/a.tar']}),
        Job('docker → registry, cold', {
            'occystrap gzip-fast': lambda to, host: [*ours, exported, f'registry://{host}/r:v1?compression=gzip-fast'],
            'occystrap dockerpush': lambda to, host: [*ours, pushed, f'registry://{host}/r:v1'],
            'docker push': lambda to, host: pushing(docker, f'{host}/r:v1')}, True),
        Job('docker → registry, layers there', {
            'occystrap': lambda to, _: [*ours, exported, f'registry://{full}/made:again'],
            'occystrap dockerpush': lambda to, _: [*ours, pushed, f'registry://{full}/made:again'],
            'docker push': lambda to, _: pushing(docker, f'{full}/made:again')}),
    ]


def writing(daemon: DockerDaemon, source: str, archive: Path, peer: Path) -> list[Job]:
    """Return the jobs that bring the image into the daemon, from a registry and from an archive."""
    ours, theirs, docker = OURS, published(peer), docker_command(daemon)
    image, to_daemon = f'registry://{source}/real:v1', f'docker://written/real:v1?socket={daemon.socket}'
    return [
        Job('registry → docker', {
            'occystrap': lambda to, _: [*ours, image, to_daemon],
            'docker pull': lambda to, _: [*docker, 'pull', '-q', f'{source}/real:v1'],
            '0.4.17 --no-verify': lambda to, _: [*theirs, image, to_daemon]}),
        Job('tar → docker', {
            'occystrap': lambda to, _: [*ours, f'tar://{archive}', to_daemon],
            'docker load': lambda to, _: [*docker, 'load', '-q', '-i', archive],
            '0.4.17 --no-verify': lambda to, _: [*theirs, f'tar://{archive}', to_daemon]}),
    ]


def published(peer: Path) -> list[object]:
    """Return how the published program's command begins."""
    return [peer / 'python', peer / 'occystrap', '--insecure', '--no-verify', 'process']


def docker_command(daemon: DockerDaemon) -> list[str]:
    """Return how the docker command begins."""
    return ['docker', '-H', daemon.address]


def pushing(docker: Sequence[str], target: str) -> list[str]:
    """Return the command that tags and pushes the image with the docker command."""
    return ['sh', '-ec', f'"$@" tag {NAME} {target}; "$@" push -q {target}; "$@" rmi {target}', 'sh', *docker]


def saving_and_hashing(docker: Sequence[str], archive: str) -> list[str]:
    """Return the command that saves the image with the docker command, and then hashes it."""
    return ['sh', '-ec', f'"$@" save -o {archive} {NAME}; openssl dgst -sha256 {archive}', 'sh', *docker]


@contextmanager
def emptied(daemon: DockerDaemon, registry: bool) -> Iterator[tuple[Path, str]]:
    """Give what `place` does; the daemon has no image before and after."""
    with place(registry) as found:
        yield found
        daemon.run('system', 'prune', '-a', '-f')


def measured(words: Sequence[str], rounds: int, start: Start = docker26_daemon) -> Iterator[Measured]:
    """Yield what each program took at the jobs whose names contain one of the words, all without words."""
    peer = built_once('peer', '0.4.17', install_peer) / 'venv/bin'
    with ExitStack() as stack:
        source = stack.enter_context(real_registry(LARGE))
        full = stack.enter_context(plain_registry(Path(stack.enter_context(tempfile.TemporaryDirectory()))))
        daemon = stack.enter_context(start())
        for job in chosen(writing(daemon, source.host, real_image(LARGE).archive, peer), words):
            yield Measured(job.name, in_turn(job, rounds, lambda registry: emptied(daemon, registry)))
        if jobs := chosen(reading(daemon, full.host, peer), words):
            daemon.run('pull', '-q', f'{source.host}/real:v1')
            daemon.run('tag', f'{source.host}/real:v1', NAME)
            subprocess.run(pushing(docker_command(daemon), f'{full.host}/made:v1'), check=True)
        for job in jobs:
            yield Measured(job.name, in_turn(job, rounds))


def main() -> None:
    """Measure with the daemon that is chosen, and print tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('words', nargs='*', metavar='WORD')
    parser.add_argument('--rounds', type=int, default=5)
    parser.add_argument('--daemon', choices=DAEMONS, default='26')
    arguments = parser.parse_args()
    for each in measured(arguments.words, arguments.rounds, DAEMONS[arguments.daemon]):
        print(f'\n### {each.job}\n{table(each.taken)}', flush=True)


if __name__ == '__main__':
    main()
