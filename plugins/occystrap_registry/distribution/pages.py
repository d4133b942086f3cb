"""Reading listings page by page from servers that may never come to an end."""
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from occystrap_core import ServiceError

MOST = 250_000
"""Names that are read of one listing."""
_IDLE = 20
_QUERY = 4096
_LINK = re.compile(r'<([^<>]*)>([^<>]*)')
_NEXT = re.compile(r'\brel\s*=\s*"?next\b', re.IGNORECASE)


class Paging:
    """What was read of one listing so far, and whether it is worth going on."""

    def __init__(self, host: str, what: str) -> None:
        """`host` and `what` is listed there are for errors."""
        self._host, self._what = host, what
        self._names: set[str] = set()
        self._asked: set[str] = set()
        self._idle = 0

    def fresh(self, names: Iterable[str]) -> list[str]:
        """Return those names of a page that no page had before, each once."""
        found = [name for name in dict.fromkeys(names) if name not in self._names]
        self._names.update(found)
        self._idle = 0 if found else self._idle + 1
        return found

    def go_on(self, to: str) -> None:
        """Note the page that is asked for next; raises ServiceError where that would lead nowhere."""
        if to in self._asked or self._idle > _IDLE or len(self._names) > MOST:
            raise ServiceError(f'{self._host} does not come to an end with {self._what}: {len(self._names)} names on '
                               f'{len(self._asked) + 1} pages so far; name the images instead')
        self._asked.add(to)


def next_query(link: str, what: str) -> str | None:
    """Return the query that asks for the next page of `what`, by a Link header (RFC 8288), None if it names none.

    Only the query is taken: registries behind proxies often name a host that nobody can reach. Raises ServiceError.
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
        raise ServiceError(f'the next page of {what} is said to be at something that is no address')
    return query
