"""Matching images with a pattern: the repositories of the catalog, and the tags of each."""
from collections.abc import Iterator
from itertools import islice

from occystrap_core import ImageNotFound, ServiceError
from occystrap_core.oci import Excluded, Reference, compile_pattern, has_glob, nearest_names, sort_references
from occystrap_registry.distribution.client import RegistryClient
from occystrap_registry.distribution.pages import MOST_STREAMED

_OF_EACH = 5
_PART = 1000
"""Number of tags of one repository that are matched together."""
_REPOSITORIES = 16
"""Largest number of repositories whose tags are requested in parallel."""


def matching(client: RegistryClient, requested: Reference, excluded: Excluded) -> list[Reference]:
    """Return the images that match `requested`, a pattern in repository or tag, in natural order.

    Repositories that are `excluded` as a whole are skipped. Raises ImageNotFound, with examples of existing names, if
    none matches, and ServiceError.
    """
    pattern = compile_pattern(requested.tag)
    repositories = list(_repositories(client, requested, excluded))

    def search(repository: str) -> tuple[list[Reference], list[str]]:
        tags = list(_tags(client, repository, repository == requested.repository))
        found = [requested._replace(repository=repository, tag=tag) for tag in tags if pattern.fullmatch(tag)]
        return found, tags if len(repositories) == 1 else tags[:_OF_EACH]

    results = client.settings.in_parallel(search, repositories, helping=True)
    matched = [reference for found, _ in results for reference in found]
    if not matched:
        raise _nothing(requested, [tag for _, tags in results for tag in tags], len(repositories))
    return sort_references(matched)


def stream_matching(client: RegistryClient, requested: Reference, excluded: Excluded) -> Iterator[list[Reference]]:
    """Yield what `matching` returns in parts, in the registry's order, while further names are listed.

    Raises as that does, ImageNotFound at the end.
    """
    pattern, examples, repositories, has_any = compile_pattern(requested.tag), list[str](), set[int](), False
    for repository, tags in _tags_in_parts(client, requested, excluded):
        found = [requested._replace(repository=repository, tag=tag) for tag in tags if pattern.fullmatch(tag)]
        if found:
            has_any = True
            yield found
        elif not has_any:
            repositories.add(hash(repository))
            examples += tags if repository == requested.repository else tags[:_OF_EACH]
    if not has_any:
        raise _nothing(requested, examples, len(repositories))


def _nothing(requested: Reference, tags: list[str], repositories: int) -> ImageNotFound:
    where = f' in the {repositories} repositories that match' if repositories > 1 else ''
    return ImageNotFound.of_pattern(
        f'{requested}: no tag matches{where}; {nearest_names(requested.tag, list(dict.fromkeys(tags)))}')


def _tags_in_parts(client: RegistryClient, requested: Reference, excluded: Excluded,
                   ) -> Iterator[tuple[str, list[str]]]:
    """Yield the tags of each matching repository, in parts; the first parts of several repositories are fetched in
    parallel."""
    def begin(repository: str) -> tuple[str, list[str], Iterator[str]]:
        tags = _tags(client, repository, repository == requested.repository, MOST_STREAMED)
        return repository, list(islice(tags, _PART)), tags

    names, count = _repositories(client, requested, excluded, MOST_STREAMED), 1
    while some := list(islice(names, count)):
        for repository, part, rest in client.settings.in_parallel(begin, some, helping=True):
            yield repository, part
            while more := list(islice(rest, _PART)):
                yield repository, more
        count = min(2 * count, _REPOSITORIES)  # few at first, so that images are found soon


def _repositories(client: RegistryClient, requested: Reference, excluded: Excluded, most: int | None = None,
                  ) -> Iterator[str]:
    if not has_glob(requested.repository):
        yield requested.repository
        return
    from occystrap_registry.distribution.catalog import list_repositories  # late, as only patterns need it
    pattern, others, has_any = compile_pattern(requested.repository), list[str](), False
    for name in list_repositories(client, most=most):
        if pattern.fullmatch(name) and not excluded.has_repository(name):
            has_any = True
            yield name
        elif not has_any:
            others.append(name)
    if not has_any:
        raise ImageNotFound.of_pattern(f'{requested}: no repository in the catalog matches; '
                                       f'{nearest_names(requested.repository, others, "repositories")}')


def _tags(client: RegistryClient, repository: str, named: bool, most: int | None = None) -> Iterator[str]:
    """Yield a repository's tags; none if the registry says that it does not exist, unless the user has `named` it.

    Raises ServiceError for any other 404 to a repository in the catalog, since that does not prove that it has no tags.
    """
    from occystrap_registry.distribution.catalog import NoSuchRepository, list_tags
    try:
        yield from list_tags(client, repository, most=most)
    except ImageNotFound as error:
        if named:
            raise
        if not isinstance(error, NoSuchRepository):
            raise ServiceError(f'the catalog has {repository}, and its list of tags is answered by HTTP 404 without '
                               f'the code NAME_UNKNOWN of a registry: try again, or exclude={repository}') from None
