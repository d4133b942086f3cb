"""Reading listings page by page, with limits against endless ones."""
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from occystrap_core import ServiceError

MOST = 250_000
"""Limit of names in one listing."""
_IDLE = 20
_QUERY = 4096
_LINK = re.compile(r'<([^<>]*)>([^<>]*)')
_NEXT = re.compile(r'\brel\s*=\s*"?next\b', re.IGNORECASE)


class Paging:
    """The names and pages of one listing so far, with limits."""

    def __init__(self, host: str, what: str) -> None:
        """`host` and `what`, the description of the listing, are for errors."""
        self._host, self._what = host, what
        self._names: set[str] = set()
        self._asked: set[str] = set()
        self._idle = 0

    def fresh(self, names: Iterable[str]) -> list[str]:
        """Return the names of a page that are not on earlier pages, each once."""
        found = [name for name in dict.fromkeys(names) if name not in self._names]
        self._names.update(found)
        self._idle = 0 if found else self._idle + 1
        return found

    def go_on(self, to: str) -> None:
        """Note the next page; raises ServiceError for a repeated page, or beyond the limits."""
        if to in self._asked or self._idle > _IDLE or len(self._names) > MOST:
            raise ServiceError(f'{self._host} sends an endless list of {self._what}: {len(self._names)} names on '
                               f'{len(self._asked) + 1} pages so far; name the images instead')
        self._asked.add(to)


def next_query(link: str, what: str) -> str | None:
    """Return the query of the next page of `what` in a Link header (RFC 8288), None if it has none.

    Only the query is used: registries behind proxies often name an unreachable host. Raises ServiceError.
    """
    for target, parameters in _LINK.findall(link):
        if _NEXT.search(parameters):
            return _query_of(target, what)
    return None


def _query_of(target: str, what: str) -> str:
    try:
        query = urlsplit(target).query
    except ValueError:
        query = ''
    if not query or len(query) > _QUERY or not query.isascii() or not query.isprintable() or ' ' in query:
        raise ServiceError(f'the link to the next page of {what} is malformed')
    return query
