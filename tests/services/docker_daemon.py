"""Docker daemons: their own data, socket and mounts, apart from any daemon that the machine may run."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.services.directories import service_directory
from tests.services.processes import running
from tests.services.requirements import require_program, require_root


@dataclass(frozen=True)
class DockerDaemon:
    """A running daemon behind a unix socket."""

    socket: Path
    log: Path

    @property
    def address(self) -> str:
        """What goes into DOCKER_HOST: `unix:///…/docker.sock`."""
        return f'unix://{self.socket}'

    def run(self, *arguments: str | Path, timeout: float = 600.0, config: Path | None = None) -> str:
        """Runs `docker` with the arguments on this daemon and returns its standard output, stripped.

        Raises RuntimeError with the command's error output if it fails; `timeout` is in seconds, `config` the one of
        its settings.
        """
        command = [require_program('docker', 'docker.io'), '-H', self.address, *map(str, arguments)]
        # No settings or credentials of the user; the classic builder, as BuildKit's needs a plugin in newer clients.
        environment = {**os.environ, 'DOCKER_CONFIG': str(config or self.log.parent / 'cli'), 'DOCKER_BUILDKIT': '0'}
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, env=environment)
        if done.returncode:
            raise RuntimeError(f'docker {arguments[0]} ended with code {done.returncode}: {done.stderr.strip()}')
        return done.stdout.strip()

    def answers(self) -> bool:
        """Whether the daemon answers requests."""
        if not self.socket.exists():
            return False
        try:
            return bool(self.run('version', '--format', '{{.Server.Version}}', timeout=10))
        except (RuntimeError, subprocess.TimeoutExpired):
            return False


@contextmanager
def docker_daemon(*flags: str) -> Iterator[DockerDaemon]:
    """The machine's dockerd (Debian 12: Docker 20.10) without network, with an empty overlay2 store, and more flags."""
    require_root('dockerd')
    require_program('docker', 'docker.io')
    program = [require_program('dockerd', 'docker.io')]
    with service_directory('docker') as directory:
        daemon = DockerDaemon(directory / 'docker.sock', directory / 'log')
        # With a mount namespace of its own nothing stays mounted, however the daemon ends.
        command = [require_program('unshare', 'util-linux'), '-m', *program, *daemon_flags(directory), *flags]
        with running(command, log=daemon.log, ready=daemon.answers):
            yield daemon


def daemon_flags(directory: Path) -> list[str]:
    """The flags of a dockerd that keeps all that is its own in `directory` and leaves the network alone."""
    return [
        '--data-root', f'{directory}/data', '--exec-root', f'{directory}/exec', '-p', f'{directory}/pid',
        '-H', f'unix://{directory}/docker.sock', '--iptables=false', '--ip6tables=false', '--bridge=none',
    ]
