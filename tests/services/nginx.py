"""nginx before a registry, as many companies have it: TLS with a private authority, HTTP/2, a limit on bodies."""
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tests.services.certificates import Authority
from tests.services.directories import service_directory
from tests.services.ports import LOOPBACK, free_port
from tests.services.processes import running
from tests.services.registry import Registry, answers
from tests.services.requirements import require_program

CONFIGURATION = '''
daemon off;
user root;
worker_processes 1;
pid {directory}/pid;
error_log stderr;
events {{ worker_connections 512; }}
http {{
    access_log {directory}/log;
    client_body_temp_path {directory}/bodies;
    proxy_temp_path {directory}/answers;
    fastcgi_temp_path {directory}/unused1;
    uwsgi_temp_path {directory}/unused2;
    scgi_temp_path {directory}/unused3;
    server {{
        listen {host} ssl{http2};
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        client_max_body_size {largest};
        chunked_transfer_encoding on;
        location / {{
            proxy_pass http://{upstream};
            proxy_http_version 1.1;
            proxy_request_buffering off;
            proxy_buffering off;
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-Proto https;
            proxy_set_header Connection '';
        }}
    }}
}}
'''


@contextmanager
def nginx(
    registry: Registry, *, upstream: str = '', client_max_body_size: str = '0', http2: bool = True,
    address: str = LOOPBACK,
) -> Iterator[Registry]:
    """The registry behind nginx: the same storage at another `host`, over HTTPS and HTTP/2; trust its `ca`.

    A request whose body is larger than `client_max_body_size` (`1m`; `0`: no limit) is answered 413. `upstream` is
    what stands between, such as the host of a fault proxy before that registry. No client is lenient with an
    `address` of `ports.own_address()`.
    """
    program = require_program('nginx', 'nginx-light')
    with service_directory('nginx') as directory:
        authority, host = Authority(directory), f'{address}:{free_port(address)}'
        pair = authority.sign('server', 'localhost', address)
        configuration = directory / 'nginx.conf'
        configuration.write_text(CONFIGURATION.format(
            directory=directory, host=host, http2=' http2' if http2 else '', certificate=pair.certificate, key=pair.key,
            largest=client_max_body_size, upstream=upstream or registry.host))
        front = replace(registry, host=host, log=Path(directory / 'log'), ca=authority.certificate, client=None)
        command = [program, '-c', str(configuration), '-e', 'stderr', '-p', str(directory)]
        with running(command, log=front.log, ready=lambda: answers(front)):
            yield front
