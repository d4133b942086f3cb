"""The declarations of this plugin; the docker SDK is imported when a scheme is used."""
from collections.abc import Iterable
from typing import TYPE_CHECKING

from occystrap_core import CommandDeclaration, InputScheme, Many, WriterScheme, hookimpl
from occystrap_docker.options import CONNECTION, FALLBACK

if TYPE_CHECKING:
    from occystrap_core import CheckResults, Receipt, Settings, VerifyLevel


@hookimpl
def register_inputs() -> Iterable[InputScheme]:
    """docker://NAME[:TAG]: images of a Docker or Podman daemon, exported; dockerpush://NAME[:TAG]: pushed by it."""
    return [
        InputScheme('docker', 'occystrap_docker.input:DockerInput', CONNECTION,
                    'an image of a Docker or Podman daemon, by name, digest or ID, or all that match a pattern: '
                    'docker://team/*:v1.*', many=True),
        InputScheme('dockerpush', 'occystrap_docker.push.input:DockerPushInput', [*CONNECTION, FALLBACK],
                    'the same, pushed by the daemon to a temporary registry within occystrap',
                    instead='give docker:// as destination', many=True),
    ]


@hookimpl
def register_writers() -> Iterable[WriterScheme]:
    """docker://NAME[:TAG]: into a Docker or Podman daemon, tagged when it is complete."""
    return [WriterScheme('docker', 'occystrap_docker.writer:DockerWriter', CONNECTION,
                         'load into a Docker or Podman daemon',
                         many=Many(False, reason='the tag in it names one image'), reports_only=True,
                         moved='occystrap_docker.verifier:moved',
                         expects=('config', 'tag'))]


@hookimpl
def register_commands() -> Iterable[CommandDeclaration]:
    """Return the command that lists images."""
    return [CommandDeclaration('images', 'occystrap_docker.commands.images:images', 'List the images of a daemon.')]


@hookimpl
def verify_output(receipt: 'Receipt', level: 'VerifyLevel', settings: 'Settings') -> 'CheckResults | None':
    """Verify the output of DockerWriter."""
    if receipt.scheme != 'docker':
        return None
    from occystrap_docker.verifier import verify
    return verify(receipt, level, settings)
