"""The two engines with Docker's API: their default sockets, and how to start them."""
import os
from typing import NamedTuple


class Engine(NamedTuple):
    """One engine; the environment variable `variable` holds its address, `start` is the command that starts it."""

    name: str
    title: str
    variable: str
    start: str

    def sockets(self) -> list[str]:
        """Return its default sockets in order of preference: with Podman, root prefers the system's."""
        if self is DOCKER:
            return ['/var/run/docker.sock', f'{_runtime_directory()}/docker.sock']
        directories = dict.fromkeys((_runtime_directory(), _usual_directory()))
        rootless = [f'{directory}/podman/podman.sock' for directory in directories]
        rootful = ['/run/podman/podman.sock']
        return rootful + rootless if os.geteuid() == 0 else rootless + rootful


DOCKER = Engine('docker', 'Docker or Podman daemon', 'DOCKER_HOST', 'systemctl start docker')
PODMAN = Engine('podman', 'Podman service', 'CONTAINER_HOST',
                'systemctl --user start podman.socket, or as root systemctl start podman.socket')


def _runtime_directory() -> str:
    """Return the directory of the user's sockets (XDG Base Directory specification)."""
    return (os.environ.get('XDG_RUNTIME_DIR') or _usual_directory()).rstrip('/')


def _usual_directory() -> str:
    return f'/run/user/{os.getuid()}'
