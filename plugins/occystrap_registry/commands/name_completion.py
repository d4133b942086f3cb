"""Shell completion of registry:// paths: repositories of the catalog, tags of a repository."""
from collections.abc import Iterator

from occystrap_core import Location, Settings
from occystrap_registry.distribution.catalog import list_repositories, list_tags
from occystrap_registry.distribution.client import RegistryClient
from occystrap_registry.plugin import CONNECTION
from occystrap_registry.transport.address import Address, parse_address


def completed(path: str, settings: Settings) -> Iterator[str]:
    """Yield the matching paths, repositories with a `:` appended. Raises UsageError, ServiceError."""
    host, slash, name = path.partition('/')
    repository, colon, tag = name.rpartition(':')
    if not slash:
        return
    client = RegistryClient(_address(f'{host}/{repository if colon else "any"}', settings), settings)
    try:
        if colon:
            yield from (f'{host}/{repository}:{each}' for each in list_tags(client, repository) if each.startswith(tag))
        else:
            yield from (f'{host}/{each}:' for each in list_repositories(client) if each.startswith(name))
    finally:
        client.close()


def _address(path: str, settings: Settings) -> Address:
    return parse_address(Location.parse(f'registry://{path}', CONNECTION), settings)
