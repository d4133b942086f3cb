"""Options of docker:// and dockerpush://."""
from occystrap_core import Option, OptionType

CONNECTION = (
    Option('socket', help='socket of the daemon: a path, or an address as for host=', decides=False),
    Option('host', help='address of the daemon: unix://PATH, tcp://HOST:PORT or ssh://[USER@]HOST[:PORT][/PATH] '
                        '(default: DOCKER_HOST, then the context, then the default sockets)', decides=False),
    Option('context', help='a context of the docker command (default: DOCKER_CONTEXT, then the current one)',
           decides=False),
    Option('engine', OptionType.choice('docker', 'podman'), 'docker',
           'whose default addresses are used; for podman: CONTAINER_HOST, then the sockets of user and system',
           decides=False),
    Option('cert_path', help='directory with ca.pem, cert.pem, key.pem for TLS (default: DOCKER_CERT_PATH)',
           decides=False),
    Option('tls_verify', OptionType.BOOLEAN, None,
           "use TLS with tcp://, and check the daemon's certificate (default: DOCKER_TLS_VERIFY; true with cert_path)",
           decides=False),
)
FALLBACK = Option('fallback', OptionType.BOOLEAN, False,
                  'export the image as docker:// does if the daemon cannot push it')
