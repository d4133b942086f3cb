"""Debian 13 in a directory, for newer peers than this machine has: Docker 26.1 and skopeo 1.18."""

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.services.cache import built_once
from tests.services.debian_root import debian_root
from tests.services.directories import service_directory
from tests.services.docker_daemon import DockerDaemon, daemon_flags
from tests.services.processes import running
from tests.services.requirements import ServiceUnavailable, require_program, require_root

VERSION = '1'
PACKAGES = ('docker.io', 'docker-cli', 'skopeo')
INSIDE = Path('/srv')

# Runs in a mount namespace of its own ($1 root, $2 directory that appears as /srv): all mounts end with it.
# runc's pivot_root asks for a root that is a mount point.
ENTER = '''
mount --bind "$1" "$1"
for each in proc sys dev; do mount --rbind "/$each" "$1/$each"; done
mount --bind "$2" "$1/srv"
root=$1; shift 2
exec chroot "$root" "$@"
'''


def trixie_root() -> Path:
    """The cached root directory of Debian 13, built by the first who asks (about a minute)."""
    require_root('Debian 13 in a directory')
    return built_once('trixie', VERSION, _build) / 'root'


def trixie_command(directory: Path, command: Sequence[str]) -> list[str]:
    """The command line that runs `command` inside Debian 13, where `directory` appears as /srv."""
    enter = [require_program('unshare', 'util-linux'), '-m', 'sh', '-ec', ENTER, 'sh']
    return [*enter, str(trixie_root()), str(directory), *command]


def run_in_trixie(directory: Path, *command: str, timeout: float = 600.0) -> str:
    """Runs a command inside Debian 13 (`skopeo`, …) with `directory` as /srv and returns its output, stripped.

    Raises RuntimeError with the command's error output if it fails; `timeout` is in seconds.
    """
    done = subprocess.run(trixie_command(directory, command), capture_output=True, text=True, timeout=timeout)
    if done.returncode:
        raise RuntimeError(f'{command[0]} ended with code {done.returncode}: {done.stderr.strip()}')
    return done.stdout.strip()


def trixie_program(name: str, version: str) -> Path:
    """The path of the program of a package, cached as `name-version`, fetched by the first who asks.

    Raises ServiceUnavailable if it cannot be fetched, or does not run here.
    """
    program = built_once(name, version, lambda directory: _fetch(directory, name)) / f'unpacked/usr/bin/{name}'
    try:
        subprocess.run([program, 'version'], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as problem:
        raise ServiceUnavailable(f'{name} of Debian 13 does not run here: {problem}') from None
    return program


def _fetch(directory: Path, name: str) -> None:
    fetch = f'cd /srv; apt-get -qq update; apt-get -qq download {name}; dpkg -x {name}_*.deb unpacked; rm {name}_*.deb'
    try:
        run_in_trixie(directory, 'sh', '-ec', fetch)
    except RuntimeError as problem:
        raise ServiceUnavailable(f'{name} cannot be fetched: {problem}') from None


@contextmanager
def docker26_daemon() -> Iterator[DockerDaemon]:
    """Docker 26.1 without network, with an empty store; its `docker save` has the OCI layout."""
    require_program('docker', 'docker.io')
    with service_directory('docker26') as directory:
        daemon = DockerDaemon(directory / 'docker.sock', directory / 'log')
        command = trixie_command(directory, ['dockerd', *daemon_flags(INSIDE)])
        with running(command, log=daemon.log, ready=daemon.answers):
            yield daemon


def _build(directory: Path) -> None:
    root = directory / 'root'
    debian_root('trixie', root, ['ca-certificates'])
    install = (
        'export DEBIAN_FRONTEND=noninteractive\n'
        # Nothing may start a service from a chroot.
        'printf "#!/bin/sh\\nexit 101\\n" > /usr/sbin/policy-rc.d; chmod +x /usr/sbin/policy-rc.d\n'
        f'apt-get update; apt-get install -y --no-install-recommends {" ".join(PACKAGES)}; apt-get clean'
    )
    enter = ['unshare', '-m', 'sh', '-ec', ENTER, 'sh', str(root), str(directory), 'sh', '-ec', install]
    done = subprocess.run(enter, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        raise ServiceUnavailable(f'Debian 13 could not install its packages: {done.stdout[-500:]}')


if __name__ == '__main__':
    print(trixie_root())
