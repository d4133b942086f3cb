"""Reading listings page by page, with limits against endless ones."""
import re
from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

from occystrap_core import ServiceError
from occystrap_core.files import print_message

MOST = 250_000
"""Largest number of names in a listing that is read as a whole."""
MOST_STREAMED = 5_000_000
"""Largest number of names in a listing whose images are copied meanwhile."""
BAD_SIZE = (400, 405, 413, 414, 416, 422)
"""Answers of registries to a page size that is too large; others send a smaller page."""
_IDLE = 20
_QUERY = 4096
_LINK = re.compile(r'<([^<>]*)>((?:[^<>"]|"(?:[^"\\]|\\.)*"|")*)')
_PARAMETER = re.compile(r';\s*([^\s;,="]+)\s*(?:=\s*(?:"((?:[^"\\]|\\.)*)"|\'([^\']*)\'|([^\s;,"]*)))?')


class Paging:
    """The names and pages of one listing so far, with limits."""

    def __init__(self, host: str, what: str, most: int | None = None) -> None:
        """`host` and `what`, the description of the listing, are for errors; `most` is the limit of names, by default
        MOST."""
        self._host, self._what, self._most = host, what, most or MOST
        self._names = set[int]()
        """Hashes of the names, since there may be millions."""
        self._asked: set[str] = set()
        self._idle, self._left_out, self._example = 0, 0, ''

    def valid(self, names: Iterable[str], is_name: Callable[[str], bool]) -> list[str]:
        """Return the valid names on a page; `warn` counts the others."""
        found = []
        for name in names:
            if is_name(name):
                found.append(name)
            else:
                self._left_out += 1
                self._example = self._example or name
        return found

    def warn(self) -> None:
        """Print one warning about all names that were left out."""
        if self._left_out:
            are = 'name is' if self._left_out == 1 else 'names are'
            print_message(f'warning: {self._left_out} invalid {are} left out of {self._what}, '
                          f'such as {self._example[:80]!r}')

    def fresh(self, names: Iterable[str]) -> list[str]:
        """Return the names of a page that are not on earlier pages, each once."""
        found = [name for name in dict.fromkeys(names) if hash(name) not in self._names]
        self._names.update(map(hash, found))
        self._idle = 0 if found else self._idle + 1
        return found

    def go_on(self, to: str) -> None:
        """Record the next page; raises ServiceError for a repeated page, or beyond the limits."""
        if to in self._asked or self._idle > _IDLE or len(self._names) > self._most:
            raise ServiceError(f'{self._host} sends an endless list of {self._what}: {len(self._names)} names on '
                               f'{len(self._asked) + 1} pages so far; list the images in a file for list://')
        self._asked.add(to)


def next_query(link: str, what: str) -> str | None:
    """Return the query of the next page of `what` from a Link header (RFC 8288), None without one.

    Only the query is used, since registries behind proxies often name an unreachable host. Like other clients, it
    accepts a single link without rel or without angle brackets. Raises ServiceError for a malformed header, since the
    list would be cut short.
    """
    links = _LINK.findall(link)
    if not links and link.strip():
        target, semicolon, parameters = link.partition(';')
        links = [(target.strip(), semicolon + parameters)]
    for target, parameters in links:
        relations = _relations(parameters)
        if 'next' in relations or (not relations and len(links) == 1):
            return _query_of(target, what)
    return None


def _relations(parameters: str) -> list[str]:
    found = (each.groups(default='') for each in _PARAMETER.finditer(parameters))
    return next((''.join(value).lower().split() for name, *value in found if name.lower() == 'rel'), [])


def _query_of(target: str, what: str) -> str:
    try:
        query = urlsplit(target.strip()).query
    except ValueError:
        query = ''
    good = query.isascii() and query.isprintable() and ' ' not in query and '<' not in target
    if not query or len(query) > _QUERY or not good:
        raise ServiceError(f'the link to the next page of {what} is malformed')
    return query
