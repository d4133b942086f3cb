"""What kind of place a host is: this machine, or one where nobody should be sent."""
import ipaddress
import socket
from typing import TypeAlias

_IP: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
_SERVICES = ('metadata.google.internal', '169.254.169.254', '169.254.169.253', '169.254.170.2', '169.254.170.23',
             '100.100.100.200', '168.63.129.16', '192.0.0.192', 'fd00:ec2::254', 'fd00:ec2::23', 'fd20:ce::254',
             'fe80::a9fe:a9fe')
"""Where clouds give secrets to whoever asks."""
_NAT64 = ipaddress.IPv6Network('64:ff9b::/96')


def is_loopback(host: str) -> bool:
    """Tell whether `host[:port]` is this machine."""
    name = _name(host)
    if name == 'localhost' or name.endswith('.localhost'):
        return True
    address = _address(name)
    return address is not None and address.is_loopback


def is_metadata(host: str) -> bool:
    """Tell whether `host[:port]` is a link-local address or another one where clouds keep their metadata."""
    address = _address(_name(host))
    return is_metadata_service(host) or (address is not None and address.is_link_local)


def is_metadata_service(host: str) -> bool:
    """Tell whether `host[:port]` is one of the addresses that clouds are known to keep their metadata at."""
    name = _name(host)
    return name in _SERVICES or str(_address(name)) in _SERVICES


def is_numeric(host: str) -> bool:
    """Tell whether `host` is an address, in any form that a resolver takes, rather than a name."""
    return _address(_name(host)) is not None


def _name(host: str) -> str:
    host = host.rpartition('@')[2].lower().rstrip('.')
    if host.startswith('['):
        return host[1:].partition(']')[0]
    return host if host.count(':') > 1 else host.partition(':')[0]


def _address(name: str) -> _IP | None:
    """Return the IP address that `name` is, in any form that a resolver takes, such as 0x7f.1; None for a name.

    Of an IPv6 address that only leads to an IPv4 one (RFC 4291, RFC 6052, RFC 3056) it is that one.
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
