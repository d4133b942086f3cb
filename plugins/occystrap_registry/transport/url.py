"""URLs of registries, their storages and token servers (RFC 3986), as they are sent."""
import re
from ipaddress import IPv4Address
from typing import NamedTuple
from urllib.parse import quote, urljoin, urlsplit

_PORTS = {'http': 80, 'https': 443}
_LONGEST = 64 << 10
_CONTROLS = re.compile('[\x00-\x1f\x7f]')
_KEPT = "%/:?#[]@!$&'()*+,;=~"
"""Characters that are not quoted in a path or query: those with a meaning, and `%` of what is already quoted."""
_QUAD = re.compile(r'\d+(?:\.\d+){3}')
_HOST = re.compile(r'[A-Za-z0-9._~!$&\'()*+,;=%-]+|[0-9A-Fa-f:.]+(?:%[^\s/]+)?')


class MalformedURL(ValueError):
    """A text that is not a URL."""


class URL(NamedTuple):
    """A URL without user and fragment. The host is ASCII, without brackets; the port is None if it is the default."""

    scheme: str
    host: str
    port: int | None
    path: str
    query: str = ''

    @property
    def netloc(self) -> str:
        """`host[:port]`, an IPv6 address in brackets."""
        host = f'[{self.host}]' if ':' in self.host else self.host
        return host if self.port is None else f'{host}:{self.port}'

    @property
    def target(self) -> str:
        """Path and query, as a request has them (RFC 9112, 3.2.1)."""
        return f'{self.path}?{self.query}' if self.query else self.path

    @property
    def port_or_default(self) -> int:
        """The port of the connection."""
        return self.port if self.port is not None else _PORTS.get(self.scheme, 443)

    def __str__(self) -> str:
        """Return the URL as text."""
        return f'{self.scheme}://{self.netloc}{self.target}'

    def join(self, location: str) -> 'URL':
        """Return the URL of a reference, relative or absolute (RFC 3986, 5.2); raises MalformedURL."""
        if location.startswith('/') and not location.startswith('//') and '/.' not in location:
            path, _, query = _checked(location).partition('#')[0].partition('?')
            return self._replace(path=quote(path, _KEPT), query=quote(query, _KEPT))
        try:
            return parse_url(urljoin(str(self), _checked(location)))
        except ValueError as error:
            raise MalformedURL(str(error)) from None


def parse_url(text: str) -> URL:
    """Return the URL in a text; raises MalformedURL.

    Characters that a URL cannot have are quoted, a host name outside ASCII is encoded (RFC 5891).
    """
    try:
        parts = urlsplit(_checked(text))
        port = parts.port
    except ValueError as error:
        raise MalformedURL(str(error)) from None
    default = _PORTS.get(parts.scheme)
    return URL(parts.scheme, _ascii_host(parts.hostname or ''), None if port == default else port,
               quote(parts.path, _KEPT) or '/', quote(parts.query, _KEPT))


def _checked(text: str) -> str:
    surrogates = not text.isascii() and any('\ud800' <= each <= '\udfff' for each in text)
    if len(text) > _LONGEST or _CONTROLS.search(text) or surrogates:
        raise MalformedURL('it is too long or has control characters')
    return text


def _ascii_host(host: str) -> str:
    if not host.isascii() or 'xn--' in host:
        import idna  # late: few hosts have other characters
        try:
            host = idna.encode(host).decode()
        except idna.IDNAError as error:
            raise MalformedURL(str(error)) from None
    if _QUAD.fullmatch(host):
        try:
            IPv4Address(host)
        except ValueError as error:
            raise MalformedURL(str(error)) from None
    if host and not _HOST.fullmatch(host):
        raise MalformedURL('its host has characters that no host has')
    return host
