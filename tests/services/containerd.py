"""containerd of its own (Debian's package), without Docker, and its client ctr."""
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.services.directories import service_directory
from tests.services.processes import running
from tests.services.requirements import require_program, require_root

# Plugins that reach for the machine's network, devices or mounts; only images are needed.
_CONFIG = '''version = 2
root = '{directory}/root'
state = '{directory}/state'
disabled_plugins = ['io.containerd.grpc.v1.cri', 'io.containerd.snapshotter.v1.btrfs',
  'io.containerd.snapshotter.v1.devmapper', 'io.containerd.snapshotter.v1.zfs', 'io.containerd.snapshotter.v1.aufs',
  'io.containerd.internal.v1.opt', 'io.containerd.tracing.processor.v1.otlp', 'io.containerd.internal.v1.tracing']
[grpc]
address = '{directory}/c.sock'
[ttrpc]
address = '{directory}/t.sock'
'''


@dataclass(frozen=True)
class Containerd:
    """A running daemon."""

    socket: Path

    def ctr(self, *arguments: str | Path) -> str:
        """Run ctr with the arguments; return what it printed. Raises RuntimeError if it fails."""
        command = [require_program('ctr', 'containerd'), '-a', self.socket, *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        if done.returncode:
            raise RuntimeError(f'ctr {" ".join(map(str, arguments))}: {done.stderr.strip()}')
        return done.stdout

    def answers(self) -> bool:
        """Whether the daemon answers."""
        try:
            return self.socket.exists() and bool(self.ctr('version'))
        except (RuntimeError, subprocess.TimeoutExpired):
            return False


@contextmanager
def containerd() -> Iterator[Containerd]:
    """Run one with an empty store; it needs root."""
    require_root('containerd')
    program = require_program('containerd', 'containerd')
    with service_directory('containerd') as directory:
        (directory / 'config.toml').write_text(_CONFIG.format(directory=directory))
        daemon = Containerd(directory / 'c.sock')
        command = [require_program('unshare', 'util-linux'), '-m', program, '-c', f'{directory}/config.toml']
        with running(command, log=directory / 'log', ready=daemon.answers):
            yield daemon
