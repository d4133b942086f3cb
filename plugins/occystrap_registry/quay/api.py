"""Quay's own API (https://docs.quay.io/api/): repositories and tags with the times of their last changes."""
from collections.abc import Callable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple
from urllib.parse import urlencode

from occystrap_core import AccessDenied, ImageNotFound, InvalidImage, ServiceError
from occystrap_core.oci import parse_json
from occystrap_registry.distribution.catalog import is_repository, is_tag
from occystrap_registry.distribution.client import RegistryClient
from occystrap_registry.distribution.pages import Paging
from occystrap_registry.transport.answers import Reply
from occystrap_registry.transport.connections import Connections, follow
from occystrap_registry.transport.retries import unsuccessful, whole_reply

_PAGE_BYTES = 16 << 20
_TAGS = 100


class Named(NamedTuple):
    """A repository or tag, and the time of its last change in seconds since 1970, None if Quay gives none."""

    name: str
    modified: float | None


class QuayApi:
    """The API on the host of `client`; `token` is an OAuth token, empty for public content."""

    def __init__(self, client: RegistryClient, token: str = '') -> None:
        self._client, self._token = client, token
        self._host = client.address.host
        self._connections = Connections(client.address, client.settings)

    def close(self) -> None:
        """Close the connections."""
        self._connections.close()

    def repositories(self, organisation: str) -> Iterator[Named]:
        """Yield the repositories of an organisation, `organisation/name`; raises ImageNotFound, ServiceError."""
        what = f'the repositories of {organisation}'
        paging, query = Paging(self._host, what), {'namespace': organisation, 'public': 'true', 'last_modified': 'true'}
        while True:
            page = self._get('/api/v1/repository', query, what)
            images = [each for each in _items(page, what, 'repositories') if each.get('kind', 'image') == 'image']
            listed = [_named(each, f'{organisation}/') for each in images]
            yield from _fresh(paging, listed, is_repository)
            following = page.get('next_page')
            if not following:
                break
            paging.go_on(str(following))
            query = {**query, 'next_page': str(following)}
        paging.warn()

    def tags(self, repository: str, only: str = '') -> Iterator[Named]:
        """Yield the current tags of a repository, or only the tag `only`; raises as `repositories` does."""
        what = f'the tags of {repository}'
        paging, number = Paging(self._host, what), 1
        selection = {'specificTag': only} if only else {}
        while True:
            query = {'onlyActiveTags': 'true', 'limit': str(_TAGS), 'page': str(number), **selection}
            page = self._get(f'/api/v1/repository/{repository}/tag/', query, what)
            listed = [_named(each, '') for each in _items(page, what, 'tags')]
            yield from _fresh(paging, listed, is_tag)
            if not page.get('has_additional'):
                break
            number += 1
            paging.go_on(str(number))
        paging.warn()

    def _get(self, path: str, query: Mapping[str, str], what: str) -> dict[str, Any]:
        """Return the JSON object in the API's answer; raises ImageNotFound, AccessDenied, ServiceError."""
        self._client.settings.cancellation.check()
        url = follow(self._client.find_base(), f'{path}?{urlencode(query)}')
        authorization = f'Bearer {self._token}' if self._token else None
        reply = whole_reply(self._client.attempts(), lambda: self._connections.send(
            'GET', url, {'Accept': 'application/json'}, authorization=authorization), _PAGE_BYTES)
        if reply.status != 200:
            raise self._failure(reply, what)
        try:
            document = parse_json(reply.body, what, _PAGE_BYTES) if not reply.cut else None
        except InvalidImage:
            document = None
        if not isinstance(document, dict):
            raise ServiceError(f'{self._host} does not answer as Quay to the request for {what}')
        return document

    def _failure(self, reply: Reply, what: str) -> ServiceError | ImageNotFound:
        text = f'{self._host} does not list {what} (HTTP {reply.status})'
        if reply.status in (401, 403):
            advice = 'check the token' if self._token else 'set OCCYSTRAP_QUAY_TOKEN to a token of an application there'
            return AccessDenied(f'{text}: {advice}')
        if reply.status == 404:
            return ImageNotFound(f'{text}: check the name, and whether it is public')
        return unsuccessful(reply, text)


def _named(item: Mapping[str, Any], prefix: str) -> Named:
    name = item.get('name')
    if not isinstance(name, str):
        raise ServiceError(f'the answer has an item without a name, {str(item)[:80]!r}')
    return Named(f'{prefix}{name}', _modified(item))


def _fresh(paging: Paging, listed: list[Named], is_name: Callable[[str], bool]) -> list[Named]:
    by_name = {each.name: each for each in listed}
    return [by_name[name] for name in paging.fresh(paging.valid(by_name, is_name))]


def _items(page: Mapping[str, Any], what: str, key: str) -> list[dict[str, Any]]:
    items = page.get(key)
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise ServiceError(f'the answer for {what} has no list of {key}')
    return items


def _modified(item: Mapping[str, Any]) -> float | None:
    """Return the time of the last change: tags have start_ts, repositories a number, old servers an RFC 5322 date."""
    for when in (item.get('start_ts'), item.get('last_modified')):
        if isinstance(when, int | float) and not isinstance(when, bool):
            return float(when)
        if isinstance(when, str):
            try:
                return parsedate_to_datetime(when).timestamp()
            except ValueError:
                continue
    return None
