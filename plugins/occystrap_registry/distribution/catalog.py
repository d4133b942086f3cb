"""Listings of a registry, page by page: the tags of a repository, the repositories of its catalog.

See distribution-spec, Listing Tags; the catalog is defined by the distribution project, not by the spec.
"""
from collections.abc import Callable, Iterator
from typing import NamedTuple
from urllib.parse import urlencode

from occystrap_core import AccessDenied, ImageNotFound, InvalidImage, ServiceError, UsageError
from occystrap_core.oci import Reference, parse_json
from occystrap_registry.distribution.client import RegistryClient
from occystrap_registry.distribution.error_answers import error_codes
from occystrap_registry.distribution.pages import BAD_SIZE, Paging, next_query
from occystrap_registry.transport.answers import Reply

PAGE = 1000
"""Names to request per page: the maximum of some registries."""
_PAGE_BYTES = 16 << 20  # many registries send all tags in one page
_QUERY = 4096
_NO_CATALOG = (400, 404, 405, 501)
_NO_SUCH_PAGE = (400, 404, 405, 501)
"""Answers of some registries when the page after the last, full one is requested; they do not support `last`."""
_ALTERNATIVE = 'give the repository, or list the images in a file for list://'


class NoSuchRepository(ImageNotFound):
    """The registry itself says that it has no such repository (distribution-spec, Error codes, NAME_UNKNOWN).

    Any other 404 may come from a proxy or a sign-in page, and proves nothing.
    """


def is_tag(name: object) -> bool:
    """Return whether `name` is a valid tag."""
    return isinstance(name, str) and _parses(f'any/any:{name}', Reference('any', name, host='any'))


def is_repository(name: object) -> bool:
    """Return whether `name` is a valid repository, without its host."""
    return isinstance(name, str) and _parses(f'any/{name}', Reference(name, host='any'))


class _Listed(NamedTuple):
    """A listing: its description, path and scope, the JSON key of the names, and the check for valid names."""

    what: str
    path: str
    scope: str
    key: str
    is_name: Callable[[object], bool]
    page: int
    most: int | None


def list_tags(client: RegistryClient, repository: str, page: int = PAGE, most: int | None = None) -> Iterator[str]:
    """Yield the tags of a repository in the registry's order, each once, with `page` tags per request.

    The tags of a page are yielded before the next page is read; a list of more than `most` is an error. Raises
    NoSuchRepository if the registry says so, ImageNotFound for any other 404, ServiceError.
    """
    name = f'{client.address.reference.host}/{repository}'
    listed = _Listed(f'the tags of {name}', f'/v2/{repository}/tags/list', f'repository:{repository}:pull', 'tags',
                     is_tag, page, most)
    reply = _first(client, listed)
    if reply.status == 404:
        kind = NoSuchRepository if 'NAME_UNKNOWN' in error_codes(reply) else ImageNotFound
        raise kind(f'{name} does not exist: {client.address.host} has no such repository'
                   f'{client.authentication.hint()}')
    yield from _names(client, listed, reply)


def list_repositories(client: RegistryClient, page: int = PAGE, most: int | None = None) -> Iterator[str]:
    """Yield the names of all repositories, like `list_tags`; raises ServiceError, and AccessDenied if there is no
    catalog."""
    host = client.address.reference.host
    listed = _Listed(f'the catalog of {host}', '/v2/_catalog', 'registry:catalog:*', 'repositories', is_repository,
                     page, most)
    try:
        reply = _first(client, listed)
    except AccessDenied as error:
        raise AccessDenied(f'the catalog of {host} cannot be read: {error}; or {_ALTERNATIVE}') from None
    if reply.status in (401, 403):
        raise AccessDenied(f'{host} denies access to its catalog (HTTP {reply.status}): '
                           f'{client.authentication.advice()}; or {_ALTERNATIVE}')
    if reply.status in _NO_CATALOG or (reply.status != 200 and b'"UNSUPPORTED"' in reply.body[:_QUERY]):
        raise ServiceError(f'{host} has no catalog (HTTP {reply.status}): {_ALTERNATIVE}')
    yield from _names(client, listed, reply)


def _parses(text: str, expected: Reference) -> bool:
    try:
        return Reference.parse(text, with_host=True) == expected
    except UsageError:
        return False


def _first(client: RegistryClient, listed: _Listed) -> Reply:
    """Return the first page; if the registry refuses its size, request it with the registry's default size."""
    reply = _fetch(client, listed, f'n={listed.page}')
    return _fetch(client, listed, '') if reply.status in BAD_SIZE else reply


def _fetch(client: RegistryClient, listed: _Listed, query: str) -> Reply:
    target = f'{listed.path}?{query}' if query else listed.path
    return client.fetch('GET', target, listed.scope, {'Accept': 'application/json'}, cap=_PAGE_BYTES)


def _names(client: RegistryClient, listed: _Listed, reply: Reply) -> Iterator[str]:
    """Yield the names on this page and all following ones."""
    paging, query = Paging(client.address.host, listed.what, listed.most), None
    while True:
        page = _page(client, listed, reply)
        fresh = paging.fresh(paging.valid(page, listed.is_name))
        yield from fresh
        asked, query = query, next_query(reply.headers.get('link', ''), listed.what)
        linked = query is not None
        if not linked and len(page) == listed.page:
            query = _unlinked(listed, page[-1], asked, bool(fresh))
        if query is None:
            break
        paging.go_on(query)
        client.settings.cancellation.check()
        reply = _fetch(client, listed, query)
        if not linked and reply.status in _NO_SUCH_PAGE and not reply.body.lstrip().startswith(b'<'):  # a proxy's page
            break
    paging.warn()


def _unlinked(listed: _Listed, last: str, asked: str | None, is_new: bool) -> str | None:
    """Return the query for the next page after a full page without Link, which some registries do not send; None at the
    end.

    If a registry sends the same page again although `last` was `asked` for, the query is empty: such a registry sends
    everything if no limit is given.
    """
    following = urlencode({'n': listed.page, 'last': last})
    return following if is_new else '' if asked == following else None


def _page(client: RegistryClient, listed: _Listed, reply: Reply) -> list[str]:
    """Return the names on a page; raises ServiceError for anything other than a list of strings."""
    if reply.status != 200:
        raise client.failure(reply, f'{listed.what} cannot be read')
    host = client.address.host
    if reply.cut:
        raise ServiceError(f'{host} answers with more than {_PAGE_BYTES >> 20} MiB for {listed.what}')
    try:
        document = parse_json(reply.body, listed.what, _PAGE_BYTES)
    except InvalidImage:
        document = None
    names = document.get(listed.key, ()) if isinstance(document, dict) else ()
    if names is None:  # how Go writes an empty list
        return []
    if not isinstance(names, list):  # perhaps the page of a proxy, which proves nothing
        raise ServiceError(f'{host} does not answer with a list for {listed.what}')
    names = ['' if name is None else name for name in names]  # Go reads null as an empty string, which is no valid name
    for name in names:
        if not isinstance(name, str):
            raise ServiceError(f'{host} lists {str(name)[:80]!r} in {listed.what}, which is not a valid name')
    return names
