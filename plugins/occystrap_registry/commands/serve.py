"""The command `serve`: a registry of one directory, or of a mirror, until it is told to stop."""
import os
import re
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click

from occystrap_core import ServiceUnavailable, UsageError
from occystrap_core.files import print_message

if TYPE_CHECKING:
    from occystrap_registry.server.contents import Contents
    from occystrap_registry.server.server_thread import RegistryServer, ServerSettings

_ADDRESS = re.compile(r'(?:\[([0-9A-Fa-f:.]+)\]|([A-Za-z0-9.-]+)):([0-9]{1,5})')
_LOOPBACK = re.compile(r'127\.[0-9.]+|::1|localhost')
_LAYOUT = 'layout://'
_DRAIN = 20.0
"""Seconds that current requests have to end."""
_SIGNALLED = 128
"""Exit codes above are those of signals."""
_CONNECTIONS, _OTHER_FILES = 4096, 64
_LAST_PORT = 65535


class _Address(NamedTuple):
    """Where to listen."""

    host: str
    port: int


@click.command()
@click.option('--storage', metavar='PATH', help='The directory of the registry, made if it is missing (default: '
              '~/.local/share/occystrap/registry), or an image layout, layout://PATH, which is served read-only.')
@click.option('--listen', default='127.0.0.1:5000', show_default=True, metavar='HOST:PORT',
              help='Where to listen; 0.0.0.0:5000 is reached from other machines.')
@click.option('--read-only', is_flag=True, help='Refuse what would change something.')
@click.option('--allow', multiple=True, metavar='PATTERN', help='A pattern of repositories that may be used, such as '
              'team/* (default: all); may be repeated.')
@click.option('--htpasswd', type=click.Path(path_type=Path), metavar='FILE',
              help='Users and their bcrypt passwords, made with htpasswd -B; without it nobody needs a login.')
@click.option('--anonymous-pull', is_flag=True, help='With --htpasswd: pulling needs no login.')
@click.option('--tls-cert', type=click.Path(path_type=Path), metavar='FILE',
              help='Certificate for https, with its chain.')
@click.option('--tls-key', type=click.Path(path_type=Path), metavar='FILE', help='Key of the certificate.')
@click.option('--access-log', type=click.Path(path_type=Path), metavar='FILE',
              help='Add a line of JSON for each request to this file; - is the standard output.')
@click.option('--gc-untagged', is_flag=True, help='Also remove, after an hour, manifests that no tag leads to.')
def serve(storage: str | None, listen: str, read_only: bool, allow: Sequence[str], htpasswd: Path | None,
          anonymous_pull: bool, tls_cert: Path | None, tls_key: Path | None, access_log: Path | None,
          gc_untagged: bool) -> None:
    """Run a registry, for docker, podman, skopeo and occystrap to push to and pull from, until a signal stops it.

    What is pushed is durable, and each repository is an OCI layout of its own below PATH/repositories. Blobs that no
    image needs are removed in the background, an hour after they were last asked for.
    """
    from occystrap_registry.server.server_thread import RegistryServer
    address = _address(listen)
    if anonymous_pull and not htpasswd:
        raise click.UsageError('--anonymous-pull is for a registry with logins: add --htpasswd FILE')
    _require_free(address)
    place = storage or _default_storage()
    read_only = read_only or place.startswith(_LAYOUT)
    if read_only and gc_untagged:
        raise click.UsageError('--gc-untagged removes manifests, which a registry that is read-only does not')
    settings = _settings(address, read_only, allow, _certificate(tls_cert, tls_key))
    settings = _with_logins(_with_log(settings, access_log), htpasswd, anonymous_pull)
    with ExitStack() as stack:
        contents = _contents(place, read_only, stack)
        server = RegistryServer(contents, address.port, settings=settings)
        _look_after(contents, server, gc_untagged, stack)
        stack.enter_context(server)
        _announce(place, server.host, settings, read_only)
        _warn(settings, read_only, bool(htpasswd))
        _wait_for_signal(server)


def _address(text: str) -> _Address:
    found = _ADDRESS.fullmatch(text)
    if not found or int(found[3]) > _LAST_PORT:
        raise click.UsageError(f'--listen {text!r} is no HOST:PORT, such as 127.0.0.1:5000 or 0.0.0.0:5000')
    return _Address(found[1] or found[2], int(found[3]))


def _require_free(address: _Address) -> None:
    """Raise ServiceUnavailable unless it can be listened there, before anything is made."""
    from occystrap_registry.server.server_thread import listening_socket
    try:
        listening_socket(*address).close()
    except ServiceUnavailable as error:
        raise ServiceUnavailable(f'{error}; name another place with --listen HOST:PORT') from None


def _default_storage() -> str:
    base = os.environ.get('XDG_DATA_HOME') or os.path.expanduser('~/.local/share')
    return os.path.join(base, 'occystrap', 'registry')


def _settings(address: _Address, read_only: bool, allow: Sequence[str], certificate: tuple[Path, Path] | None,
              ) -> 'ServerSettings':
    from occystrap_registry.server.access import OnePassword, Rules
    from occystrap_registry.server.server_thread import ServerSettings
    connections = _available_connections()
    return ServerSettings(address.host, Rules(read_only, allow), OnePassword(''), certificate, connections // 2,
                          connections, _DRAIN)


def _with_log(settings: 'ServerSettings', path: Path | None) -> 'ServerSettings':
    """Return the settings with what operators ask for: a log, and whether the registry is well."""
    from occystrap_registry.server.exchange import AccessLog
    from occystrap_registry.server.health import ROUTES
    return settings._replace(log=AccessLog(path) if path else None, public=ROUTES)


def _with_logins(settings: 'ServerSettings', htpasswd: Path | None, anonymous_pull: bool) -> 'ServerSettings':
    if not htpasswd:
        return settings
    from occystrap_registry.server.accounts import Accounts
    return settings._replace(access=Accounts(htpasswd, anonymous_pull))


def _available_connections() -> int:
    """Return how many connections there may be; each may have a file open, too."""
    import resource
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return max(16, min(_CONNECTIONS, (soft - _OTHER_FILES) // 2))


def _certificate(certificate: Path | None, key: Path | None) -> tuple[Path, Path] | None:
    """Return the files for https, which have been tried; raises UsageError."""
    if not certificate and not key:
        return None
    if not certificate or not key:
        raise click.UsageError('--tls-cert and --tls-key must be given together')
    for path in (certificate, key):
        try:
            path.open('rb').close()
        except OSError as error:
            raise UsageError(f'cannot read {path}: {error.strerror}: name a file in PEM format') from None
    import ssl
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password=_no_password)
    except (ssl.SSLError, ValueError):
        raise UsageError(f'{certificate} and {key} are no certificate with its key, without a password, in PEM format'
                         ) from None
    return certificate, key


def _no_password() -> str:
    raise ValueError('the key has a password')


def _contents(place: str, read_only: bool, stack: ExitStack) -> 'Contents':
    """Return what is served; raises OutputError, InvalidImage."""
    if place.startswith(_LAYOUT):
        from occystrap_registry.server.layout_storage import LayoutStorage
        return LayoutStorage(Path(place.removeprefix(_LAYOUT)))
    if '://' in place:
        raise UsageError(f'{place} cannot be served: give the PATH of a directory, or layout://PATH')
    from occystrap_registry.server.opened_storage import open_storage, open_to_read
    return open_to_read(Path(place)) if read_only else stack.enter_context(open_storage(Path(place)))


def _look_after(contents: 'Contents', server: 'RegistryServer', untagged: bool, stack: ExitStack) -> None:
    from occystrap_registry.server.storage import Storage
    if isinstance(contents, Storage) and server.uploads and not contents.read_only:
        from occystrap_registry.server.upkeep import Upkeep
        stack.enter_context(Upkeep(contents, untagged, server.uploads.is_under_way))


def _announce(place: str, host: str, settings: 'ServerSettings', read_only: bool) -> None:
    scheme = 'https' if settings.certificate else 'http'
    how = 'pull' if read_only else 'push'
    print_message(f'Serving {place}{", read-only," if read_only else ""} at {scheme}://{host}: {how} with '
                  f'docker {how} {host}/NAME:TAG, stop with Ctrl-C')


def _warn(settings: 'ServerSettings', read_only: bool, has_logins: bool) -> None:
    """Say what other machines may do, if they can reach the registry."""
    if _LOOPBACK.fullmatch(settings.address):
        return
    if not has_logins and not read_only:
        print_message('occystrap: warning: other machines can push and delete without a login: add --htpasswd FILE')
    if has_logins and not settings.certificate:
        print_message('occystrap: warning: passwords cross the network as they are: add --tls-cert and --tls-key')


def _wait_for_signal(server: 'RegistryServer') -> None:
    """Wait; a signal is the usual end. Raises SystemExit, from which the command line knows that one was heeded."""
    try:
        server.wait()
        raise ServiceUnavailable('the registry has ended by itself: --debug may show why; start it again')
    except BaseException as error:
        if getattr(error, 'exit_code', 0) <= _SIGNALLED:
            raise
        print_message(f'Stopping: requests under way have {_DRAIN:.0f} seconds to end')
        raise SystemExit(0) from error
