"""The two engines that speak Docker's API: where each listens by default, how it is started, who may use it."""
import os
from typing import NamedTuple


class Engine(NamedTuple):
    """One engine; `variable` names its address in the environment, `help` says how to start it and to find another."""

    name: str
    title: str
    variable: str
    start: str

    def sockets(self) -> list[str]:
        """Return where it usually listens, the likeliest first: Podman's root uses the rootful one."""
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
    """Return the directory of the user's own sockets (XDG Base Directory specification)."""
    return (os.environ.get('XDG_RUNTIME_DIR') or _usual_directory()).rstrip('/')


def _usual_directory() -> str:
    return f'/run/user/{os.getuid()}'
