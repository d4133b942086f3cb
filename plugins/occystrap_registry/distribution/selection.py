"""Matching images with a pattern: the repositories of the catalog, and the tags of each."""
from occystrap_core import ImageNotFound, ServiceError
from occystrap_core.oci import Excluded, Reference, compile_pattern, has_glob, nearest_names, sort_references
from occystrap_registry.distribution.client import RegistryClient

_OF_EACH = 5


def matching(client: RegistryClient, requested: Reference, excluded: Excluded) -> list[Reference]:
    """Return the images that match `requested`, a pattern in repository or tag, in natural order.

    Repositories that are `excluded` as a whole are not looked at. Raises ImageNotFound, with examples of existing
    names, when none matches, ServiceError.
    """
    pattern = compile_pattern(requested.tag)
    repositories = _repositories(client, requested, excluded)

    def search(repository: str) -> tuple[list[Reference], list[str]]:
        tags = _tags(client, repository, named=repository == requested.repository)
        found = [requested._replace(repository=repository, tag=tag) for tag in tags if pattern.fullmatch(tag)]
        return found, tags if len(repositories) == 1 else tags[:_OF_EACH]

    results = client.settings.in_parallel(search, repositories, helping=True)
    matched = [reference for found, _ in results for reference in found]
    if not matched:
        tags = list(dict.fromkeys(tag for _, tags in results for tag in tags))
        where = f' in the {len(repositories)} repositories that match' if len(repositories) > 1 else ''
        raise ImageNotFound.of_pattern(f'{requested}: no tag matches{where}; {nearest_names(requested.tag, tags)}')
    return sort_references(matched)


def _repositories(client: RegistryClient, requested: Reference, excluded: Excluded) -> list[str]:
    if not has_glob(requested.repository):
        return [requested.repository]
    from occystrap_registry.distribution.catalog import list_repositories  # late, as only patterns need it
    pattern = compile_pattern(requested.repository)
    catalog = list(list_repositories(client))
    found = [name for name in catalog if pattern.fullmatch(name) and not excluded.has_repository(name)]
    if not found:
        raise ImageNotFound.of_pattern(f'{requested}: no repository in the catalog matches; '
                                       f'{nearest_names(requested.repository, catalog, "repositories")}')
    return found


def _tags(client: RegistryClient, repository: str, named: bool) -> list[str]:
    """Return a repository's tags; none if the registry says that it does not exist and the user has not `named` it.

    Raises ServiceError for any other 404 to what the catalog has: what is there is unknown, not nothing.
    """
    from occystrap_registry.distribution.catalog import NoSuchRepository, list_tags
    try:
        return list(list_tags(client, repository))
    except ImageNotFound as error:
        if named:
            raise
        if not isinstance(error, NoSuchRepository):
            raise ServiceError(f'the catalog has {repository}, and its list of tags is answered by HTTP 404 without '
                               f'the code NAME_UNKNOWN of a registry: try again, or exclude={repository}') from None
        return []
