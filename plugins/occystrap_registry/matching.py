"""Which images a pattern means: repositories of the catalog, tags of each."""
from collections.abc import Sequence
from dataclasses import replace

from occystrap_core import ImageNotFound, at_once
from occystrap_core.oci import Reference
from occystrap_registry.client import RegistryClient
from occystrap_registry.globs import Excluded, compiled, has_glob, in_order, natural
from occystrap_registry.listing import list_repositories, list_tags

_SHOWN = 5


def matching(client: RegistryClient, wanted: Reference, excluded: Excluded) -> list[Reference]:
    """Return what `wanted` means, its repository or tag a pattern or both, by repository and tag in natural order.

    Raises ImageNotFound, telling what there is, when nothing matches, ServiceError.
    """
    pattern = compiled(wanted.tag)
    repositories = _repositories(client, wanted, excluded)

    def look(repository: str) -> tuple[list[Reference], list[str]]:
        tags = _tags(client, repository, named=repository == wanted.repository)
        found = [replace(wanted, repository=repository, tag=tag) for tag in tags if pattern.fullmatch(tag)]
        return [each for each in found if each not in excluded], tags if len(repositories) == 1 else tags[:_SHOWN]

    looks = at_once(look, repositories, client.settings.jobs)
    matched = [reference for found, _ in looks for reference in found]
    if not matched:
        tags = list(dict.fromkeys(tag for _, tags in looks for tag in tags))
        where = f' in the {len(repositories)} repositories that match' if len(repositories) > 1 else ''
        raise ImageNotFound(f'{wanted}: no tag matches{where}; {examples("tags", tags)}')
    return in_order(matched)


def not_excluded(reference: Reference, excluded: Excluded) -> list[Reference]:
    """Return one image that was named; raises ImageNotFound when it is to be left out."""
    if reference in excluded:
        raise ImageNotFound(f'{reference} is left out by exclude=')
    return [reference]


def examples(what: str, names: Sequence[str]) -> str:
    """Return a few of the names that there are instead, for messages."""
    return f'there is: {some(names)}' if names else f'there are no {what}'


def some(names: Sequence[str]) -> str:
    """Return the first few names in natural order, and how many are left."""
    shown = ', '.join(sorted(names, key=natural)[:_SHOWN])
    return shown if len(names) <= _SHOWN else f'{shown} and {len(names) - _SHOWN} more'


def _repositories(client: RegistryClient, wanted: Reference, excluded: Excluded) -> list[str]:
    if not has_glob(wanted.repository):
        return [wanted.repository]
    pattern = compiled(wanted.repository)
    catalog = list(list_repositories(client))
    found = [name for name in catalog if pattern.fullmatch(name) and not excluded.has_repository(name)]
    if not found:
        raise ImageNotFound(f'{wanted}: no repository in the catalog matches; {examples("repositories", catalog)}')
    return found


def _tags(client: RegistryClient, repository: str, named: bool) -> list[str]:
    """Return a repository's tags; none where a catalog, not the user, `named` one whose last image is gone."""
    try:
        return list(list_tags(client, repository))
    except ImageNotFound:
        if named:
            raise
        return []
