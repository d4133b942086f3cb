"""The API service of Podman, which answers Docker's API."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.services.directories import service_directory
from tests.services.docker_daemon import DockerDaemon
from tests.services.processes import running
from tests.services.requirements import require_program, require_root


WITHOUT_DPKG = 'mount --bind /bin/false /usr/bin/dpkg; exec "$@"'
"""Whenever it is asked for its version, Podman asks dpkg who brought two programs: a quarter of a second each time."""


@dataclass(frozen=True)
class PodmanService(DockerDaemon):
    """A running Podman service; `run` speaks to it with Docker's CLI, `podman` works on its store directly."""

    storage: tuple[str, ...]

    def podman(self, *arguments: str | Path, timeout: float = 600.0) -> str:
        """Runs `podman` on the service's own store and returns its standard output, stripped.

        Raises RuntimeError with the command's error output if it fails; `timeout` is in seconds.
        """
        command = [require_program('podman', 'podman'), *self.storage, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
        if done.returncode:
            raise RuntimeError(f'podman {arguments[0]} ended with code {done.returncode}: {done.stderr.strip()}')
        return done.stdout.strip()


@contextmanager
def podman_service() -> Iterator[PodmanService]:
    """Podman's API service with an empty store of its own."""
    require_root('the Podman service')
    require_program('docker', 'docker.io')
    program = require_program('podman', 'podman')
    with service_directory('podman') as directory:
        storage = ('--root', f'{directory}/data', '--runroot', f'{directory}/run', '--storage-driver', 'vfs')
        service = PodmanService(directory / 'podman.sock', directory / 'log', storage)
        command = [
            require_program('unshare', 'util-linux'), '-m', 'sh', '-c', WITHOUT_DPKG, 'sh',
            program, *storage, 'system', 'service', '-t', '0', service.address,
        ]
        with running(command, log=service.log, ready=service.answers):
            yield service
