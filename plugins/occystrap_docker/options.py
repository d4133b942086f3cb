"""Options of docker:// and dockerpush://."""
from occystrap_core import Option, OptionType

CONNECTION = (
    Option('socket', help='where the daemon listens: a path, or an address as host= has it'),
    Option('host', help='where the daemon listens: unix://PATH, tcp://HOST:PORT or ssh://[USER@]HOST[:PORT][/PATH] '
                        '(default: DOCKER_HOST, then what context= says, then the usual sockets)'),
    Option('context', help='a context of the docker command (default: DOCKER_CONTEXT, then the current one)'),
    Option('engine', OptionType.choice('docker', 'podman'), 'docker',
           'whose usual places to look at; for podman CONTAINER_HOST, then the sockets of user and system'),
    Option('cert_path', help='directory with ca.pem, cert.pem, key.pem for TLS (default: DOCKER_CERT_PATH)'),
    Option('tls_verify', OptionType.BOOLEAN, None,
           'TLS with tcp://, and whether it matters who answers (default: DOCKER_TLS_VERIFY; true with cert_path)'),
)
FALLBACK = Option('fallback', OptionType.BOOLEAN, False,
                  'take the image as docker:// does where the daemon cannot push it here')
