"""The command `gc`: remove unused blobs from a registry's storage while no server runs on it."""
from pathlib import Path

import click

from occystrap_core import OptionType, OutputError
from occystrap_core.files import print_message, size_text


@click.command()
@click.argument('storage', metavar='PATH', type=click.Path(path_type=Path))
@click.option('--untagged', is_flag=True, help='Also remove manifests that no tag leads to.')
@click.option('--older-than', 'grace', type=OptionType.SECONDS, default=3600.0, show_default=True,
              metavar='SECONDS',
              help='Keep blobs that were pushed, or looked up before a push, within this number of seconds.')
def gc(storage: Path, untagged: bool, grace: float) -> None:
    """Remove from the storage of occystrap serve the blobs that no manifest needs.

    A server that runs does so itself, every hour.
    """
    from occystrap_registry.server.garbage import collect
    from occystrap_registry.server.layout_index import refresh_layouts
    from occystrap_registry.server.opened_storage import is_storage, open_storage
    if not is_storage(storage):
        raise OutputError(f'{storage} is not a storage directory of occystrap serve: give the PATH of its --storage')
    with open_storage(storage) as opened:
        found = collect(opened, untagged, grace=grace)
        refresh_layouts(opened)
    manifests = f'{_counted(found.manifests, "manifest")} and ' if untagged else ''
    print_message(f'Removed {manifests}{_counted(found.blobs, "blob")}, {size_text(found.size)}')


def _counted(number: int, noun: str) -> str:
    return f'{number} {noun}{"" if number == 1 else "s"}'
