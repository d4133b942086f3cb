"""Free TCP ports of this machine."""

import socket

from tests.services.requirements import ServiceUnavailable

LOOPBACK = '127.0.0.1'


def free_port(address: str = LOOPBACK) -> int:
    """A port of an address that was free a moment ago; nobody holds it, so bind it at once."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


def own_address() -> str:
    """An address of this machine that others could reach; raises ServiceUnavailable where there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(('198.51.100.1', 9))  # sends nothing
        except OSError:
            raise ServiceUnavailable('this machine has no address but 127.0.0.1') from None
        return str(probe.getsockname()[0])
