"""What kind of place a host is: this machine, or one where nobody should be sent."""
import ipaddress
import socket
from typing import TypeAlias

_IP: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
_METADATA = ('metadata.google.internal', '100.100.100.200', 'fd00:ec2::254')
"""Where clouds give secrets to whoever asks, besides link-local addresses."""


def is_loopback(host: str) -> bool:
    """Tell whether `host[:port]` is this machine."""
    name = _name(host)
    if name == 'localhost' or name.endswith('.localhost'):
        return True
    address = _address(name)
    return address is not None and address.is_loopback


def is_metadata(host: str) -> bool:
    """Tell whether `host[:port]` is a link-local address or another one where clouds keep their metadata."""
    name = _name(host)
    address = _address(name)
    return name in _METADATA or str(address) in _METADATA or (address is not None and address.is_link_local)


def _name(host: str) -> str:
    host = host.rpartition('@')[2].lower().rstrip('.')
    if host.startswith('['):
        return host[1:].partition(']')[0]
    return host if host.count(':') > 1 else host.partition(':')[0]


def _address(name: str) -> _IP | None:
    """Return the IP address that `name` is, in any form that a resolver takes, such as 0x7f.1; None for a name."""
    try:
        address: _IP = ipaddress.ip_address(name.partition('%')[0])
    except ValueError:
        try:
            address = ipaddress.IPv4Address(socket.inet_aton(name))
        except (OSError, UnicodeEncodeError):
            return None
    return getattr(address, 'ipv4_mapped', None) or address
