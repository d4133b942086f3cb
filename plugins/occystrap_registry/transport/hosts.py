"""Classes of hosts: this machine, and addresses to which no server may redirect."""
import ipaddress
import socket
from functools import lru_cache
from typing import TypeAlias

_IP: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
_SERVICES = ('metadata.google.internal', '169.254.169.254', '169.254.169.253', '169.254.170.2', '169.254.170.23',
             '100.100.100.200', '168.63.129.16', '192.0.0.192', 'fd00:ec2::254', 'fd00:ec2::23', 'fd20:ce::254',
             'fe80::a9fe:a9fe')
"""Metadata services, from which any program on a cloud machine gets secrets."""
_NAT64 = ipaddress.IPv6Network('64:ff9b::/96')


def is_possible_port(port: int | None) -> bool:
    """Return whether a URL may have this port (RFC 9293, 3.1), None for the default one."""
    return port is None or 0 < port < 1 << 16


def host_bytes(host: str) -> bytes:
    """Return a host as sockets and TLS take it; raises UnicodeError if it has an impossible label.

    Given a text, they would import Python's codec of international names to find that it has nothing to encode.
    """
    labels = host.removesuffix('.').split('.')
    is_plain = host.isascii() and all(0 < len(label) < 64 for label in labels)
    return host.encode() if is_plain else host.encode('idna')


@lru_cache(1024)
def is_loopback(host: str) -> bool:
    """Return whether `host[:port]` is this machine."""
    name = _name(host)
    if name == 'localhost' or name.endswith('.localhost'):
        return True
    address = _address(name)
    return address is not None and address.is_loopback


@lru_cache(1024)
def is_metadata(host: str) -> bool:
    """Return whether `host[:port]` is a link-local address, or another address of clouds' metadata services."""
    address = _address(_name(host))
    return is_metadata_service(host) or (address is not None and address.is_link_local)


def is_metadata_service(host: str) -> bool:
    """Return whether `host[:port]` is a known address of a cloud's metadata service."""
    name = _name(host)
    return name in _SERVICES or str(_address(name)) in _SERVICES


def is_numeric(host: str) -> bool:
    """Return whether `host` is an address, in any form that a resolver accepts, and not a name."""
    return _address(_name(host)) is not None


def _name(host: str) -> str:
    host = host.rpartition('@')[2].lower().rstrip('.')
    if host.startswith('['):
        return host[1:].partition(']')[0]
    return host if host.count(':') > 1 else host.partition(':')[0]


def _address(name: str) -> _IP | None:
    """Return the IP address in `name`, in any form that a resolver accepts, such as 0x7f.1; None for a host name.

    An IPv6 address that embeds an IPv4 address (RFC 4291, RFC 6052, RFC 3056) gives the latter.
    """
    try:
        address: _IP = ipaddress.ip_address(name.partition('%')[0])
    except ValueError:
        try:
            return ipaddress.IPv4Address(socket.inet_aton(name))
        except (OSError, UnicodeEncodeError):
            return None
    if isinstance(address, ipaddress.IPv4Address):
        return address
    within = ipaddress.IPv4Address(int(address) & 0xffffffff) if address in _NAT64 else address.sixtofour
    return address.ipv4_mapped or within or address
