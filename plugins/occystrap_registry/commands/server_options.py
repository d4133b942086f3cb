"""What the commands serve and proxy have in common: where they listen, who may do what, and how they end."""
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar

import click

from occystrap_core import ServiceUnavailable, UsageError
from occystrap_core.files import home_path, print_message

if TYPE_CHECKING:
    from occystrap_registry.server.server_thread import RegistryServer, ServerSettings

F = TypeVar('F', bound=Callable[..., Any])

_ADDRESS = re.compile(r'(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.-]+)):([0-9]{1,5})')
_LOOPBACK = re.compile(r'127\.[0-9.]+|::1|localhost')
_EVERYWHERE = ('0.0.0.0', '::')
_SIGNALLED = 128
"""Exit codes above this are 128 plus a signal's number."""
_CONNECTIONS, _OTHER_FILES = 4096, 64
_LAST_PORT = 65535

_OPTIONS = [
    click.option('-l', '--listen', default='127.0.0.1:5000', show_default=True, metavar='HOST:PORT',
                 help='Address to listen on; 0.0.0.0:5000 also accepts other machines.'),
    click.option('--allow', multiple=True, metavar='PATTERN', help='A pattern of repositories that may be used, such '
                 'as team/* (default: all); may be repeated.'),
    click.option('--htpasswd', type=click.Path(path_type=Path), metavar='FILE',
                 help='Users and their bcrypt passwords, made with htpasswd -B; without it no login is needed.'),
    click.option('--anonymous-pull', is_flag=True, help='With --htpasswd: pulling needs no login.'),
    click.option('--tls-cert', type=click.Path(path_type=Path), metavar='FILE',
                 help='Certificate for https, with its chain.'),
    click.option('--tls-key', type=click.Path(path_type=Path), metavar='FILE', help='Key of the certificate.'),
    click.option('--access-log', type=click.Path(path_type=Path), metavar='FILE',
                 help='Add a line of JSON for each request to this file; - is the standard output.'),
]


def server_options(command: F) -> F:
    """Add the options to a command, which gives its arguments to `ServerOptions.of`."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


class ServerOptions(NamedTuple):
    """The checked values of the options."""

    host: str
    port: int
    allow: Sequence[str]
    htpasswd: Path | None
    anonymous_pull: bool
    certificate: tuple[Path, Path] | None
    access_log: Path | None

    @classmethod
    def of(cls, given: dict[str, Any]) -> Self:
        """Return those of a command's arguments; raises UsageError, and ServiceUnavailable for a port that is taken."""
        host, port = _address(given['listen'])
        if '' in given['allow']:
            raise click.UsageError('--allow is empty, and would allow nothing: give a pattern such as team/*')
        if given['anonymous_pull'] and not given['htpasswd']:
            raise click.UsageError('--anonymous-pull is for a registry with logins: add --htpasswd FILE')
        _require_free(host, port)
        return cls(host, port, given['allow'], given['htpasswd'], given['anonymous_pull'],
                   _certificate(given['tls_cert'], given['tls_key']), given['access_log'])

    def settings(self, drain: float, read_only: bool = False) -> 'ServerSettings':
        """Return the settings of the server; raises UsageError for a bad pattern or file of users."""
        from occystrap_registry.server.access import OnePassword, Rules
        from occystrap_registry.server.server_thread import ServerSettings
        connections = _available_connections()
        settings = ServerSettings(self.host, Rules(read_only, self.allow), OnePassword(''), self.certificate,
                                  connections // 2, connections, drain)
        if not self.htpasswd:
            return settings
        from occystrap_registry.server.accounts import Accounts
        return settings._replace(access=Accounts(self.htpasswd, self.anonymous_pull))

    @property
    def scheme(self) -> str:
        """That of the server's URL."""
        return 'https' if self.certificate else 'http'

    def listens_at(self, host: str) -> bool:
        """Return whether `host[:port]` is the address of this server."""
        name, _, port = host.rpartition(':')
        here, there = (each.strip('[]').replace('localhost', '127.0.0.1') for each in (self.host, name))
        is_here = there == here or here in _EVERYWHERE and _LOOPBACK.fullmatch(there) is not None
        return is_here and port == str(self.port)

    def warn(self, read_only: bool, what: str = 'push and delete') -> None:
        """Warn about what other machines may do if they can reach the registry."""
        if _LOOPBACK.fullmatch(self.host):
            return
        if not self.htpasswd and not read_only:
            print_message(f'occystrap: warning: other machines can {what} without a login: add --htpasswd FILE')
        if self.htpasswd and not self.certificate:
            print_message('occystrap: warning: passwords are sent unencrypted: add --tls-cert and --tls-key')


@contextmanager
def until_signal(server: 'RegistryServer', drain: float) -> Iterator[None]:
    """Tell the user what the server does, in the body, and then wait for a signal, the usual end, also in the body.

    Raises SystemExit, which tells the command line that a signal was handled.
    """
    try:
        yield
        server.wait()
        raise ServiceUnavailable('the registry has stopped unexpectedly: --debug may show why; start it again')
    except BaseException as error:
        if getattr(error, 'exit_code', 0) <= _SIGNALLED:
            raise
        print_message(f'Stopping: requests under way have {drain:.0f} seconds to end')
        raise SystemExit(0) from error


def _address(text: str) -> tuple[str, int]:
    found = _ADDRESS.fullmatch(text)
    if not found or int(found[3]) > _LAST_PORT:
        raise click.UsageError(f'--listen {text!r} is not HOST:PORT, such as 127.0.0.1:5000 or 0.0.0.0:5000')
    return found[1] or found[2], int(found[3])


def _require_free(host: str, port: int) -> None:
    """Raise ServiceUnavailable if the port is taken, before anything is created."""
    from occystrap_registry.server.server_thread import listening_socket
    try:
        listening_socket(host, port).close()
    except ServiceUnavailable as error:
        raise ServiceUnavailable(f'{error}; choose another place with --listen HOST:PORT') from None


def _available_connections() -> int:
    """Return how many connections are possible: each needs a file descriptor, and may have a file open."""
    import resource
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return max(16, min(_CONNECTIONS, (soft - _OTHER_FILES) // 2))


def _certificate(certificate: Path | None, key: Path | None) -> tuple[Path, Path] | None:
    """Return the certificate files for https, after loading them once; raises UsageError."""
    if not certificate and not key:
        return None
    if not certificate or not key:
        raise click.UsageError('--tls-cert and --tls-key must be given together')
    for path in (certificate, key):
        try:
            path.open('rb').close()
        except OSError as error:
            raise UsageError(f'cannot read {path}: {error.strerror}: give a file in PEM format') from None
    import ssl
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=_no_password)
    except (ssl.SSLError, ValueError):
        raise UsageError(f'{certificate} and {key} are not a certificate and its key in PEM format, without a password'
                         ) from None
    return certificate, key


def _no_password() -> str:
    raise ValueError('the key has a password')


def storage_path(given: str | None, name: str) -> str:
    """Return the directory of --storage, or that of a user's own registry or proxy."""
    if given == '':
        raise click.UsageError('--storage is empty: give the PATH of a directory')
    if given:
        return given
    if base := os.environ.get('XDG_DATA_HOME') or home_path('.local/share'):
        return os.path.join(base, 'occystrap', name)
    raise UsageError('this user has no home directory for the storage: give --storage PATH')
