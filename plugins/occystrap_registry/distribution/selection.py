"""Which images a pattern means: repositories of the catalog, tags of each."""

from occystrap_core import ImageNotFound
from occystrap_core.oci import Excluded, Reference, available_names, compile_pattern, has_glob, sort_references
from occystrap_registry.distribution.catalog import list_repositories, list_tags
from occystrap_registry.distribution.client import RegistryClient

_OF_EACH = 5


def matching(client: RegistryClient, wanted: Reference, excluded: Excluded) -> list[Reference]:
    """Return what `wanted` means, its repository or tag a pattern or both, by repository and tag in natural order.

    Raises ImageNotFound, telling what there is, when nothing matches, ServiceError.
    """
    pattern = compile_pattern(wanted.tag)
    repositories = _repositories(client, wanted, excluded)

    def look(repository: str) -> tuple[list[Reference], list[str]]:
        tags = _tags(client, repository, named=repository == wanted.repository)
        found = [wanted._replace(repository=repository, tag=tag) for tag in tags if pattern.fullmatch(tag)]
        return [each for each in found if each not in excluded], tags if len(repositories) == 1 else tags[:_OF_EACH]

    looks = client.settings.in_parallel(look, repositories, helping=True)
    matched = [reference for found, _ in looks for reference in found]
    if not matched:
        tags = list(dict.fromkeys(tag for _, tags in looks for tag in tags))
        where = f' in the {len(repositories)} repositories that match' if len(repositories) > 1 else ''
        raise ImageNotFound(f'{wanted}: no tag matches{where}; {available_names("tags", tags)}')
    return sort_references(matched)


def not_excluded(reference: Reference, excluded: Excluded) -> list[Reference]:
    """Return one image that was named; raises ImageNotFound when it is to be left out."""
    if reference in excluded:
        raise ImageNotFound(f'{reference} is left out by exclude=')
    return [reference]


def _repositories(client: RegistryClient, wanted: Reference, excluded: Excluded) -> list[str]:
    if not has_glob(wanted.repository):
        return [wanted.repository]
    pattern = compile_pattern(wanted.repository)
    catalog = list(list_repositories(client))
    found = [name for name in catalog if pattern.fullmatch(name) and not excluded.has_repository(name)]
    if not found:
        raise ImageNotFound(f'{wanted}: no repository in the catalog matches; '
                            f'{available_names("repositories", catalog)}')
    return found


def _tags(client: RegistryClient, repository: str, named: bool) -> list[str]:
    """Return a repository's tags; none where a catalog, not the user, `named` one whose last image is gone."""
    try:
        return list(list_tags(client, repository))
    except ImageNotFound:
        if named:
            raise
        return []
