"""The command `proxy`: it filters images between clients and a registry, and verifies the results."""
import ctypes
import gc
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from occystrap_core import Location, OccystrapError, Option, OptionType, Settings, UsageError, VerifyLevel
from occystrap_core.files import print_message
from occystrap_registry.commands.server_options import ServerOptions, server_options, storage_path, until_signal
from occystrap_registry.plugin import CONNECTION, register_writers

if TYPE_CHECKING:
    from occystrap_registry.proxy.remote import Remote

_DOWNSTREAM = [option for scheme in register_writers() for option in scheme.options if option.name != 'untagged']
_ONCE = 'once'
_SECONDS = OptionType.number(0.1, name='seconds')
_M_ARENA_MAX, _ARENAS = -8, 2
"""A parameter of mallopt (3), and the number of heaps, of which glibc makes up to eight for each processor by default.
"""


@click.command()
@click.option('-d', '--downstream', required=True, metavar='URI',
              help='Where images are stored and pulled from: registry://HOST[/PREFIX], to which their names are added.')
@click.option('-u', '--upstream', metavar='URI',
              help='Where images are fetched from that are pulled and not found downstream.')
@click.option('-f', '--filter', 'filters', multiple=True, metavar='NAME:KEY=VALUE,…',
              help='Filter for each image; may be given several times.')
@click.option('--storage', type=click.Path(), metavar='PATH',
              help='Directory for images in transit and for what the proxy remembers (default: '
              '~/.local/share/occystrap/proxy).')
@click.option('--verify', 'level', type=click.Choice([_ONCE, 'fast', 'full']), is_flag=False, flag_value=_ONCE,
              default=_ONCE, help='How images are verified downstream before a push or pull is acknowledged (default: '
              'once): once reads each blob back when it is sent, or new to the proxy; full, for each image; fast '
              'believes sizes.')
@click.option('--delete', 'deletes', is_flag=True,
              help='Pass DELETE of tags and manifests on to downstream, for whoever may push; otherwise it is refused.')
@click.option('--fresh', type=OptionType.SECONDS, default=60.0, show_default=True, metavar='SECONDS',
              help='How long a tag is remembered before upstream is asked again.')
@click.option('-c', '--concurrency', type=OptionType.whole(1, 256), default=4, show_default=True, metavar='NUMBER',
              help='Number of images copied in parallel; others wait.')
@click.option('--quota', type=OptionType.SIZE, default=20 << 30, metavar='SIZE',
              help='Space for images in transit (default: 20G).')
@click.option('--deadline', type=_SECONDS, default=3600.0, show_default=True, metavar='SECONDS',
              help='How long one image may take.')
@click.option('--drain', type=OptionType.number(0, 86400, name='seconds'), default=60.0, show_default=True,
              metavar='SECONDS', help='How long requests in progress may take to finish after SIGTERM.')
@click.option('--timeout', type=_SECONDS, default=60.0, show_default=True, metavar='SECONDS',
              help='How long another registry may stay silent.')
@click.option('--retries', type=OptionType.whole(), default=2, show_default=True,
              help='Number of retries of a failed request.')
@click.option('--ca-file', type=click.Path(exists=True, dir_okay=False), metavar='FILE',
              help='Certificates of authorities to trust in addition to the system\'s.')
@server_options
def proxy(downstream: str, upstream: str | None, filters: Sequence[str], storage: str | None, level: str,
          deletes: bool, fresh: float, concurrency: int, quota: int, deadline: float, drain: float,
          **given: Any) -> None:
    """Run a proxy that filters what is pushed and pulled through it, until a signal stops it.

    An image that is pushed is filtered, stored downstream and verified there before the client hears that all is
    well. One that is pulled comes from downstream; with --upstream, tags are fetched from there, filtered, stored and
    verified first. Logins of clients, upstream and downstream are three things: clients have those of --htpasswd, the
    proxy its own, from occystrap login or docker login.
    """
    from occystrap_registry.proxy.image_orders import Limits
    from occystrap_registry.proxy.opened_proxy import Proxy, open_proxy
    from occystrap_registry.server.operations import with_operations
    settings = _settings(level, given)
    there = _remote('--downstream', downstream, _DOWNSTREAM, settings)
    above = _remote('--upstream', upstream, CONNECTION, settings) if upstream else None
    _require_separate(there, above)
    _require_filters(there, filters, settings)
    options = ServerOptions.of(given)
    _require_elsewhere(options, there, above)
    wanted = Proxy(_storage(storage), there, above, filters, Limits(concurrency, deadline),
                   quota, fresh, level == _ONCE, deletes)
    served, _ = with_operations(options.settings(drain), 'occystrap proxy', _described(there, above, filters),
                                options.access_log)
    _save_memory()
    with open_proxy(wanted, replace(settings, temporary=wanted.temporary()), served, options.port) as server:
        with until_signal(server, drain):
            _announce(there, above, f'{options.scheme}://{server.host}')
            options.warn(False, f'push {"and delete " if deletes else ""}through this proxy, by its login')
            _look(there)


def _save_memory() -> None:
    """Make all threads share a few heaps (glibc); otherwise hundreds of threads keep a third more memory.

    What is imported by now stays, so garbage collection after each order need not look at it.
    """
    gc.freeze()
    with suppress(AttributeError, OSError):  # another C library
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)


def _settings(level: str, given: dict[str, Any]) -> Settings:
    network = {name: given.pop(name) for name in ('timeout', 'retries', 'ca_file')}
    if network['ca_file']:
        from occystrap_registry.transport.tls import require_authorities
        require_authorities(Path(network['ca_file']))
    return Settings(verify=VerifyLevel.FAST if level == _ONCE else VerifyLevel(level), settle=10.0, **network)


def _remote(option: str, text: str, options: Sequence[Option], settings: Settings) -> 'Remote':
    from occystrap_registry.proxy.remote import Remote
    try:
        location = Location.parse(text if '://' in text else f'registry://{text}', options)
        if location.scheme != 'registry':
            raise UsageError(f'{location} is not a registry: give registry://HOST[/PREFIX]')
        return Remote(location, settings)
    except UsageError as error:
        raise UsageError(f'{option}: {error}') from None


def _require_separate(downstream: 'Remote', upstream: 'Remote | None') -> None:
    """Raise UsageError if a login would be sent to the wrong registry."""
    if upstream is None:
        return
    if upstream.name == downstream.name:
        raise UsageError(f'--upstream and --downstream are both {upstream.name}: give one of them another PREFIX')
    if os.environ.get('OCCYSTRAP_USERNAME') and os.environ.get('OCCYSTRAP_PASSWORD'):
        raise UsageError('OCCYSTRAP_USERNAME and OCCYSTRAP_PASSWORD would be sent to both upstream and downstream: log '
                         'in to each with occystrap login')
    if upstream.host == downstream.host and (upstream.has_login or downstream.has_login):
        raise UsageError(f'{upstream.host} is upstream and downstream: its login cannot be in one of the two URIs; log '
                         'in with occystrap login')


def _require_elsewhere(options: ServerOptions, downstream: 'Remote', upstream: 'Remote | None') -> None:
    """Raise UsageError for a proxy whose upstream or downstream is itself."""
    for option, remote in (('--downstream', downstream), ('--upstream', upstream)):
        if remote and options.listens_at(remote.host):
            raise UsageError(f'{option} {remote.host} is where the proxy itself would listen: choose another place '
                             'with --listen HOST:PORT')


def _storage(given: str | None) -> Path:
    place = storage_path(given, 'proxy')
    if '://' in place:
        raise UsageError(f'{place} cannot be the storage of a proxy: give the PATH of a directory')
    return Path(place)


def _require_filters(downstream: 'Remote', filters: Sequence[str], settings: Settings) -> None:
    from occystrap_core.orders import ImageOrder, require_possible
    uri = downstream.uri('any', ':any')
    require_possible(ImageOrder(uri, uri, tuple(filters)), replace(settings, credentials={}))


def _described(downstream: 'Remote', upstream: 'Remote | None', filters: Sequence[str]) -> str:
    """Return what a proxy does, for its page."""
    source = f', with images of {upstream.name}' if upstream else ''
    return f'for {downstream.name}{source}; filters: {", ".join(filters) or "none"}'


def _announce(downstream: 'Remote', upstream: 'Remote | None', url: str) -> None:
    host, source = url.partition('://')[2], f', with images of {upstream.name},' if upstream else ''
    how = 'pull' if upstream else 'push'
    print_message(f'A proxy for {downstream.name}{source} is at {url}: {how} with docker {how} {host}/NAME:TAG, stop '
                  'with Ctrl-C')


def _look(downstream: 'Remote') -> None:
    """Warn if downstream does not answer now, or does not answer as a registry."""
    try:
        if odd := downstream.require_answer():
            print_message(f'occystrap: warning: {odd}')
    except OccystrapError as error:
        print_message(f'occystrap: warning: {error}; nothing can be pushed or pulled before it does')
