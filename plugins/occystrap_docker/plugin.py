"""What this plugin brings; the docker SDK is imported when a scheme is opened."""
from collections.abc import Iterable
from typing import TYPE_CHECKING

from occystrap_core import BOOLEAN, InputScheme, Many, Option, WriterScheme, hookimpl

if TYPE_CHECKING:
    from occystrap_core import CheckResults, Receipt, Settings, VerifyLevel

OPTIONS = (
    Option('socket', help='where the daemon listens: a path, unix://PATH, tcp://HOST:PORT or ssh://USER@HOST '
                          '(default: DOCKER_HOST, then /var/run/docker.sock)'),
)
FALLBACK = Option('fallback', BOOLEAN, False, 'take the image as docker:// does where the daemon cannot push it here')


@hookimpl
def register_inputs() -> Iterable[InputScheme]:
    """docker://NAME[:TAG]: an image of a Docker or Podman daemon, exported; dockerpush://NAME[:TAG]: pushed by it."""
    return [
        InputScheme('docker', 'occystrap_docker.input:DockerInput', OPTIONS, 'an image of a Docker or Podman daemon'),
        InputScheme('dockerpush', 'occystrap_docker.push_input:DockerPushInput', (*OPTIONS, FALLBACK),
                    'the same, pushed by the daemon to a registry that exists for the length of the copy'),
    ]


@hookimpl
def register_writers() -> Iterable[WriterScheme]:
    """docker://NAME[:TAG]: into a Docker or Podman daemon, tagged when it is whole."""
    return [WriterScheme('docker', 'occystrap_docker.writer:DockerWriter', OPTIONS,
                         'into a Docker or Podman daemon',
                         many=Many(False, reason='the tag in it names one image'))]


@hookimpl
def verify_output(receipt: 'Receipt', level: 'VerifyLevel', settings: 'Settings') -> 'CheckResults | None':
    """Verify what DockerWriter wrote."""
    if receipt.scheme != 'docker':
        return None
    from occystrap_docker.verifier import verify
    return verify(receipt, level, settings)
