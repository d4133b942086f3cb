"""The commands `login` and `logout`: credentials are checked, then stored in the files of docker and Podman."""
import sys

import click
from click.core import ParameterSource

from occystrap_core import AccessDenied, OptionType, Settings, UsageError
from occystrap_core.files import print_message, prompt
from occystrap_core.oci import Reference
from occystrap_registry.credentials.auth_files import AuthFile, place_to_write, places_to_read
from occystrap_registry.credentials.credential_store import forget_login, keep_login
from occystrap_registry.credentials.logins import HUB, Login, plain_key
from occystrap_registry.distribution.client import RegistryClient
from occystrap_registry.transport.address import Address, possible_host

_LONGEST = 64 << 10
_HUB_API = 'registry-1.docker.io'
_AUTHFILE = click.option('--authfile', type=click.Path(dir_okay=False), metavar='FILE',
                         help='File for logins (default: REGISTRY_AUTH_FILE, else docker\'s config.json).')
_TIMEOUT = click.option('--timeout', type=OptionType.number(0.1, name='seconds'), default=60.0, show_default=True,
                        metavar='SECONDS', help='Timeout for the registry and the credential helper.')


@click.command()
@click.argument('host')
@click.option('-u', '--username', envvar='OCCYSTRAP_USERNAME', show_envvar=True, help='User name.')
@click.option('-p', '--password', envvar='OCCYSTRAP_PASSWORD', show_envvar=True,
              help='Password or token; visible in ps on the command line.')
@click.option('--password-stdin', is_flag=True, help='Read the password from standard input.')
@click.option('--insecure', is_flag=True, help='Allow http, and https without checking certificates.')
@click.option('--ca-file', type=click.Path(dir_okay=False), metavar='FILE',
              help='Certificates of authorities to trust besides the system\'s.')
@_AUTHFILE
@_TIMEOUT
@click.pass_context
def login(context: click.Context, /, host: str, username: str | None, password: str | None, password_stdin: bool,
          insecure: bool, ca_file: str | None, authfile: str | None, timeout: float) -> None:
    """Log in to the registry at HOST[:PORT], and store the login where docker stores its own.

    The login is checked with the registry first; one that is refused is not stored. If the file names a credential
    helper, the login is stored there.
    """
    host, path = _host(host), place_to_write(authfile)
    shown = context.get_parameter_source('password') is ParameterSource.COMMANDLINE
    if shown and password_stdin:
        raise click.UsageError('--password and --password-stdin cannot both be given', context)
    if shown:
        print_message('warning: all users of this machine can see --password in ps: --password-stdin hides it')
    AuthFile(path)  # raises for a malformed file before the password is typed
    found = _read_login(username, None if password_stdin else password, password_stdin)
    checked = _check(host, found, insecure, Settings(timeout=timeout, ca_file=ca_file))
    place = keep_login(path, host, found, timeout)
    doubt = '' if checked else f'; {host} requires no login, so the password was not checked'
    print_message(f'logged in to {host} as {found.user}, stored in {place}{doubt}')


@click.command()
@click.argument('host')
@_AUTHFILE
@_TIMEOUT
def logout(host: str, authfile: str | None, timeout: float) -> None:
    """Remove the login to HOST[:PORT] that `occystrap login`, `docker login` or `podman login` stored."""
    host, path = _host(host), place_to_write(authfile)
    removed = forget_login(path, host, timeout)
    others = [each for each in places_to_read() if each != path and AuthFile(each).login(host, '')]
    rest = ''.join(f'; {each} still has a login (--authfile)' for each in others)
    print_message(f'logged out of {host}{rest}' if removed else f'there was no login for {host} in {path}{rest}')


def _host(text: str) -> str:
    """Return the `host[:port]` of a registry as a user writes it; raises UsageError."""
    if '@' in text:
        raise UsageError('HOST must not contain a login: give HOST[:PORT] alone, and the user with --username')
    scheme, _, rest = text.partition('://')
    host = plain_key(rest if scheme.lower() == 'registry' else text)
    if '/' in host:
        raise UsageError(f'a login is for a whole registry, not for a repository: give {host.partition("/")[0]} alone')
    return possible_host(Reference.parse(f'{host}/any', with_host=True).host)


def _read_login(user: str | None, password: str | None, from_stdin: bool) -> Login:
    """Return the login, prompting on the terminal for what was not given; raises UsageError."""
    if from_stdin:
        if not user:
            raise UsageError('--password-stdin needs --username')
        raw = sys.stdin.buffer.read(_LONGEST)
        password = raw.decode(errors='surrogateescape').removesuffix('\n').removesuffix('\r')
        if not password:
            raise UsageError('--password-stdin: standard input is empty')
    elif not (user and password) and not sys.stdin.isatty():
        raise UsageError('there is no terminal for a prompt: give --username and --password-stdin')
    user = user or prompt('Username')
    password = password or prompt('Password', hidden=True)
    if ':' in user or not user.isprintable():
        raise UsageError('a user name has no colons and no control characters (RFC 7617)')
    return Login(user, password)


def _check(host: str, login: Login, insecure: bool, settings: Settings) -> bool:
    """Return whether the registry checked the login, False if it requires none; raises ServiceError, AccessDenied."""
    api_host = _HUB_API if host == HUB else host
    address = Address(Reference('any', host=host), api_host, insecure, (login.user, login.secret))
    client = RegistryClient(address, settings)
    try:
        reply = client.fetch('GET', '/v2/', '')
        if reply.status in (401, 403):
            raise AccessDenied(f'{host} refuses the login of {login.user}: check user name and password')
        if reply.status != 200:
            raise client.failure(reply, f'{host} does not answer as a registry')
        return client.authentication.was_challenged
    finally:
        client.close()
        settings.shared.close()
