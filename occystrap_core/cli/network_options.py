"""Options of all commands that use the network, and the settings they make."""
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from occystrap_core.api.options import OptionType
from occystrap_core.errors import UsageError

F = TypeVar('F', bound=Callable[..., Any])


_LEAST = 1e-6
"""The lowest rate in requests a second; a lower one would make intervals too long to wait for."""


_OPTIONS = [
    click.option('--timeout', type=OptionType.number(0.1, name='seconds'), default=60.0, show_default=True,
                 metavar='SECONDS',
                 help='How long to wait for a server that is silent, or for the header of a response.'),
    click.option('--least-rate', type=OptionType.number(), default=1024.0, show_default=True, metavar='BYTES',
                 help='Lowest acceptable transfer rate per second, averaged over --timeout; 0 for no limit.'),
    click.option('--retries', type=OptionType.whole(), default=4, show_default=True,
                 help='Number of retries of a failed request.'),
    click.option('--longest-wait', type=OptionType.SECONDS, default=60.0, show_default=True,
                 metavar='SECONDS',
                 help='Longest wait before a retry, even if a server asks for more.'),
    click.option('--rate-limit', type=OptionType.number(_LEAST), metavar='NUMBER',
                 help='Maximum number of requests per second to one host.'),
    click.option('--ca-file', type=click.Path(exists=True, dir_okay=False), metavar='FILE',
                 help='Certificates of authorities to trust in addition to the system\'s.'),
    click.option('--username', metavar='NAME', help='The user to log in as, with --password-stdin.'),
    click.option('--password-stdin', is_flag=True, help='Read the password from stdin.'),
]
_FIELDS = ('timeout', 'least_rate', 'retries', 'longest_wait', 'rate_limit', 'ca_file')


def network_options(command: F) -> F:
    """Add the options to a command; `network_settings` takes them from its arguments."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def network_settings(options: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of Settings for the options, which are removed from `options`; raises UsageError."""
    username, from_stdin = options.pop('username'), options.pop('password_stdin')
    if bool(username) != from_stdin:
        raise UsageError('--username and --password-stdin must be given together')
    fields = {name: options.pop(name) for name in _FIELDS}
    return {**fields, 'login': (username, _password()) if username else None}


def _password() -> str:
    password = sys.stdin.read().removesuffix('\n').removesuffix('\r')
    if not password:
        raise UsageError('--password-stdin: there is no password on stdin')
    return password
