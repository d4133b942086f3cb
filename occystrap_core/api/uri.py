"""Locations (`scheme://path?option=value`) and filters (`name:key=value,key=value`) as users write them."""
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from urllib.parse import parse_qsl, quote, unquote

from occystrap_core.api.options import Option, read_options
from occystrap_core.errors import UsageError

if TYPE_CHECKING:
    from occystrap_core.verification.receipt import Receipt

_SCHEME = re.compile(r'[a-z][a-z0-9+.-]*')
_USER = re.compile(r'^[^/:]*:.*@(?!sha\d+:)', re.DOTALL)  # a password may contain @ and /; a digest has its own @
_LOGIN = r'(?s)^[^/:?]*:(?!\d+[/?]).*@(?!sha\d+:)|^[^/:?]*@(?!sha\d+:)(?=[^/]*[.:])'
"""The same for text that may be malformed: a password may also contain ? and #; digits before a slash are a port."""


class WrittenUri(NamedTuple):
    """A parsed URI, its options still text."""

    scheme: str
    path: str
    options: Mapping[str, str]
    repeated: Sequence[str] = ()
    """Options that are given several times; their values are joined by commas."""


def parse_uri(text: str) -> WrittenUri:
    """Return the parts of `text`; raises UsageError if it is not of the form `scheme://path`.

    The path ends at the first `?`; a `?` or `%` in the path is written %3F or %25.
    """
    scheme, separator, rest = text.partition('://')
    scheme = scheme.lower()  # RFC 3986, 3.1
    if not separator or not _SCHEME.fullmatch(scheme):
        raise UsageError(f'{redact(text)!r} is not a URI of the form scheme://path?option=value')
    path, _, query = rest.partition('?')
    path = unquote(path, errors='surrogateescape')  # file names may be any bytes
    if not path:
        raise UsageError(f'{redact(text)!r} has no path after {scheme}://')
    if '\0' in path:
        raise UsageError(f'{scheme}:// has a path with a zero byte')
    pairs = parse_qsl(query.replace('+', '%2B'), keep_blank_values=True, errors='surrogateescape')
    options: dict[str, str] = {}
    repeated: list[str] = []
    for name, value in pairs:
        repeated += [name] if name in options else []
        options[name] = f'{options[name]},{value}' if name in options else value
    return WrittenUri(scheme, path, options, repeated)


def without_login(path: str) -> str:
    """Return the path of a service's location without the credentials before an @."""
    return _USER.sub('', path)


def redact(uri: str) -> str:
    """Return `uri` without the credentials before an @ and without option values, for messages."""
    scheme, separator, rest = uri.partition('//') if '//' in uri else ('', '', uri)
    head, query, options = re.sub(_LOGIN, '…@', rest).partition('?')
    shown = re.sub(r'=.*', '=…', options, flags=re.DOTALL)
    return f'{scheme}{separator}{_USER.sub("…@", head)}{query}{shown}'


class Location(NamedTuple):
    """A source or destination: its scheme's name, its path, and a value for every option that the scheme declares."""

    scheme: str
    path: str
    options: Mapping[str, Any]
    given: Mapping[str, str]
    """The options that were given and are not secret, as text: what a receipt may keep."""

    @classmethod
    def parse(cls, text: str, options: Sequence[Option], scheme: str = '') -> Self:
        """Return the location that a URI names; `scheme` is its scheme's name if `text` may use an alias.

        Raises UsageError, and UnknownOption for an option that is not declared.
        """
        written = parse_uri(text)
        scheme = scheme or written.scheme
        once = {option.name for option in options if not option.type.repeatable}
        if twice := [name for name in written.repeated if name in once]:
            raise UsageError(f'{redact(text)!r} gives the option {twice[0]} twice')
        secrets = {option.name for option in options if option.secret}
        return cls(scheme, written.path, read_options(options, written.options, f'{scheme}://'),
                   {name: value for name, value in written.options.items() if name not in secrets})

    @classmethod
    def of_receipt(cls, receipt: 'Receipt', options: Sequence[Option]) -> Self:
        """Return the location that a receipt's image was written to; raises as `parse` does."""
        read = read_options(options, receipt.options, f'the receipt for {receipt.destination}')
        return cls(receipt.scheme, receipt.path, read, receipt.options)

    def __str__(self) -> str:
        path = self.path.replace('%', '%25').replace('?', '%3F')
        options = '&'.join(f'{name}={quote(value, safe="/:@,*")}' for name, value in self.given.items())
        return f'{self.scheme}://{_USER.sub("…@", path)}' + (f'?{options}' if options else '')

    def with_options(self, **options: str) -> Self:
        """Return this location with further options of type string."""
        return self._replace(options={**self.options, **options}, given={**self.given, **options})

    def with_path(self, path: str) -> Self:
        """Return this location with another path."""
        return self._replace(path=path)


def parse_filter(text: str, kind: str = 'filter') -> tuple[str, dict[str, str]]:
    r"""Return name and option texts of `name:key=value,key=value`; `\,` stands for a comma within a value.

    A comma before text without `=` is part of the value, too: `exclude:pattern=*.pyc,*.md`. Raises UsageError for
    malformed text; `kind` is what the message calls it.
    """
    name, _, rest = text.partition(':')
    if not name:
        raise UsageError(f'{text!r} names no {kind}: write name:key=value,key=value')
    options: dict[str, str] = {}
    key = ''
    for part in re.split(r'(?<!\\),', rest) if rest else ():
        if part and key and '=' not in part:
            options[key] += ',' + part.replace('\\,', ',')
            continue
        key, equals, value = part.partition('=')
        if not equals or key in options:
            raise UsageError(f'{kind} {name}: {part!r} is not key=value' if not equals
                             else f'{kind} {name}: option {key!r} is given twice')
        options[key] = value.replace('\\,', ',')
    return name, options
