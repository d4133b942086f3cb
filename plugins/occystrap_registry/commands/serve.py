"""The command `serve`: a registry of one directory, or of a mirror, until it is told to stop."""
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from occystrap_core import UsageError
from occystrap_core.files import print_message
from occystrap_registry.commands.server_options import ServerOptions, server_options, storage_path, until_signal

if TYPE_CHECKING:
    from occystrap_registry.server.contents import Contents
    from occystrap_registry.server.metrics import Metrics
    from occystrap_registry.server.server_thread import RegistryServer

_LAYOUT = 'layout://'
_DRAIN = 20.0
"""Seconds that current requests have to end."""


@click.command()
@click.option('--storage', metavar='PATH', help='The directory of the registry, made if it is missing (default: '
              '~/.local/share/occystrap/registry), or an image layout, layout://PATH, which is served read-only.')
@click.option('--read-only', is_flag=True, help='Refuse what would change something.')
@click.option('--gc-untagged', is_flag=True, help='Also remove, after an hour, manifests that no tag leads to.')
@server_options
def serve(storage: str | None, read_only: bool, gc_untagged: bool, **given: Any) -> None:
    """Run a registry, for docker, podman, skopeo and occystrap to push to and pull from, until a signal stops it.

    What is pushed is durable, and each repository is an OCI layout of its own below PATH/repositories. Blobs that no
    image needs are removed in the background, an hour after they were last asked for.
    """
    from occystrap_registry.server.operations import with_operations
    from occystrap_registry.server.server_thread import RegistryServer
    options = ServerOptions.of(given)
    place = storage_path(storage, 'registry')
    read_only = read_only or place.startswith(_LAYOUT)
    if read_only and gc_untagged:
        raise click.UsageError('--gc-untagged removes manifests, which a read-only registry cannot do')
    settings, metrics = with_operations(options.settings(_DRAIN, read_only), 'occystrap registry', place,
                                        options.access_log)
    with ExitStack() as stack:
        contents = _contents(place, read_only, stack)
        server = RegistryServer(contents, options.port, settings=settings)
        _look_after(contents, server, gc_untagged, metrics, stack)
        stack.enter_context(server)
        with until_signal(server, _DRAIN):
            _announce(place, f'{options.scheme}://{server.host}', read_only)
            options.warn(read_only)


def _contents(place: str, read_only: bool, stack: ExitStack) -> 'Contents':
    """Return what is served; raises OutputError, InvalidImage."""
    if place.startswith(_LAYOUT):
        from occystrap_registry.server.layout_storage import LayoutStorage
        return LayoutStorage(Path(place.removeprefix(_LAYOUT)))
    if '://' in place:
        raise UsageError(f'{place} cannot be served: give the PATH of a directory, or layout://PATH')
    from occystrap_registry.server.opened_storage import open_storage, open_to_read
    return open_to_read(Path(place)) if read_only else stack.enter_context(open_storage(Path(place)))


def _look_after(contents: 'Contents', server: 'RegistryServer', untagged: bool, metrics: 'Metrics',
                stack: ExitStack) -> None:
    from occystrap_registry.server.storage import Storage
    if isinstance(contents, Storage) and server.uploads and not contents.read_only:
        from occystrap_registry.server.upkeep import Upkeep
        stack.enter_context(Upkeep(contents, untagged, server.uploads.is_under_way, metrics))


def _announce(place: str, url: str, read_only: bool) -> None:
    how, host = 'pull' if read_only else 'push', url.partition('://')[2]
    print_message(f'Serving {place}{", read-only," if read_only else ""} at {url}: {how} with '
                  f'docker {how} {host}/NAME:TAG, stop with Ctrl-C')
