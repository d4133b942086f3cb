"""Proxies from the environment, by the rules of Go's httpproxy package, which docker, skopeo and crane use.

HTTPS_PROXY or https_proxy is for https, HTTP_PROXY or http_proxy for http, ALL_PROXY or all_proxy, as in curl, for
both. NO_PROXY or no_proxy lists, separated by commas, hosts that are reached directly: `*` for all, IP addresses,
ranges such as 10.0.0.0/8 and fe80::/10, `example.com` for that name and all below it, `.example.com` and
`*.example.com` for those below it alone; each, except ranges, with `:PORT` for one port. This machine is always reached
directly.
"""
import ipaddress
import os
import re
from typing import NamedTuple, TypeAlias
from urllib.parse import unquote_to_bytes

from occystrap_core import UsageError
from occystrap_registry.transport.hosts import is_loopback
from occystrap_registry.transport.url import URL

_SOCKS = ('socks5', 'socks5h')
"""With either, the proxy resolves the host, as in Go."""
_PORTS = {'http': 80, 'https': 443, **dict.fromkeys(_SOCKS, 1080)}
_PROXY = (r'(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://)?'
          r'(?:(?P<user>[^@/?#:\s]*)(?::(?P<password>[^@/?#\s]*))?@)?'
          r'(?P<host>\[[0-9A-Fa-f:.]+\]|[^][:@/?#\s]+)(?::(?P<port>[0-9]{1,5}))?/?')
_Range: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network
_Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address


class Proxy(NamedTuple):
    """A proxy, and the variable that names it; `login` is user name and password."""

    variable: str
    scheme: str
    host: str
    port: int | None
    login: tuple[bytes, bytes] | None

    def __str__(self) -> str:
        """The name of the proxy in messages, without its login."""
        return f'the proxy {self.netloc} ({self.variable})'

    def __repr__(self) -> str:
        """The same, for logs."""
        return str(self)

    @property
    def is_socks(self) -> bool:
        """Whether it speaks SOCKS5, and not HTTP."""
        return self.scheme in _SOCKS

    @property
    def bare_host(self) -> str:
        """The host, an IPv6 address without brackets."""
        return self.host.strip('[]')

    @property
    def port_or_default(self) -> int:
        """The port, by default that of the scheme."""
        return self.port or _PORTS[self.scheme]

    @property
    def netloc(self) -> str:
        """`host[:port]`."""
        return f'{self.host}:{self.port}' if self.port else self.host

    def refusal(self, host: str, answer: str) -> str:
        """Return the message for a `host[:port]` to which the proxy does not connect, with the proxy's answer."""
        advice = f': put USER:PASSWORD@ into {self.variable}' if answer.startswith('407') else ''
        return f'{self} does not connect to {host}: {answer.strip()}{advice}'


def proxy_for(url: URL) -> Proxy | None:
    """Return the proxy that the environment defines for a URL, None for a direct connection.

    Raises UsageError, without quoting the value, if a variable does not define a valid proxy.
    """
    host, port = url.host, url.port_or_default
    if is_loopback(host):
        return None
    variable, value = _variable(f'{url.scheme}_proxy', 'all_proxy')
    if not value or _is_direct(host, port, _variable('no_proxy')[1]):
        return None
    return _parse(variable, value)


def note_of_proxy(url: URL) -> str:
    """Return what to add to a message about a failed request: the proxy that it went through; empty without one."""
    try:
        proxy = proxy_for(url)
    except UsageError:
        proxy = None
    return f'; the request went through {proxy}' if proxy else ''


def _variable(*names: str) -> tuple[str, str]:
    """Return name and value of the first variable that is set, in upper or lower case; an empty one counts as unset."""
    for name in (spelling for name in names for spelling in (name.upper(), name)):
        if name == 'HTTP_PROXY' and 'REQUEST_METHOD' in os.environ:
            continue  # in a CGI program it may be a header sent by a client (httpoxy, CVE-2016-5385)
        if value := os.environ.get(name, '').strip():
            return name, value
    return names[0].upper(), ''


def _parse(variable: str, value: str) -> Proxy:
    found = re.fullmatch(_PROXY, value)
    scheme = (found['scheme'] or 'http').lower() if found else ''
    if not found or int(found['port'] or 0) > 65535:
        raise UsageError(f'{variable} is not the URL of a proxy, such as http://USER:PASSWORD@HOST:PORT: write special '
                         'characters of USER and PASSWORD as %23 for #, %2F for /, %40 for @')
    if scheme not in _PORTS:
        raise UsageError(f'{variable} names a proxy of an unknown kind: use one of http, https, socks5 or socks5h')
    user, password = (unquote_to_bytes(found[part] or '') for part in ('user', 'password'))
    port = int(found['port']) if found['port'] else None
    return Proxy(variable, scheme, found['host'], port, None if found['user'] is None else (user, password))


def _is_direct(host: str, port: int, listed: str) -> bool:
    return any(_matches(item.strip().lower(), host.lower(), port) for item in listed.split(','))


def _matches(item: str, host: str, port: int) -> bool:
    """Return whether an item of NO_PROXY matches a host at a port; a malformed item matches nothing."""
    if item in ('', '*'):
        return item == '*'
    address = _address(host)
    if '/' in item:
        listed = _range(item)
        return address is not None and listed is not None and address in listed
    name, its_port = _split_port(item)
    if its_port not in ('', str(port)):
        return False
    if (literal := _address(name)) is not None or address is not None:
        return literal == address
    return _covers(name, host)


def _covers(name: str, host: str) -> bool:
    below = name.removeprefix('*')
    if not below.strip('.'):
        return False
    if not below.startswith('.'):
        return host == _ascii(below) or host.endswith(f'.{_ascii(below)}')
    return host.endswith(f'.{_ascii(below[1:])}')


def _split_port(item: str) -> tuple[str, str]:
    """Return host and port of an item; an IPv6 address without brackets has no port."""
    name, colon, port = item.rpartition(':')
    return (name, port) if colon and (':' not in name or name.endswith(']')) else (item, '')


def _address(text: str) -> _Address | None:
    try:
        found = ipaddress.ip_address(text.removeprefix('[').removesuffix(']').partition('%')[0])
    except ValueError:
        return None
    return getattr(found, 'ipv4_mapped', None) or found


def _range(text: str) -> _Range | None:
    try:
        return ipaddress.ip_network(text.replace('[', '').replace(']', ''), strict=False)
    except ValueError:
        return None


def _ascii(name: str) -> str:
    try:
        return name.encode('idna').decode()
    except UnicodeError:
        return name
