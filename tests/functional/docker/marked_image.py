"""An image that no other test has, and where it is in a daemon."""
from occystrap_core.testing.sample import sample_layers
from tests.services.docker_daemon import DockerDaemon
from tests.unit.docker.layouts import make_tar


def tars(mark: str) -> list[bytes]:
    """Layers that no other test has, two of them twice."""
    layers = [*sample_layers(mark), make_tar([('etc/mark', f'mark {mark}\n'.encode() * 100)])]
    return [*layers, layers[2], layers[3]]


def uri(name: str, daemon: DockerDaemon) -> str:
    """What occystrap calls an image of the daemon."""
    return f'docker://{name}?socket={daemon.socket}'
