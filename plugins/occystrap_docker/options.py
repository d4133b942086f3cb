"""Options of docker:// and dockerpush://."""
from occystrap_core import Option, OptionType

CONNECTION = (
    Option('socket', help='socket of the daemon: a path, or an address as for host='),
    Option('host', help='address of the daemon: unix://PATH, tcp://HOST:PORT or ssh://[USER@]HOST[:PORT][/PATH] '
                        '(default: DOCKER_HOST, then the context, then the default sockets)'),
    Option('context', help='a context of the docker command (default: DOCKER_CONTEXT, then the current one)'),
    Option('engine', OptionType.choice('docker', 'podman'), 'docker',
           'whose default addresses to use; for podman CONTAINER_HOST, then the sockets of user and system'),
    Option('cert_path', help='directory with ca.pem, cert.pem, key.pem for TLS (default: DOCKER_CERT_PATH)'),
    Option('tls_verify', OptionType.BOOLEAN, None,
           "use TLS with tcp://, and check the daemon's certificate (default: DOCKER_TLS_VERIFY; true with cert_path)"),
)
FALLBACK = Option('fallback', OptionType.BOOLEAN, False,
                  'export the image as docker:// does if the daemon cannot push it')
