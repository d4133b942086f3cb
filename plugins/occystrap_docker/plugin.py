"""What this plugin brings; the docker SDK is imported when a scheme is opened."""
from collections.abc import Iterable
from typing import TYPE_CHECKING

from occystrap_core import BOOLEAN, CommandDeclaration, InputScheme, Many, Option, WriterScheme, choice, hookimpl

if TYPE_CHECKING:
    from occystrap_core import CheckResults, Receipt, Settings, VerifyLevel

CONNECTION = (
    Option('socket', help='where the daemon listens: a path, or an address as host= has it'),
    Option('host', help='where the daemon listens: unix://PATH, tcp://HOST:PORT or ssh://[USER@]HOST[:PORT][/PATH] '
                        '(default: DOCKER_HOST, then what context= says, then the usual sockets)'),
    Option('context', help='a context of the docker command (default: DOCKER_CONTEXT, then the current one)'),
    Option('engine', choice('docker', 'podman'), 'docker',
           'whose usual places to look at; for podman CONTAINER_HOST, then the sockets of user and system'),
    Option('cert_path', help='folder with ca.pem, cert.pem, key.pem for TLS (default: DOCKER_CERT_PATH)'),
    Option('tls_verify', BOOLEAN, None,
           'TLS with tcp://, and whether it matters who answers (default: DOCKER_TLS_VERIFY; true with cert_path)'),
)
FALLBACK = Option('fallback', BOOLEAN, False, 'take the image as docker:// does where the daemon cannot push it here')


@hookimpl
def register_inputs() -> Iterable[InputScheme]:
    """docker://NAME[:TAG]: images of a Docker or Podman daemon, exported; dockerpush://NAME[:TAG]: pushed by it."""
    exclude = Option('exclude',
                     help='what to leave out: patterns with commas, for repositories, repository:tag or :tag')
    return [
        InputScheme('docker', 'occystrap_docker.input:DockerInput', [exclude, *CONNECTION],
                    'an image of a Docker or Podman daemon, by name, digest or ID; or all that match patterns: '
                    'docker://team/*:v1.*'),
        InputScheme('dockerpush', 'occystrap_docker.push.input:DockerPushInput', [exclude, *CONNECTION, FALLBACK],
                    'the same, pushed by the daemon to a registry that exists for the length of the copy'),
    ]


@hookimpl
def register_writers() -> Iterable[WriterScheme]:
    """docker://NAME[:TAG]: into a Docker or Podman daemon, tagged when it is whole."""
    return [WriterScheme('docker', 'occystrap_docker.writer:DockerWriter', CONNECTION,
                         'into a Docker or Podman daemon',
                         many=Many(False, reason='the tag in it names one image'), reports_only=True,
                         expects=('config', 'tag'))]


@hookimpl
def register_commands() -> Iterable[CommandDeclaration]:
    """Return listing what a daemon has."""
    return [CommandDeclaration('images', 'occystrap_docker.commands.images:images', 'List the images of a daemon.')]


@hookimpl
def verify_output(receipt: 'Receipt', level: 'VerifyLevel', settings: 'Settings') -> 'CheckResults | None':
    """Verify what DockerWriter wrote."""
    if receipt.scheme != 'docker':
        return None
    from occystrap_docker.verifier import verify
    return verify(receipt, level, settings)
